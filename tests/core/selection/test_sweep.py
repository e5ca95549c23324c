"""The sweep as values: who takes part in a pass, who leaves, who comes back, and what the table says."""

from dataclasses import replace

import numpy as np
import pytest

from daskgmm.core.em.loop import EMOptions, State, StopReason, Trial
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.mixture.statistics import Statistics
from daskgmm.core.selection.folds import FoldStatistics, HeldOutStatistics
from daskgmm.core.selection.sweep import (
    Candidate,
    Sweep,
    SweepOptions,
    advance_sweep,
    best_candidate,
    fold_in,
    fold_name,
    initial_sweep,
    loss,
    remaining_gain,
    run_sweep,
)
from daskgmm.core.selection.table import columns, elbow, evidence, selection
from daskgmm.errors import SingularCovarianceError

RNG = np.random.default_rng(0)
ROWS = np.concatenate([RNG.normal(size=(150, 2)), RNG.normal(size=(150, 2)) + 7])
SAMPLE = in_memory(ROWS, None)
TRUTH = {
    1: Mixture("full", np.ones(1), ROWS.mean(axis=0)[None], np.cov(ROWS.T)[None]),
    2: Mixture("full", np.full(2, 0.5), np.array([[0.0, 0], [7, 7]]), np.array([np.eye(2)] * 2)),
    3: Mixture("full", np.full(3, 1 / 3), np.array([[0.0, 0], [6, 7], [8, 7]]), np.array([np.eye(2)] * 3)),
}
OPTIONS = SweepOptions(EMOptions(tol=1e-6, max_iter=300))


def started(sizes=(1, 2, 3), n_folds=0, **failing):
    candidates = [Candidate(k, "full") for k in sizes]
    seeds = {one.name: failing.get(one.name, (Trial(TRUTH[one.n_components]),)) for one in candidates}
    return initial_sweep(candidates, seeds, SAMPLE.data_summary, n_folds)


def passing(seen=None):
    def expect(mixtures, folds):
        if seen is not None:
            seen.append([mixture.n_components for mixture in mixtures])
        return tuple(map(FoldStatistics, SAMPLE(mixtures)))

    return expect


def scored(log_likelihood, k=1, n=300.0):
    sums = np.tile(np.array([n / k, 0, 0, n, 0, n]), (k, 1))
    return FoldStatistics(Statistics(sums, log_likelihood, 0.0, n, centred=False))


def test_all_live_candidates_share_each_pass_and_the_best_is_found():
    seen = []
    sweep = run_sweep(started(), passing(seen), replace(OPTIONS, leave_early=False))
    assert seen[0] == [1, 2, 3]
    assert len(seen) == sweep.iteration == max(state.iteration for state in sweep.states.values())
    assert not sweep.live
    assert best_candidate(sweep, OPTIONS) == Candidate(2, "full")
    assert all(state.best.stop is StopReason.CONVERGED for state in sweep.states.values())


def test_a_candidate_that_cannot_win_leaves_after_the_first_pass_and_the_winner_is_the_same():
    seen = []
    sweep = run_sweep(started(), passing(seen), OPTIONS)
    assert sweep.states["full-1"].best.stop is StopReason.BEATEN
    assert seen[1] == [2]
    patient = run_sweep(started(), passing(), replace(OPTIONS, leave_early=False))
    np.testing.assert_array_equal(
        sweep.states["full-2"].best.mixture.means, patient.states["full-2"].best.mixture.means
    )


def test_a_candidate_stays_while_what_it_may_gain_could_make_it_win():
    sweep = started((1, 2))
    unsure = replace(OPTIONS, n_sample=20)  # starts fitted to 20 rows may gain much
    first = advance_sweep(sweep, [scored(-1000.0), scored(-990.0, 2)], unsure)
    assert first.n_live == 2
    surer = advance_sweep(sweep, [scored(-1000.0), scored(-990.0, 2)], replace(OPTIONS, n_sample=100_000))
    assert surer.n_live == 1


