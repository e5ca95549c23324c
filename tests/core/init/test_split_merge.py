"""Split and merge moves."""

from dataclasses import replace

import numpy as np
import pytest

from daskgmm.core.em.loop import EMOptions, State, StopReason, Trial, iterate
from daskgmm.core.init.exchanges import apply_exchanges, combine_exchanges, split_again
from daskgmm.core.init.split_merge import _choose_foremost, split_merge
from daskgmm.core.init.splitting import halve_each
from daskgmm.core.init.starts import SeedOptions, in_memory
from daskgmm.core.mixture.floor import Floor
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles

FLOOR = Floor(np.full(2, 1e-6), 1e-6 * np.eye(2))
EM = EMOptions(1e-6, 1000, FLOOR, accelerate=True)


def halve(sample):
    return lambda mixture: halve_each(sample, mixture, FLOOR)


def moved(sample, options, mixture):
    return split_merge(sample, options, [mixture])[0]


def wrong(covariance_type="full"):
    """Return rows of three clusters in a row, and a mixture with two components on the first, one on the others."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(at, 1, (2_000, 2)) for at in ([0.0, 0.0], [20.0, 0.0], [26.0, 0.0])])
    means = np.array([[-0.5, 0.0], [0.5, 0.0], [23.0, 0.0]])
    variances = np.array([[1.0, 1.0], [1.0, 1.0], [10.0, 1.0]])
    covariances = {
        "full": np.array([np.diag(one) for one in variances]),
        "tied": np.eye(2),
        "diag": variances,
        "spherical": variances.mean(axis=1),
    }
    mixture = Mixture(covariance_type, np.array([1 / 6, 1 / 6, 2 / 3]), means, covariances[covariance_type])
    return in_memory(rng.permutation(rows), None), mixture


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_component_moves_to_where_it_is_missing(covariance_type):
    sample, mixture = wrong(covariance_type)
    stuck = iterate(State(sample.data_summary, (Trial(mixture),)), sample, EM).best
    trial = moved(sample, SeedOptions(3, covariance_type, em=EM), mixture)
    assert trial.history[-1] > stuck.history[-1] + 0.1
    np.testing.assert_allclose(np.sort(trial.mixture.means[:, 0]), [0, 20, 26], atol=0.2)


def test_moves_leave_a_mixture_that_fits_as_it_is():
    sample, _ = wrong()
    means = np.array([[0.0, 0.0], [20.0, 0.0], [26.0, 0.0]])
    mixture = Mixture("full", np.full(3, 1 / 3), means, np.array([np.eye(2)] * 3))
    alone = iterate(State(sample.data_summary, (Trial(mixture),)), sample, EM).best
    trial = moved(sample, SeedOptions(3, em=EM), mixture)
    assert trial.history[-1] == pytest.approx(alone.history[-1], abs=1e-3)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_first_exchange_splits_what_is_two_and_merges_what_is_one(covariance_type):
    sample, mixture = wrong(covariance_type)
    first = combine_exchanges(mixture, halve_each(sample, mixture, FLOOR), 4)[0]
    assert first.components == (2, 0, 1)
    merged = int(np.argmin(first.replacement.means[:, 0]))
    np.testing.assert_allclose(np.sort(first.replacement.means[:, 0]), [0, 20, 26], atol=0.3)
    assert first.replacement.weights[merged] == pytest.approx(1 / 3)
    if covariance_type == "full":
        np.testing.assert_allclose(
            first.replacement.covariances[merged], np.diag([1.25, 1.0])
        )  # 1 within, 0.25 between


def test_exchanges_keep_the_number_of_components_and_the_weight():
    parameters = oracles.random_parameters("full", 5, 3, seed=1)
    sample, mixture = in_memory(oracles.draw(parameters, 5_000)[0], None), Mixture(*parameters)
    found = combine_exchanges(mixture, halve_each(sample, mixture, None), 4)
    assert len(found) == 4
    for one in found:
        whole = apply_exchanges(mixture, [one])
        assert whole.n_components == 5
        assert whole.weights.sum() == pytest.approx(1)
        kept = np.setdiff1d(np.arange(5), one.components)
        n_kept = len(kept)
        np.testing.assert_array_equal(whole.means[:n_kept], mixture.means[kept])
        np.testing.assert_array_equal(whole.covariances[:n_kept], mixture.covariances[kept])
        assert whole.weights[n_kept:].sum() == pytest.approx(mixture.weights[list(one.components)].sum())


@pytest.mark.parametrize("unit", [1e-80, 1e-6, 1.0, 1e3, 1e70])
def test_moves_do_not_depend_on_the_units_of_a_column(unit):
    """One that is the same in all rows of the three components that are exchanged."""
    sample, mixture = wrong()
    rng = np.random.default_rng(5)
    last = np.concatenate([np.zeros(6_000), rng.normal(1.0, 0.1, 2_000)]) * unit
    first = np.concatenate([sample.rows[:, 0], rng.normal(60.0, 1.0, 2_000)])
    spread = [(1.0, 1e-6), (1.0, 1e-6), (10.0, 1e-6), (1.0, 1e-2)]
    covariances = np.array([np.diag([one, unit**2 * other]) for one, other in spread])
    means = np.stack([[-0.5, 0.5, 23.0, 60.0], [0.0, 0.0, 0.0, unit]], axis=1)
    mixture = Mixture("full", np.array([1, 1, 4, 2]) / 8, means, covariances)
    sample = in_memory(np.stack([first, last], axis=1), None)
    em = replace(EM, floor=Floor.of(sample.data_summary, 1e-12))
    trial = moved(sample, SeedOptions(4, em=em), mixture)
    np.testing.assert_allclose(np.sort(trial.mixture.means[:, 0]), [0, 20, 26, 60], atol=0.2)


def test_a_move_to_a_mixture_that_collapses_is_not_made():
    """Without regularisation a component on one point has a density without bound."""
    rng = np.random.default_rng(2)
    clusters = [rng.normal(at, 1, (500, 2)) for at in ([0.0, 0.0], [20.0, 0.0])]
    sample = in_memory(rng.permutation(np.concatenate([*clusters, np.full((500, 2), [23.0, 3.0])])), None)
    em = replace(EM, floor=None)
    trial = moved(sample, SeedOptions(3, em=em), wrong()[1])
    assert trial.stop is StopReason.CONVERGED


def test_of_two_components_one_half_of_a_split_is_merged_with_the_other():
    """One component covers two clusters with a third far away, and the other lies within the first of them."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal((0.0, 0.0), 1, (2_000, 2)), rng.normal((40.0, 0.0), 1, (2_000, 2))])
    sample = in_memory(rng.permutation(rows), None)
    means, covariances = np.array([[0.0, 0.0], [20.0, 0.0]]), np.array([0.04 * np.eye(2), np.diag([400.0, 1.0])])
    mixture = Mixture("full", np.array([0.02, 0.98]), means, covariances)
    first = combine_exchanges(mixture, halve_each(sample, mixture, FLOOR), 4)[0]
    np.testing.assert_allclose(np.sort(first.replacement.means[:, 0]), [0, 40], atol=0.3)
    assert first.replacement.weights.sum() == pytest.approx(1)
    trial = moved(sample, SeedOptions(2, em=EM), mixture)
    np.testing.assert_allclose(np.sort(trial.mixture.means[:, 0]), [0, 40], atol=0.2)


