"""EM on a sample, corrected by the statistics of all rows."""

import numpy as np
import pytest

from daskgmm.core.em.loop import EMOptions, State, Trial, iterate
from daskgmm.core.em.surrogate import propose_surrogate_step
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles

EM = EMOptions(1e-6, 500, accelerate=True)


def data(covariance_type="full", n=20_000, n_sample=4_000, weighted=False, spread=1.5):
    """Return all rows, a sample of them, and the mixture to which EM on the sample leads."""
    parameters = oracles.random_parameters(covariance_type, 3, 2, seed=1, spread=spread)
    rows, _ = oracles.draw(parameters, n)
    rows = np.random.default_rng(0).permutation(rows)
    weights = np.random.default_rng(1).uniform(0.5, 2, n) if weighted else None
    whole = in_memory(rows, weights)
    sample = in_memory(rows[:n_sample], None if weights is None else weights[:n_sample])
    start = State(sample.data_summary, (Trial(Mixture(*parameters)),))
    return whole, sample, iterate(start, sample, EM).best.mixture


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_suggestion_gains_no_less_than_a_step_of_em_and_about_what_it_says(covariance_type, weighted):
    whole, sample, mixture = data(covariance_type, weighted=weighted)
    (statistics,) = whole((mixture,))
    suggestion = propose_surrogate_step(sample, whole.data_summary, Trial(mixture, statistics=statistics), EM)
    plain = iterate(State(whole.data_summary, (Trial(mixture),)), whole, EMOptions(1e-12, 1)).best.history
    gained = whole((suggestion.mixture,))[0].mean_log_likelihood - plain[0]
    assert gained > 0.95 * (plain[1] - plain[0])
    assert gained == pytest.approx(suggestion.gain, rel=0.5)


def test_fits_that_are_suggested_their_next_mixture_take_fewer_passes_to_the_same_limit():
    whole, sample, mixture = data()

    def suggest(trial, far):
        return propose_surrogate_step(sample, whole.data_summary, trial, EM, far)

    alone, led = (
        iterate(State(whole.data_summary, (Trial(mixture),)), whole, EM, **more).best
        for more in ({}, {"suggest": suggest})
    )
    assert led.history[-1] == pytest.approx(alone.history[-1], abs=1e-5)
    assert np.diff(led.history).min() >= 0
    assert len(led.history) < len(alone.history)


def test_nothing_is_suggested_for_components_far_apart_for_their_sizes():
    """The kernels with own centres take over there, and statistics about own means are no differences."""
    rows = np.concatenate([np.random.default_rng(0).normal(at, 1, (2_000, 2)) for at in (0.0, 1e8)])
    whole = in_memory(np.random.default_rng(1).permutation(rows), None)
    sample = in_memory(whole.rows[:500], None)
    mixture = Mixture("full", np.full(2, 0.5), np.array([[0.0, 0.0], [1e8, 1e8]]), np.array([np.eye(2)] * 2))
    assert (
        propose_surrogate_step(sample, whole.data_summary, Trial(mixture, statistics=whole((mixture,))[0]), EM) is None
    )


def test_nothing_is_suggested_while_a_component_is_empty():
    whole, sample, mixture = data()
    empty = Mixture("full", np.array([0.5, 0.5, 0.0]), mixture.means, mixture.covariances)
    assert propose_surrogate_step(sample, whole.data_summary, Trial(empty, statistics=whole((empty,))[0]), EM) is None


def test_where_the_difference_leads_to_a_singular_component_nothing_is_suggested_in_the_long_run():
    """Of a component of ten rows the difference says more than they do."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 4)) + (rng.random(20_000) < 0.1)[:, None]
    mixture = Mixture("full", np.array([0.9, 0.1]), np.array([np.zeros(4), np.ones(4)]), np.array([np.eye(4)] * 2))
    whole, sample = in_memory(rows, None), in_memory(rows[:100], None)
    trial = Trial(mixture, statistics=whole((mixture,))[0])
    near, far = (propose_surrogate_step(sample, whole.data_summary, trial, EM, far) for far in (False, True))
    assert near.gain > 0
    assert far is None


@pytest.mark.parametrize("far", [False, True])
def test_components_of_few_rows_in_the_sample_take_a_step_of_em_on_all_rows(far):
    rng = np.random.default_rng(0)
    small = rng.random(20_000) < 0.01
    rows = rng.normal(size=(20_000, 4)) + np.where(small, 3.0, 0.0)[:, None]
    means = np.array([np.full(4, 0.1), np.full(4, 2.5)])
    mixture = Mixture("full", np.array([0.985, 0.015]), means, np.array([np.eye(4)] * 2), frozen=())
    whole, sample = in_memory(rows, None), in_memory(rows[:400], None)
    (statistics,) = whole((mixture,))
    trial = Trial(mixture, statistics=statistics)
    image = EM.inference.maximize(mixture, statistics, whole.data_summary, EM.floor)
    found = propose_surrogate_step(sample, whole.data_summary, trial, EM, far).mixture
    np.testing.assert_array_equal(found.means[1], image.means[1])
    np.testing.assert_array_equal(found.covariances[1], image.covariances[1])
    assert np.abs(found.means[0] - image.means[0]).max() > 0
    assert found.frozen == ()


def test_where_the_sample_is_all_rows_small_components_move_as_all_others():
    rows = np.random.default_rng(0).normal(size=(12, 4))
    rows[6:] += 3
    whole = in_memory(rows, None)
    mixture = Mixture("full", np.full(2, 0.5), np.array([np.zeros(4), np.full(4, 2.0)]), np.array([np.eye(4)] * 2))
    (statistics,) = whole((mixture,))
    found = propose_surrogate_step(whole, whole.data_summary, Trial(mixture, statistics=statistics), EM).mixture
    steps = iterate(State(whole.data_summary, (Trial(mixture),)), whole, EMOptions(0, 4)).best.mixture
    np.testing.assert_allclose(found.means, steps.means, rtol=1e-6)


@pytest.mark.parametrize(
    ("n", "far", "on_half"), [(120_000, False, True), (120_000, True, False), (400_000, False, False)]
)
def test_steps_are_made_on_half_of_a_sample_that_is_large_beside_all_rows(n, far, on_half):
    whole, _, mixture = data(n=n)
    trial = Trial(mixture, statistics=whole((mixture,))[0])
    samples = [whole.rows[:60_000], np.concatenate([whole.rows[:30_000], whole.rows[60_000:90_000]])]
    found, other = (
        propose_surrogate_step(in_memory(rows, None), whole.data_summary, trial, EM, far).mixture for rows in samples
    )
    assert np.array_equal(found.means, other.means) == on_half


def test_steps_are_made_on_ten_rows_for_each_parameter_if_there_are():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(70_000, 12)) + 3 * rng.integers(3, size=(70_000, 12))
    mixture = Mixture("full", np.full(40, 1 / 40), rows[:40], np.array([3 * np.eye(12)] * 40))
    n = 10 * mixture.n_parameters
    assert 30_000 < n < 50_000
    whole = in_memory(rows, None)
    trial = Trial(mixture, statistics=whole((mixture,))[0])
    samples = [rows[:50_000], *(np.concatenate([rows[:m], rows[50_000 : 100_000 - m]]) for m in (n, n - 10))]
    found, same, other = (
        propose_surrogate_step(in_memory(one, None), whole.data_summary, trial, EM).mixture for one in samples
    )
    np.testing.assert_array_equal(found.means, same.means)
    assert np.abs(found.means - other.means).max() > 0
