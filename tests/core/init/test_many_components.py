"""Exchanges in mixtures of many components, and what splits gain and mergers lose on rows."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from daskgmm.core.init.drawn_splits import halve_components, split_pairs_again
from daskgmm.core.init.exchanges import apply_exchanges
from daskgmm.core.init.many_components import _choose, _combine, bytes_of_exchanges, try_exchanges
from daskgmm.core.init.responsibilities import Responsibilities
from daskgmm.core.init.starts import SeedOptions, in_memory
from daskgmm.core.mixture.floor import Floor
from daskgmm.core.mixture.mixture import Mixture, merge_pairs
from tests import oracles
from tests.core.init.test_split_merge import EM, FLOOR, wrong


def choose(sample, mixture, floor=FLOOR):
    """Return what is made at once, the most promising first."""
    found = Responsibilities.of(sample, mixture)
    ranked = sorted(_combine(found, halve_components(found, floor)), key=lambda one: -one.gain)
    return _choose(ranked)


def first_alone(sample, mixture, floor=FLOOR):
    return next(made[0] for made in choose(sample, mixture, floor) if len(made) == 1)


def gain_of(sample, mixture, better):
    before, then = (sample((one,))[0].mean_log_likelihood for one in (mixture, better))
    return then - before


def with_a_fourth(covariance_type, weighted):
    """Return the three clusters with another one, and the mixture that has it, and three wrong ones."""
    sample, mixture = wrong(covariance_type)
    extra = np.random.default_rng(3).normal((23.0, 6.0), 1.5, (2_000, 2))
    weights = np.random.default_rng(4).uniform(1e-7, 1e-6, 8_000) if weighted else None
    means = np.concatenate([mixture.means, [[23.0, 6.0]]])
    covariances = mixture.covariances
    if covariance_type != "tied":
        covariances = np.concatenate([covariances, covariances[:1] * 2.25])
    mixture = Mixture(covariance_type, np.append(0.75 * mixture.weights, 0.25), means, covariances)
    return in_memory(np.concatenate([sample.rows, extra]), weights), mixture


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_what_is_told_of_splits_and_mergers_is_what_the_whole_mixture_gains(covariance_type, weighted):
    sample, mixture = with_a_fourth(covariance_type, weighted)
    found = Responsibilities.of(sample, mixture)
    for split in halve_components(found, FLOOR):
        larger = mixture.replace([(split.components, split.pair)])
        gain = found.gain(split.components, larger.take([3, 4]))  # less of rows of which it has less than a thousandth
        assert gain == pytest.approx(gain_of(sample, mixture, larger), abs=1e-3)
    pairs = [(0, 1), (2, 3)]
    losses = [gain_of(sample, mixture, mixture.merge(*pair)) for pair in pairs]
    np.testing.assert_allclose(found.gains(pairs, merge_pairs(mixture, pairs)), losses, rtol=1e-6)


def test_two_components_upon_each_other_cost_little_to_merge_whatever_their_weight():
    """Their moments alone say that a quarter of a nat is lost."""
    rng = np.random.default_rng(0)
    sample = in_memory(rng.normal(size=(4_000, 2)) * [3.0, 1.0], None)
    mixture = Mixture("full", np.full(2, 0.5), np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([np.diag([8.0, 1.0])] * 2))
    loss = Responsibilities.of(sample, mixture).gains([(0, 1)], merge_pairs(mixture, [(0, 1)]))
    assert abs(loss[0]) < 2e-3


@pytest.mark.parametrize("n_far", [20, 100])
def test_rows_that_an_exchange_would_leave_alone_are_counted_in_its_gain(n_far):
    """Two clusters in one component, and a few rows far away that have one of their own: no exchange gains."""
    rng = np.random.default_rng(1)
    clusters = [rng.normal(at, 1, (2_000, 2)) for at in ([0.0, 0.0], [20.0, 0.0], [26.0, 0.0])]
    sample = in_memory(rng.permutation(np.concatenate([*clusters, rng.normal((0, 100), 0.3, (n_far, 2))])), None)
    weights = np.array([2_000, n_far, 4_000]) / (6_000 + n_far)
    covariances = np.array([np.eye(2), 0.09 * np.eye(2), np.diag([10.0, 1.0])])
    mixture = Mixture("full", weights, np.array([[0.0, 0.0], [0.0, 100.0], [23.0, 0.0]]), covariances)
    found = Responsibilities.of(sample, mixture)
    one = merge_pairs(mixture, [(0, 1)])
    assert found.gain((0, 1), one) == pytest.approx(gain_of(sample, mixture, mixture.merge(0, 1)), rel=1e-6)


def test_exchanges_of_different_components_are_made_together():
    """The three clusters many times, far apart, and the same mistake in each."""
    sample, mixture = wrong()
    n = 6
    at = 1000.0 * np.arange(n)[:, None, None] * np.array([1.0, 0.0])
    sample = in_memory((sample.rows[::n] + at).reshape(-1, 2), None)
    means, covariances = (mixture.means + at).reshape(-1, 2), np.tile(mixture.covariances, (n, 1, 1))
    many = Mixture("full", np.tile(mixture.weights, n) / n, means, covariances)
    together = choose(sample, many)[0]
    gone = [component for one in together for component in one.components]
    assert len(gone) == len(set(gone))
    centres = (np.array([0.0, 20.0, 26.0]) + at[..., :1]).ravel()
    missed = [
        int((np.abs(one.means[:, 0] - centres[:, None]).min(axis=1) > 1).sum())
        for one in (many, apply_exchanges(many, together))
    ]
    assert missed[0] == 2 * n
    assert missed[1] <= 2 * n - 4


def test_components_that_an_exchange_narrows_are_held_to_the_floor():
    """Rows that are all one point, beside another cluster, in one component: half of it has no width."""
    rng = np.random.default_rng(2)
    point = np.full((2_000, 2), [23.0, 3.0])
    clusters = [rng.normal(at, 1, (2_000, 2)) for at in ([0.0, 0.0], [20.0, 0.0])]
    sample, mixture = in_memory(rng.permutation(np.concatenate([*clusters, point])), None), wrong()[1]
    least = 1e-3
    first = first_alone(sample, mixture, Floor(np.full(2, least), least * np.eye(2)))
    assert first.gain > 1
    assert min(np.linalg.eigvalsh(one).min() for one in first.replacement.covariances) == pytest.approx(least, rel=1e-6)


def test_rows_of_weight_zero_change_nothing():
    sample, mixture = wrong()
    sample = in_memory(sample.rows[::2], None)  # all of them are looked at, one more or not
    rows = np.concatenate([np.full((1, 2), np.nan), sample.rows])
    weighted = in_memory(rows, np.append(0.0, np.ones(len(sample.rows))))
    alone, found = (first_alone(one, mixture) for one in (sample, weighted))
    assert found.gain == pytest.approx(alone.gain, rel=1e-6)
    np.testing.assert_allclose(found.replacement.means, alone.replacement.means, rtol=1e-6, atol=1e-6)


def test_an_empty_component_is_put_where_one_is_missing():
    sample, mixture = wrong()
    empty = replace(mixture, weights=np.array([0.0, 1 / 3, 2 / 3]))
    first = first_alone(sample, empty)
    assert first.components == (2, 0, 1)
    np.testing.assert_allclose(np.sort(first.replacement.means[:, 0]), [0.5, 20, 26], atol=0.3)


def test_a_component_that_has_not_changed_is_not_halved_again():
    sample, mixture = wrong()
    known = halve_components(Responsibilities.of(sample, mixture), FLOOR)
    moved_one = replace(mixture, means=mixture.means + np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))
    again = halve_components(Responsibilities.of(sample, moved_one), FLOOR, known)
    pairs = {one.components: one.pair for one in known}
    assert {one.components for one in again if one.pair is pairs[one.components]} == {(0,), (1,)}


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_best_trial_is_that_of_the_right_exchange(covariance_type):
    sample, mixture = wrong(covariance_type)
    known = []
    tried = try_exchanges(sample, SeedOptions(3, covariance_type, em=EM), mixture, known)
    best = max(tried, key=lambda one: one.history[-1])
    np.testing.assert_allclose(np.sort(best.mixture.means[:, 0]), [0, 20, 26], atol=0.3)
    assert {one.components for one in known} == {(0,), (1,), (2,)}


def test_a_single_component_cannot_be_exchanged():
    sample, mixture = wrong()
    one = Mixture("full", np.ones(1), mixture.means[:1], np.array([np.diag([200.0, 1.0])]))
    assert try_exchanges(sample, SeedOptions(1, em=EM), one, []) == ()


def test_of_two_components_a_half_is_merged_with_the_other():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal((0.0, 0.0), 1, (2_000, 2)), rng.normal((40.0, 0.0), 1, (2_000, 2))])
    means, covariances = np.array([[0.0, 0.0], [20.0, 0.0]]), np.array([0.04 * np.eye(2), np.diag([400.0, 1.0])])
    mixture = Mixture("full", np.array([0.02, 0.98]), means, covariances)
    first = first_alone(in_memory(rng.permutation(rows), None), mixture)
    np.testing.assert_allclose(np.sort(first.replacement.means[:, 0]), [0, 40], atol=0.3)


def test_two_broad_components_on_a_cluster_with_a_tight_one_are_split_again():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(4_000, 2)), rng.normal([1.5, 0.0], 0.05, (200, 2))])
    means, covariances = np.array([[0.3, -0.2], [-0.3, 0.2]]), np.array([np.eye(2)] * 2)
    mixture = Mixture("full", np.full(2, 0.5), means, covariances)
    split = split_pairs_again(Responsibilities.of(in_memory(rng.permutation(rows), None), mixture), FLOOR, 4)[0]
    assert split.components == (0, 1)
    assert split.gain > 0.05
    assert split.pair.weights.min() == pytest.approx(200 / 4200, abs=0.02)


@pytest.mark.slow
def test_exchanges_of_many_components_are_chosen_in_the_memory_that_is_planned():
    rng, k, n = np.random.default_rng(0), 300, 3000
    means = 3 * rng.normal(size=(k, 4))
    sample = in_memory(means[rng.integers(k, size=n)] + rng.normal(size=(n, 4)), None)
    mixture = Mixture("diag", np.full(k, 1 / k), means, np.ones((k, 4)))
    options = SeedOptions(k, "diag", em=replace(EM, floor=Floor.of(sample.data_summary, 1e-6, dense=False)))
    try_exchanges(sample, options, mixture, [])  # so that kernels are compiled or loaded before
    tracemalloc.start()
    try_exchanges(sample, options, mixture, [])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= bytes_of_exchanges(n, k) <= 2 * peak


def test_the_last_rows_are_those_unless_they_have_no_weight():
    sample, mixture = wrong()
    weights = np.ones(len(sample.rows))
    found = Responsibilities.of(in_memory(sample.rows, weights), mixture)
    part = found.last(1_000)
    np.testing.assert_array_equal(part.of_rows, found.of_rows[-1_000:])
    np.testing.assert_array_equal(part.sample.rows, sample.rows[-1_000:])
    assert part.shares.sum() == pytest.approx(1)
    weights[-1_000:] = 0
    found = Responsibilities.of(in_memory(sample.rows, weights), mixture)
    assert found.last(1_000) is found