def test_a_tight_group_within_a_broad_one_is_found():
    """EM alone stays on a plateau there for long."""
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(size=(9_600, 2)), 0.1 * rng.normal(size=(400, 2)) + 1])
    sample = in_memory(rng.permutation(rows), None)
    means = np.array([[-0.8, 0.0], [0.8, 0.0]])
    trial = moved(sample, SeedOptions(2, em=EM), Mixture("full", np.full(2, 0.5), means, np.array([np.eye(2)] * 2)))
    assert trial.mixture.weights.min() == pytest.approx(0.04, abs=0.01)


def test_a_component_that_has_not_changed_is_not_halved_again():
    sample, mixture = wrong()
    known = halve_each(sample, mixture, FLOOR)
    moved_one = replace(mixture, means=mixture.means + np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))
    again = halve_each(sample, moved_one, FLOOR, known)
    pairs = {one.component: one.pair for one in known}
    assert {one.component for one in again if one.pair is pairs[one.component]} == {0, 1}


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_two_components_on_a_broad_cluster_leave_one_for_the_tight_cluster_within(covariance_type):
    """A plateau: EM gains less than 1e-6 in each of a thousand steps there."""
    rng = np.random.default_rng(0)
    tight = [rng.normal(at, width, (100, 2)) for at, width in (([1.5, 0.0], 0.05), ([-1.0, 1.0], 0.02))]
    sample = in_memory(rng.permutation(np.concatenate([rng.normal(size=(4_000, 2)), *tight])), None)
    means = np.array([[0.3, -0.2], [-0.3, 0.2], [-1.0, 1.0]])
    widths = np.array([1.0, 1.0, 0.02])
    covariances = {"full": np.array([np.eye(2) * one**2 for one in widths]), "diag": widths[:, None] ** 2 * np.ones(2)}
    mixture = Mixture(covariance_type, np.array([0.488, 0.488, 0.024]), means, covariances[covariance_type])
    assert split_again(sample, mixture, FLOOR, 4)[0][1].components == (0, 1)
    trial = moved(sample, SeedOptions(3, covariance_type, em=EM), mixture)
    np.testing.assert_allclose(np.sort(trial.mixture.weights), np.array([100, 100, 4000]) / 4200, atol=0.01)


