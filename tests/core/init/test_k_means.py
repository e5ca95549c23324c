"""k-means against scikit-learn's."""

import numpy as np
import pytest
from sklearn.cluster import KMeans, kmeans_plusplus
from threadpoolctl import threadpool_limits

from daskgmm.core.init.k_means import draw_centres, nearest, partition_by_k_means


@pytest.mark.parametrize(("n", "d", "k"), [(300, 3, 7), (200, 1, 5), (40, 2, 20)])
def test_centres_and_parts_are_those_of_scikit_learn(n, d, k):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        points = rng.standard_normal((n, d)) + 3 * rng.integers(0, 3, size=(n, 1))
        weights = rng.uniform(size=n)
        weights[1::4] = 0
        centres, _ = kmeans_plusplus(points, k, sample_weight=weights, random_state=seed)
        np.testing.assert_array_equal(draw_centres(points, weights, k, seed), centres)
        _, first = np.unique(centres, axis=0, return_index=True)
        with threadpool_limits(1, user_api="openmp"):
            reference = KMeans(len(first), init=centres[np.sort(first)], n_init=1, max_iter=30)
            expected = reference.fit(points, sample_weight=weights).labels_
        np.testing.assert_array_equal(partition_by_k_means(points, weights, k, seed), expected)


def test_points_that_are_all_the_same_are_one_part():
    points = np.ones((7, 2))
    np.testing.assert_array_equal(partition_by_k_means(points, np.ones(7), 3, 0), 0)


def test_a_part_is_that_of_the_nearest_centre():
    points, centres = np.random.default_rng(0).standard_normal((5000, 2)), np.array([[0.0, 0], [1, 1], [-1, 0]])
    distances = ((points[:, None] - centres) ** 2).sum(axis=2)
    np.testing.assert_array_equal(nearest(points, centres), distances.argmin(axis=1))