TWO_ROWS = 2 / SAMPLE.data_summary.n_rows  # fewer than a covariance takes
FLAT = Mixture(
    "full", np.array([1 - TWO_ROWS, TWO_ROWS]), np.zeros((2, 2)), np.array([np.eye(2), np.diag([1.0, 1e-12])])
)


def test_those_that_left_come_back_when_the_leader_fails():
    sweep = advance_sweep(started((1, 2)), [scored(-1000.0), scored(-900.0, 2)], OPTIONS)
    assert sweep.states["full-1"].best.stop is StopReason.BEATEN
    after = advance_sweep(sweep, [scored(float("nan"), 2)], OPTIONS)
    assert "full-2" in after.failures
    assert [name for name, _ in after.live] == ["full-1"]


def test_those_that_left_come_back_when_the_leader_has_collapsed():
    sweep = advance_sweep(started((1, 2)), [scored(-1000.0), scored(-900.0, 2)], OPTIONS)
    leader = replace(sweep.states["full-2"].trials[0], mixture=FLAT, proposal=None, history=(-3.0,) * 4)
    sweep = replace(sweep, states={**sweep.states, "full-2": State(SAMPLE.data_summary, (leader,), 4)})
    after = advance_sweep(sweep, [scored(-900.0, 2)], OPTIONS)
    assert after.states["full-2"].best.stop is StopReason.CONVERGED
    assert [name for name, _ in after.live] == ["full-1"]


def test_a_collapsed_candidate_does_not_win_however_high_its_likelihood():
    sweep = run_sweep(started((1, 2)), passing(), OPTIONS)
    trial = replace(sweep.states["full-2"].best, mixture=FLAT)
    sweep = replace(sweep, states={**sweep.states, "full-2": State(SAMPLE.data_summary, (trial,), 3)})
    assert loss(sweep, Candidate(2, "full"), "bic") < loss(sweep, Candidate(1, "full"), "bic")
    table = selection(sweep, OPTIONS)
    assert table.best == "full-1"
    assert table.rows[1].collapsed == (1,)
    assert table.rows[1].delta is None
    only = replace(sweep, candidates=(Candidate(2, "full"),))
    assert best_candidate(only, OPTIONS) == Candidate(2, "full")


def test_a_candidate_that_fails_at_its_start_or_on_its_way_is_reported_and_the_sweep_goes_on():
    sweep = started(**{"full-3": SingularCovarianceError("why not")})
    assert dict(sweep.failures) == {"full-3": "why not"}
    sweep = advance_sweep(sweep, [scored(float("nan")), scored(-900.0, 2)], OPTIONS)
    assert "not a finite number" in sweep.failures["full-1"]
    table = selection(run_sweep(sweep, passing(), OPTIONS), OPTIONS)
    assert table.best == "full-2"
    assert [row.failed for row in table.rows] == [True, False, True]
    assert table.rows[2].stop_reason == "why not"
    assert table.rows[2].criterion is None


def test_a_start_that_is_singular_fails_and_where_all_fail_there_is_no_table():
    flat = Mixture("full", np.ones(1), np.zeros((1, 2)), np.zeros((1, 2, 2)))
    sweep = started((1,), **{"full-1": (Trial(flat),)})
    assert "component 0" in sweep.failures["full-1"]
    assert selection(run_sweep(sweep, passing(), OPTIONS), OPTIONS) is None


