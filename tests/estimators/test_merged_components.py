"""Clusters of components from Python, on any scheduler."""

import dask
import dask.array as da
import numpy as np
import pytest

from daskgmm import GaussianMixture, GaussianMixtureSelector
from daskgmm.errors import ConfigurationError, DataError


def draw(n=1500):
    """Return rows of two crosses and a disc, far from each other."""
    rng = np.random.default_rng(0)
    arms = rng.normal(size=(n, 2)) * np.where(np.arange(n)[:, None] % 2, (4.0, 0.3), (0.3, 4.0))
    return arms + np.array([(0.0, 0.0), (25.0, 0.0), (0.0, 40.0)])[np.arange(n) // 2 % 3]


@pytest.fixture(scope="module")
def crosses():
    X = draw()
    return X, GaussianMixture(6, random_state=0).fit(X)


def test_crosses_of_two_components_each_become_one_cluster(crosses):
    X, model = crosses
    merged = model.merge_components(X)
    assert merged.n_clusters == 3
    assert merged.predict(X).tolist() == merged.predict_proba(X).argmax(axis=1).tolist()
    truth = np.arange(len(X)) // 2 % 3
    assert all(len(set(merged.predict(X)[truth == one])) == 1 for one in range(3))
    assert repr(merged).startswith("3 clusters of 6 components: 0 ")
    np.testing.assert_allclose(merged.predict_proba(X).sum(axis=1), 1)


def test_the_tree_has_the_same_bits_on_any_scheduler(crosses):
    X, model = crosses
    lazy = da.from_array(X, chunks=(100, 2))
    trees = []
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            trees.append(model.merge_components(lazy).tree)
    assert trees[0] == trees[1]
    lazily = model.merge_components(lazy).predict(lazy)
    assert lazily.chunks == ((100,) * 15,)
    np.testing.assert_array_equal(lazily, model.merge_components(X).predict(X))


def test_weights_count_as_repeated_rows_and_rows_of_weight_0_are_absent(crosses):
    X, model = crosses
    weights = np.random.default_rng(1).integers(0, 3, len(X))
    spoilt = np.where(weights[:, None] == 0, np.nan, X)
    weighted = model.merge_components(spoilt, sample_weight=weights)
    repeated = model.merge_components(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(weighted.entropies, repeated.entropies, rtol=1e-10)
    left_out = np.where(np.arange(len(X))[:, None] == 3, np.nan, X)
    assert weighted.predict(left_out)[3] == -2
    assert np.isnan(weighted.predict_proba(left_out)[3]).all()


def test_a_selector_merges_the_components_of_its_best_candidate():
    X = draw(600)
    selector = GaussianMixtureSelector([5, 6], covariance_type="full", n_init=2, random_state=0).fit(X)
    assert selector.merge_components(X, 3).predict(X).max() == 2


@pytest.mark.parametrize("n_clusters", [2.5, True, 0])
def test_a_number_of_clusters_that_is_none_is_refused(crosses, n_clusters):
    _, model = crosses
    with pytest.raises(ConfigurationError, match="give 1 to 6"):
        model.merge_components(None, n_clusters=n_clusters)


def test_rows_without_weight_are_refused(crosses):
    X, model = crosses
    with pytest.raises(DataError, match="no rows of positive weight among 1,500"):
        model.merge_components(X, sample_weight=np.zeros(len(X)))


def test_more_clusters_than_components_are_refused_before_any_pass(crosses):
    _, model = crosses
    with pytest.raises(ConfigurationError, match="7 clusters of 6 components"):
        model.merge_components(None, n_clusters=7)
