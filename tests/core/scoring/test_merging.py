"""Merging components by entropy, beside the naive rule and mclust's clustCombi."""

from itertools import combinations

import numpy as np
import pytest

from daskgmm.core.scoring.merging import MergeTree, entropy_gains, merge_by_entropy
from daskgmm.errors import ConfigurationError
from tests import oracles


def draw_resp(n, k, seed, concentration=0.3):
    return np.random.default_rng(seed).dirichlet(np.full(k, concentration), n)


def tree_of(resp, weights=None, guide=None):
    calls = []

    def sum_gains(pairs):
        calls.append(len(pairs))
        return entropy_gains(resp, weights, pairs)

    guide = resp if guide is None else guide
    return merge_by_entropy(resp.shape[1], sum_gains, lambda pairs: entropy_gains(guide, None, pairs)), calls


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_merges_and_entropies_are_those_of_the_naive_rule(k, weighted):
    resp = draw_resp(40, k, seed=k)
    weights = np.random.default_rng(1).uniform(0, 3, 40) if weighted else None
    tree, _ = tree_of(resp, weights)
    merges, entropies = oracles.merge_by_entropy(resp, weights)
    assert [{merge.first, merge.second} for merge in tree.merges] == merges
    np.testing.assert_allclose(tree.entropies, entropies, rtol=1e-12, atol=1e-12)


def test_a_wrong_guide_costs_calls_and_changes_nothing():
    resp = draw_resp(60, 6, seed=3)
    right, calls = tree_of(resp)
    misled, more = tree_of(resp, guide=draw_resp(60, 6, seed=99))
    assert len(calls) == 1
    assert 1 < len(more) <= 5
    assert misled == right


def test_gains_far_below_the_rounding_of_the_entropy_are_ordered():
    tiny = np.array([[1.0, 1e-25, 1e-30], [1e-30, 1.0, 0.0], [1e-30, 0.0, 1.0]])
    tree, _ = tree_of(tiny)
    assert (tree.merges[0].first, tree.merges[0].second) == ((0,), (1,))
    assert 0 < tree.merges[1].gain < 1e-27


def test_partitions_are_numbered_by_their_first_components():
    tree, _ = tree_of(draw_resp(50, 5, seed=4))
    for n_clusters in range(1, 6):
        clusters = tree.clusters(n_clusters)
        firsts = [int(np.flatnonzero(clusters == one)[0]) for one in range(n_clusters)]
        assert firsts == sorted(firsts)
        assert set(clusters) == set(range(n_clusters))
    coarse, fine = tree.clusters(2), tree.clusters(3)
    assert all(coarse[i] == coarse[j] for i, j in combinations(range(5), 2) if fine[i] == fine[j])


@pytest.mark.parametrize("n_clusters", [0, 6, -1])
def test_a_number_of_clusters_that_cannot_be_is_refused(n_clusters):
    with pytest.raises(ConfigurationError, match="give 1 to 5"):
        tree_of(draw_resp(20, 5, seed=0))[0].clusters(n_clusters)


def test_components_that_do_not_overlap_are_clusters_already():
    assert tree_of(np.eye(5)[np.arange(50) % 5])[0].elbow == 5


def test_one_component_is_one_cluster():
    assert MergeTree(1, ()).elbow == 1
    assert MergeTree(1, ()).clusters(1).tolist() == [0]
