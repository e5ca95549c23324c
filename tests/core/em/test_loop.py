"""The loop: stopping, purity, resumption."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.core.em.loop import EMOptions, State, StopReason, Trial, advance, iterate, remaining_gain
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles

NEVER = EMOptions(tol=0.0, max_iter=60)  # stops at max_iter only


def example(covariance_type="full", n=300, seed=1, weighted=False, spread=1.5):
    """Return a sample, and a mixture from which EM has a way to go."""
    rows, _ = oracles.draw(oracles.random_parameters(covariance_type, 3, 2, seed=seed), n)
    row_weights = np.random.default_rng(seed).uniform(0, 2, n) if weighted else None
    mixture = Mixture(*oracles.random_parameters(covariance_type, 3, 2, seed=seed + 10, spread=spread))
    return in_memory(rows, row_weights), mixture


def start(sample, *mixtures):
    return State(sample.data_summary, tuple(Trial(mixture) for mixture in mixtures))


def arrays(mixture):
    return (mixture.weights, mixture.means, mixture.covariances)


def assert_identical(one, other):
    for ours, theirs in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_log_likelihood_never_decreases(covariance_type, seed, weighted):
    sample, mixture = example(covariance_type, 1000, seed, weighted, spread=0.5)
    history = iterate(start(sample, mixture), sample, NEVER).best.history
    assert len(history) > 20
    assert history[-1] > history[0] + 0.01
    assert np.diff(history).min() >= 0


# Aitken's estimate


@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("limit", [-4.0, 0.0, 1e3])
def test_remaining_gain_is_exact_on_a_geometric_series(ratio, limit):
    history = tuple(limit - 2.0 * ratio**i for i in range(6))
    assert remaining_gain(history) == pytest.approx(limit - history[-1], rel=1e-6)


@given(ratio=st.floats(0.05, 0.95), first=st.floats(1e-3, 10), limit=st.floats(-10, 10), n=st.integers(4, 12))
def test_remaining_gain_of_any_geometric_series_is_its_remainder(ratio, first, limit, n):
    history = tuple(limit - first * ratio**i for i in range(n))
    rounding = 1e-15 * (1 + abs(limit) + first)  # of a value of the history
    gain = history[-1] - history[-2]
    error = 10 * rounding / gain / (1 - ratio)  # of the ratio and what it is divided by
    assert remaining_gain(history) == pytest.approx(limit - history[-1], rel=max(1e-9, error), abs=1e-12)


@pytest.mark.parametrize("history", [(), (-5.0,), (-5.0, -4.0), (-5.0, -4.0, -3.5)])
def test_remaining_gain_is_infinite_before_there_are_three_gains(history):
    assert remaining_gain(history) == np.inf


@pytest.mark.parametrize("gains", [(0.1, 0.2, 0.4), (0.1, 0.1, 0.1), (0.4, 0.1, 0.2), (0.1, 0.2, 0.1)])
def test_remaining_gain_is_infinite_where_a_gain_is_no_smaller_than_the_one_before(gains):
    assert remaining_gain(tuple(np.cumsum((-5.0, *gains)))) == np.inf


@pytest.mark.parametrize("history", [(-4.0, -4.0), (-5.0, -4.0, -4.0), (-6.0, -5.0, -4.5, -4.5 + 4e-14)])
def test_remaining_gain_is_zero_at_no_gain(history):
    assert remaining_gain(history) == 0.0


def test_a_step_of_em_that_gains_nothing_ends_the_trial_at_the_mixture_before_it():
    """Rounding makes it so where nothing is left to be gained."""
    sample, mixture = example()
    (statistics,) = sample((mixture,))
    level = statistics.mean_log_likelihood
    trial = Trial(mixture, (level,), statistics, proposal=Mixture(*oracles.random_parameters("full", 3, 2, seed=99)))
    lower = replace(statistics, log_likelihood=statistics.log_likelihood - 1e-9)
    after = advance(State(sample.data_summary, (trial,)), (lower,), EMOptions()).best
    assert after.stop is StopReason.CONVERGED
    assert after.history == (level,)
    assert after.mixture is mixture
    assert after.n_iter == 1


def test_the_slower_of_the_last_two_ratios_is_taken():
    gains = (1.0, 0.9, 0.09)
    history = tuple(np.cumsum((-5.0, *gains)))
    assert remaining_gain(history) == pytest.approx(0.09 * 0.9 / 0.1)


def test_gains_long_past_do_not_count():
    late = (0.4, 0.2, 0.1)
    history = tuple(np.cumsum((-5.0, 1e-3, 3.0, 1e-6, *late)))
    assert remaining_gain(history) == pytest.approx(0.1)


# advance


def test_advance_leaves_its_input_unchanged_and_gives_the_same_again():
    sample, mixture = example()
    state = start(sample, mixture, Mixture(*oracles.random_parameters("full", 3, 2, seed=9)))
    for _ in range(3):
        statistics = sample(state.targets)
        before = pickle.loads(pickle.dumps((state, statistics)))
        once, again = advance(state, statistics, NEVER), advance(state, statistics, NEVER)
        assert state.iteration == before[0].iteration
        for one, other in zip(statistics, before[1], strict=True):
            np.testing.assert_array_equal(one.sums, other.sums)
        for one, other in zip(state.trials, before[0].trials, strict=True):
            assert one.history == other.history
            assert one.stop == other.stop
            assert_identical(one.mixture, other.mixture)
        for one, other in zip(once.trials, again.trials, strict=True):
            assert one.history == other.history
            assert_identical(one.mixture, other.mixture)
        state = once


def test_a_state_that_was_stored_goes_on_bit_for_bit():
    sample, mixture = example()
    states = []
    whole = iterate(start(sample, mixture), sample, NEVER, states.append)
    resumed = iterate(pickle.loads(pickle.dumps(states[20])), sample, NEVER)
    assert resumed.best.history == whole.best.history
    assert_identical(resumed.best.mixture, whole.best.mixture)


@pytest.mark.parametrize("max_iter", [1, 3])
def test_a_trial_stops_at_max_iter_with_the_mixture_that_was_evaluated_last(max_iter):
    sample, mixture = example()
    states = []
    state = iterate(start(sample, mixture), sample, replace(NEVER, max_iter=max_iter), states.append)
    trial = state.best
    assert trial.stop is StopReason.MAX_ITER
    assert trial.n_iter == max_iter
    assert [one.iteration for one in states] == list(range(1, max_iter + 2))
    assert len(trial.history) == max_iter + 1
    (statistics,) = sample((trial.mixture,))
    assert statistics.mean_log_likelihood == trial.history[-1]
    np.testing.assert_array_equal(statistics.sums, trial.statistics.sums)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
@pytest.mark.parametrize("tol", [1e-4, 1e-6])
def test_a_converged_trial_has_about_tol_left_to_gain(covariance_type, tol):
    """From the mixture that the rows were drawn from: past all saddles, where no estimate sees what is to come."""
    parameters = oracles.random_parameters(covariance_type, 3, 2, seed=2, spread=3.0)
    sample, mixture = in_memory(oracles.draw(parameters, 300)[0], None), Mixture(*parameters)
    trial = iterate(start(sample, mixture), sample, EMOptions(tol, 1000)).best
    assert trial.stop is StopReason.CONVERGED
    assert trial.remaining_gain < tol
    assert len(trial.history) < 1000
    limit = iterate(start(sample, trial.mixture), sample, EMOptions(1e-12, 10_000)).best.history[-1]
    assert limit - trial.history[-1] < 2 * tol  # an estimate, not a bound
    (statistics,) = sample((trial.mixture,))
    assert statistics.mean_log_likelihood == trial.history[-1]


def test_one_component_converges_after_one_step():
    sample, _ = example()
    mixture = Mixture(*oracles.random_parameters("full", 1, 2))
    trial = iterate(start(sample, mixture), sample, EMOptions()).best
    assert trial.stop is StopReason.CONVERGED
    assert trial.n_iter <= 2
    np.testing.assert_allclose(trial.mixture.means[0], sample.rows.mean(axis=0), rtol=1e-12)


def settled(mixture, level, remaining):
    """Return a trial whose next history value `level` leaves an estimated `remaining` gain."""
    gains = remaining * np.array([4.0, 2.0, 1.0])
    return Trial(mixture, history=tuple(level - gains.sum() + np.cumsum([0.0, *gains[:2]])))


def test_a_trial_whose_limit_is_below_another_is_overtaken_and_not_passed_again():
    sample, mixture = example()
    (statistics,) = sample((mixture,))
    good, hopeless, hopeful = (
        (settled(mixture, -4.0, 0.1), -4.0),
        (settled(mixture, -4.2, 0.1), -4.2),
        (settled(mixture, -4.2, 0.3), -4.2),
    )
    trials, levels = zip(good, hopeless, hopeful, strict=True)
    state = State(sample.data_summary, trials, iteration=3)
    passed = tuple(replace(statistics, log_likelihood=level * statistics.weight_sum) for level in levels)
    after = advance(state, passed, EMOptions())
    assert [trial.stop for trial in after.trials] == [None, StopReason.OVERTAKEN, None]
    assert after.live == (after.trials[0], after.trials[2])
    assert after.best is after.trials[0]
    assert_identical(after.trials[1].mixture, mixture)  # the one that was evaluated
    later = advance(after, sample(after.targets), EMOptions())
    assert later.trials[1] is after.trials[1]


def test_a_trial_that_still_accelerates_is_not_given_up():
    sample, mixture = example()
    (statistics,) = sample((mixture,))
    slow = Trial(mixture, history=(-9.0, -8.9, -8.7))
    state = State(sample.data_summary, (settled(mixture, -4.0, 0.1), slow), iteration=3)
    passed = tuple(replace(statistics, log_likelihood=level * statistics.weight_sum) for level in (-4.0, -8.3))
    assert advance(state, passed, EMOptions()).trials[1].stop is None


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_trial_stops_before_a_covariance_becomes_singular(covariance_type):
    """With as many components as distinct rows the likelihood has no bound."""
    sample = in_memory(np.repeat(np.array([[0.0, 1], [2, 3], [5, 1]]), 10, axis=0), None)
    unit = {"full": np.array([np.eye(2)] * 3), "tied": np.eye(2), "diag": np.ones((3, 2)), "spherical": np.ones(3)}
    mixture = Mixture(covariance_type, np.full(3, 1 / 3), sample.rows[::10] + 0.1, unit[covariance_type])
    trial = iterate(start(sample, mixture), sample, NEVER).best
    assert trial.stop is StopReason.COLLAPSED
    assert np.isfinite(trial.history).all()
    (statistics,) = sample((trial.mixture,))  # the mixture that was evaluated last is regular
    assert statistics.mean_log_likelihood == trial.history[-1]


def test_a_collapsed_trial_is_not_the_best_however_high_its_likelihood():
    sample, mixture = example()
    collapsed = Trial(mixture, history=(50.0,), stop=StopReason.COLLAPSED)
    sound = Trial(mixture, history=(-4.0,))
    assert State(sample.data_summary, (collapsed, sound)).best is sound
    assert State(sample.data_summary, (collapsed,)).best is collapsed


def test_a_collapsed_trial_overtakes_no_other():
    sample, mixture = example()
    (statistics,) = sample((mixture,))
    collapsed = Trial(mixture, history=(50.0,), statistics=statistics, stop=StopReason.COLLAPSED)
    state = State(sample.data_summary, (collapsed, settled(mixture, -4.0, 0.1)), iteration=3)
    passed = (replace(statistics, log_likelihood=-4.0 * statistics.weight_sum),)
    assert advance(state, passed, EMOptions()).trials[1].stop is None


def test_every_stop_reason_is_a_sentence():
    for reason in StopReason:
        assert len(reason.value.split()) >= 4


def test_trials_share_passes_and_each_goes_where_it_would_go_alone():
    sample, mixture = example()
    other = Mixture(*oracles.random_parameters("full", 2, 2, seed=4))
    together = iterate(start(sample, mixture, other), sample, replace(NEVER, max_iter=5)).trials
    for trial, one in zip(together, (mixture, other), strict=True):
        alone = iterate(start(sample, one), sample, replace(NEVER, max_iter=5)).best
        np.testing.assert_allclose(trial.history, alone.history, rtol=1e-13)  # a product of other size rounds otherwise
        np.testing.assert_allclose(trial.mixture.means, alone.mixture.means, rtol=1e-10)
        np.testing.assert_allclose(trial.mixture.covariances, alone.mixture.covariances, rtol=1e-10)


def test_the_best_trial_is_the_first_of_equals():
    sample, mixture = example()
    trials = tuple(Trial(mixture, history=(level,)) for level in (-5.0, -4.0, -4.0))
    assert State(sample.data_summary, trials).best is trials[1]


def test_the_last_gain_is_not_a_number_before_the_second_pass():
    _, mixture = example()
    assert np.isnan(Trial(mixture).gain)
    assert np.isnan(Trial(mixture, history=(-4.0,)).gain)
    assert Trial(mixture, history=(-4.0, -3.0)).gain == 1.0