def test_the_table_never_shows_less_than_a_smaller_candidate_of_the_structure_has():
    sweep = run_sweep(started((1, 2)), passing(), OPTIONS)
    worse = replace(sweep.states["full-2"].best, statistics=scored(-1700.0, 3).statistics, mixture=TRUTH[3])
    candidates = tuple(Candidate(k, "full") for k in (1, 2, 3))
    sweep = replace(
        sweep, candidates=candidates, states={**sweep.states, "full-3": State(SAMPLE.data_summary, (worse,), 1)}
    )
    table = selection(sweep, OPTIONS)
    assert table.rows[2].nested == "full-2"
    assert table.rows[2].log_likelihood == table.rows[1].log_likelihood
    free, n = table.rows[2].n_parameters - table.rows[1].n_parameters, sweep.data_summary.weight_sum
    assert table.rows[2].bic == pytest.approx(table.rows[1].bic + free * np.log(n))
    assert table.rows[2].icl > table.rows[1].icl


def test_cutting_a_component_in_two_is_what_the_nested_row_says():
    """Log-likelihood and entropy of the mixture itself, with its lightest component twice at half the weight."""
    mixture = replace(TRUTH[2], weights=np.array([0.7, 0.3]))
    cut = Mixture(
        "full",
        np.array([0.7, 0.15, 0.15]),
        mixture.means[[0, 1, 1]],
        np.concatenate([mixture.covariances, [np.eye(2)]]),
    )
    whole, halves = SAMPLE((mixture,))[0], SAMPLE((cut,))[0]
    assert halves.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-12)
    assert halves.entropy == pytest.approx(whole.entropy + whole.counts[1] * np.log(2), rel=1e-8)


@pytest.mark.parametrize("criterion", ["bic", "aic", "aicc", "icl"])
def test_the_criterion_decides_and_the_difference_to_the_best_is_kept(criterion):
    options = replace(OPTIONS, criterion=criterion)
    table = selection(run_sweep(started(), passing(), options), options)
    values = [getattr(row, criterion) for row in table.rows]
    assert table.best == table.rows[int(np.argmin(values))].name
    assert table.smaller_is_better
    for row, value in zip(table.rows, values, strict=True):
        assert row.criterion == value
        assert row.delta == pytest.approx(value - min(values))
        assert row.delta_bic >= 0


def test_held_out_rows_choose_by_the_folds_of_each_candidate():
    def expect(mixtures, folds):
        seen.append(folds)
        value = {1: -3.0, 2: -2.0, 3: -2.5}
        return tuple(
            FoldStatistics(
                one,
                HeldOutStatistics() if fold is None else HeldOutStatistics(100 * value[m.n_components] + fold, 100.0),
            )
            for one, m, fold in zip(SAMPLE(mixtures), mixtures, folds, strict=True)
        )

    seen, options = [], replace(OPTIONS, criterion="heldout", leave_early=False)
    table = selection(run_sweep(started(n_folds=2), expect, options), options)
    assert seen[0] == (None, 0, 1) * 3
    assert table.best == "full-2"
    assert not table.smaller_is_better
    assert table.rows[0].held_out_folds == pytest.approx((-3.0, -2.99))
    assert table.rows[0].held_out_error == pytest.approx(0.005)
    assert table.rows[0].delta == pytest.approx(1.0)
    assert table.chosen.delta == 0


def test_a_fold_without_rows_judges_nothing():
    def expect(mixtures, folds):
        value = {1: -3.0, 2: -2.0}
        return tuple(
            FoldStatistics(
                one, HeldOutStatistics(100 * value[m.n_components] + fold, 100.0) if fold else HeldOutStatistics()
            )
            for one, m, fold in zip(SAMPLE(mixtures), mixtures, folds, strict=True)
        )

    options = replace(OPTIONS, criterion="heldout")
    table = selection(run_sweep(started((1, 2), n_folds=3), expect, options), options)
    assert table.best == "full-2"
    assert table.chosen.held_out_folds == pytest.approx((-1.99, -1.98))
    assert table.chosen.held_out == pytest.approx(-1.985)