def test_what_part_of_the_sample_does_not_tell_apart_is_left_to_more_rows():
    """Rows of one Gaussian: which of two ways to cut it in two is better few rows cannot tell."""
    rng = np.random.default_rng(3)
    sample = in_memory(rng.uniform(-1, 1, (400, 2)) * [1.0, 1.01], None)
    halves = [
        Mixture("full", np.full(2, 0.5), 0.5 * np.array([at, -at]), np.array([np.eye(2) / 4] * 2)) for at in np.eye(2)
    ]
    part = split_merge(sample, SeedOptions(2, em=EM), halves)
    whole = split_merge(sample, SeedOptions(2, in_parts=False, em=EM), halves)
    assert len(part) > 1
    assert part[0].ranking_key == whole[0].ranking_key
    levels = [trial.history[-1] for trial in part]
    assert levels == sorted(levels, reverse=True)


def test_nothing_is_lost_by_more_starts():
    rng = np.random.default_rng(5)
    sample, options = in_memory(rng.random((300, 4)), None), SeedOptions(2, in_parts=False, em=replace(EM, floor=None))
    starts = [Mixture("full", np.full(2, 0.5), rng.random((2, 4)), np.array([np.eye(4) / 10] * 2)) for _ in range(4)]
    levels = [split_merge(sample, options, starts[:n])[0].history[-1] for n in (1, 2, 4)]
    assert levels == sorted(levels)


@pytest.mark.parametrize("weighted", [False, True])
def test_mixtures_are_chosen_for_the_whole_sample_by_rows_that_they_have_not_seen(weighted):
    rng = np.random.default_rng(6)
    rows = np.concatenate([rng.normal(0, 1, (10_000, 2)), rng.normal(3, 1, (4_000, 2)), np.full((2_000, 2), np.nan)])
    weights = np.repeat([1.0, 1.0, 0.0], [10_000, 4_000, 2_000])
    sample = in_memory(rows, weights) if weighted else in_memory(rows[:14_000], None)
    seen, between, unseen = (
        Mixture("full", np.ones(1), np.full((1, 2), at), np.eye(2)[None]) for at in (0.0, 2.0, 3.0)
    )
    assert _choose_foremost(sample, [seen, between, unseen], 2) == [unseen, between]
    part = in_memory(rows[:4_000], None)  # of which all were seen
    assert _choose_foremost(part, [unseen, between, seen], 1) == [seen]
    singular = replace(seen, covariances=np.zeros((1, 2, 2)))
    assert _choose_foremost(sample, [singular, seen], 1) == [singular, seen]