def test_a_collapsed_candidate_bends_no_elbow():
    """Its log-likelihood has no bound."""
    spread = np.array([np.eye(2) * 20, np.eye(2) * 1e-7])
    mixtures = {**TRUTH, 2: Mixture("full", np.array([0.99, 0.01]), np.array([[3.0, 3], ROWS[0]]), spread)}
    ended = {
        k: Trial(mixtures[k], (value / 300,), scored(value, k).statistics, StopReason.MAX_ITER)
        for k, value in ((1, -1000.0), (2, -100.0), (3, -50.0))
    }
    states = {f"full-{k}": State(SAMPLE.data_summary, (trial,)) for k, trial in ended.items()}
    table = selection(replace(started(), states=states), OPTIONS)
    assert [bool(row.collapsed) for row in table.rows] == [False, True, False]
    assert table.elbow == {"full": None}


def test_a_fold_that_fails_takes_its_candidate_along():
    sweep = started((1, 2), n_folds=2)
    bad = [scored(-1000.0), scored(-1000.0), scored(float("nan")), *[scored(-900.0, 2)] * 3]
    after = advance_sweep(sweep, bad, replace(OPTIONS, criterion="heldout"))
    assert set(after.failures) == {"full-1"}
    assert set(after.states) == {"full-2", "full-2/fold-0", "full-2/fold-1"}


def test_a_fold_goes_closer_to_its_limit_than_a_fit_to_all_rows():
    """It starts from a mixture that has seen the rows held out."""
    options = SweepOptions(EMOptions(tol=1e-2), "heldout", leave_early=False)
    sweep = run_sweep(started((3,), n_folds=2), passing(), options)
    assert sweep.states["full-3/fold-0"].iteration > sweep.states["full-3"].iteration


def test_names_of_folds_are_read_back():
    one = Candidate(12, "spherical")
    assert [fold_in(name) for name in (one.name, fold_name(one, 0), fold_name(one, 11))] == [None, 0, 11]


def test_before_three_gains_are_known_the_sample_says_what_may_come():
    fresh = Trial(TRUTH[2], history=(-3.0,))
    small, large, all_rows = (remaining_gain(fresh, replace(OPTIONS, n_sample=n)) for n in (100, 10_000, None))
    assert small > large > all_rows == OPTIONS.em.tol
    p = TRUTH[2].n_parameters
    assert large > p / (2 * 10_000)
    late = Trial(TRUTH[2], history=(-4.0, -3.5, -3.25, -3.125))
    assert remaining_gain(late, OPTIONS) == pytest.approx(0.125)


def test_a_sweep_goes_on_from_its_values_as_if_it_had_not_stopped():
    whole = run_sweep(started(), passing(), OPTIONS)
    first = None

    def stop_after_two(sweep):
        nonlocal first
        first = sweep if sweep.iteration == 2 else first
        return sweep

    run_sweep(started(), passing(), OPTIONS, stop_after_two)
    values = {name: getattr(first, name) for name in Sweep.__dataclass_fields__}
    again = run_sweep(Sweep(**values), passing(), OPTIONS)
    assert {name: state.best.history for name, state in again.states.items()} == {
        name: state.best.history for name, state in whole.states.items()
    }


@pytest.mark.parametrize(
    ("delta", "words"),
    [(0.5, "weak"), (2.0, "weak"), (2.1, "positive"), (6.1, "strong"), (10.1, "very strong"), (1e9, "very")],
)
def test_evidence_is_in_rafterys_words(delta, words):
    assert evidence(delta).startswith(words)


def test_the_elbow_is_where_the_log_likelihood_bends():
    assert elbow([1, 2, 3, 4, 5, 6], [0, 50, 100, 103, 105, 106]) == 3
    assert elbow([1, 2, 4, 8], [0, 90, 99, 100]) == 2
    assert elbow([1, 2, 3], [0, 1, 2]) is None
    assert elbow([1, 2], [0, 1]) is None


def test_columns_hold_an_entry_for_each_candidate():
    table = columns(selection(run_sweep(started(), passing(), OPTIONS), OPTIONS))
    assert table["name"] == ["full-1", "full-2", "full-3"]
    assert {len(values) for values in table.values()} == {3}
