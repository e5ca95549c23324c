"""Anderson acceleration of EM."""

from dataclasses import replace

import numpy as np
import pytest

from daskgmm.core.em.anderson import Step, extrapolate
from daskgmm.core.em.loop import EMOptions, State, StopReason, Suggestion, Trial, advance, iterate
from daskgmm.core.em.m_step import maximize
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.floor import Floor
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles

PLAIN = EMOptions(1e-9, 5000)


def overlapping(covariance_type="full", seed=1, n=1000):
    """Return a sample of components that overlap, and a mixture from which EM has a long way to go."""
    parameters = oracles.random_parameters(covariance_type, 3, 2, seed=seed, spread=1.0)
    mixture = Mixture(*oracles.random_parameters(covariance_type, 3, 2, seed=seed + 10, spread=1.0))
    return in_memory(oracles.draw(parameters, n)[0], None), mixture


def narrowed(mixture, width):
    """Return the mixture with a component, or the covariance of all, that is as much narrower in one direction."""
    covariances = mixture.covariances.copy()
    along = np.eye(2) - (1 - width) * np.full((2, 2), 0.5)
    match mixture.covariance_type:
        case "full":
            covariances[1] = along @ covariances[1] @ along
        case "tied":
            covariances = along @ covariances @ along
        case _:
            covariances[1] *= width**2
    return replace(mixture, covariances=covariances)


def as_many(mixture):
    return [mixture.covariances] * mixture.n_components if mixture.covariance_type == "tied" else mixture.covariances


def trial_of(sample, mixture, em):
    return iterate(State(sample.data_summary, (Trial(mixture),)), sample, em).best


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_log_likelihood_never_decreases_when_leaping(covariance_type):
    sample, mixture = overlapping(covariance_type)
    history = trial_of(sample, mixture, replace(PLAIN, accelerate=True)).history
    assert len(history) > 3
    assert np.diff(history).min() >= -1e-12


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_leaps_lead_to_the_limit_of_em_in_fewer_passes(covariance_type):
    sample, mixture = overlapping(covariance_type)
    near = trial_of(sample, mixture, EMOptions(1e-3, 5000)).mixture  # in the basin of one limit
    plain, leapt = (trial_of(sample, near, replace(PLAIN, accelerate=on)) for on in (False, True))
    assert leapt.history[-1] == pytest.approx(plain.history[-1], abs=1e-6)
    assert leapt.n_iter < plain.n_iter


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_steps_that_shrink_by_one_ratio_lead_to_their_limit(covariance_type):
    """Three mixtures on a line, in coordinates free of constraints: the mean of one component moves."""
    limit = Mixture(*oracles.random_parameters(covariance_type, 3, 2, seed=1))

    def at(distance):
        shift = np.zeros_like(limit.means)
        shift[1] = distance
        return replace(limit, means=limit.means + shift)

    steps = [Step(at(distance), at(distance * 0.9)) for distance in (1.0, 0.9)]
    mixture, gain = extrapolate(steps)
    np.testing.assert_allclose(mixture.means, limit.means, atol=1e-4)
    np.testing.assert_allclose(mixture.covariances, limit.covariances, rtol=1e-6)
    np.testing.assert_allclose(mixture.weights, limit.weights, rtol=1e-6)
    assert gain > 0


def test_too_few_steps_or_an_empty_component_lead_nowhere():
    sample, mixture = overlapping()
    image = maximize(mixture, sample((mixture,))[0], sample.data_summary)
    step = Step(mixture, image)
    empty = Step(replace(mixture, weights=np.array([0.0, 0.5, 0.5])), image)
    assert extrapolate(()) is None
    assert extrapolate((step,)) is None
    assert extrapolate((step, empty)) is None


@pytest.mark.parametrize("d", [2, 3])
def test_a_leap_to_a_mixture_without_bounds_is_none(d):
    """A component of next to no weight whose variance grows tenfold and more at each step."""

    def of(variance):
        covariances = np.array([np.eye(d), variance * np.eye(d)])
        return Mixture("full", np.array([0.999, 0.001]), np.stack([np.zeros(d), np.ones(d)]), covariances)

    assert extrapolate((Step(of(1.0), of(10.0)), Step(of(10.0), of(99.9)))) is None


def test_a_leap_that_gains_nothing_is_taken_back():
    sample, mixture = overlapping()
    good = trial_of(sample, mixture, EMOptions(1e-3, 100))
    step = Step(good.mixture, maximize(good.mixture, good.statistics, sample.data_summary))
    leaping = replace(good, proposal=mixture, steps=(step,), extrapolated=True, stop=None)
    states = []
    em = EMOptions(1e-6, 1000, accelerate=True)
    iterate(State(sample.data_summary, (leaping,)), sample, em, states.append)
    first = states[0].best
    assert first.history == good.history
    assert first.n_rejected == 1
    assert first.mixture is good.mixture
    np.testing.assert_array_equal(first.proposal.means, step.image.means)
    assert states[-1].best.history[len(good.history)] > good.history[-1]


def test_a_leap_that_gains_nothing_at_max_iter_ends_at_the_mixture_before_it():
    sample, mixture = overlapping()
    good = trial_of(sample, mixture, EMOptions(1e-3, 100))
    step = Step(good.mixture, maximize(good.mixture, good.statistics, sample.data_summary))
    leaping = replace(good, proposal=mixture, steps=(step,), extrapolated=True, stop=None)
    em = EMOptions(1e-6, good.n_iter + 1, accelerate=True)
    trial = iterate(State(sample.data_summary, (leaping,)), sample, em).best
    assert trial.mixture is good.mixture
    assert sample((trial.mixture,))[0].mean_log_likelihood == trial.history[-1]


def test_a_suggestion_that_was_combined_in_vain_is_tried_alone():
    sample, mixture = overlapping()
    good = trial_of(sample, mixture, EMOptions(1e-3, 100))
    image = maximize(good.mixture, good.statistics, sample.data_summary)
    before, last = Step(mixture, good.mixture, suggested=True), Step(good.mixture, image, suggested=True)
    leaping = replace(good, proposal=mixture, steps=(before, last), extrapolated=True, stop=None)
    em = EMOptions(1e-6, 1000, accelerate=True)
    state = advance(State(sample.data_summary, (leaping,)), sample((mixture,)), em)
    assert state.best.history == good.history
    assert state.best.mixture is good.mixture
    assert state.best.proposal is image
    assert state.best.extrapolated
    state = advance(state, sample((image,)), em)
    assert state.best.history[-1] > good.history[-1]
    assert not state.best.came_back


def test_steps_that_are_suggested_are_not_combined_with_those_that_are_not():
    sample, mixture = overlapping()
    asked = []

    def suggest(trial, far):
        asked.append(far)
        image = maximize(trial.mixture, trial.statistics, sample.data_summary)
        return None if len(asked) < 3 else Suggestion(image, 1.0)

    states, em = [], EMOptions(1e-9, 4, accelerate=True)
    iterate(State(sample.data_summary, (Trial(mixture),)), sample, em, states.append, suggest)
    kinds = [tuple(step.suggested for step in state.best.steps) for state in states]
    assert kinds[:4] == [(False,), (False, False), (True,), (True, True)]


@pytest.mark.parametrize("gain", [1.0, 0.0])
def test_no_trial_converges_before_the_sample_finds_nothing_to_gain_in_the_long_run(gain):
    sample, mixture = overlapping()
    limit = trial_of(sample, mixture, EMOptions(1e-9, 5000)).mixture
    asked, states, em = [], [], EMOptions(1e-2, 100, accelerate=True)  # so loose that EM stops far from its limit

    def suggest(trial, far):
        asked.append(far)
        return Suggestion(limit, gain) if far else None

    iterate(State(sample.data_summary, (Trial(mixture),)), sample, em, states.append, suggest)
    assert any(asked)
    best = states[-1].best
    assert best.stop is StopReason.CONVERGED
    reached = sample((limit,))[0].mean_log_likelihood
    assert (best.history[-1] >= reached - 1e-9) == (gain > 0)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_no_leap_makes_a_component_narrower_than_an_m_step_does(covariance_type):
    """Steps that make a component narrower and narrower, by a ratio."""
    sample, mixture = overlapping(covariance_type)
    mixtures = [narrowed(mixture, np.exp(-20 * (1 - 0.9**number))) for number in range(3)]

    def narrowest(least):
        """Return the least variance after the leap."""
        steps = (Step(*mixtures[:2], suggested=True),)
        state, states = State(sample.data_summary, (Trial(mixtures[1], (-100.0,), steps=steps),)), []
        em = EMOptions(1e-9, 3, Floor(np.full(2, least), least * np.eye(2)), accelerate=True)
        iterate(state, sample, em, states.append, lambda trial, far: Suggestion(mixtures[2], 1.0))
        assert states[0].best.extrapolated
        dense = [
            np.diag(np.broadcast_to(one, 2)) if np.ndim(one) < 2 else one for one in as_many(states[0].best.proposal)
        ]
        return min(np.linalg.eigvalsh(one).min() for one in dense)

    assert narrowest(0.05) == pytest.approx(0.05, rel=1e-6)
    assert narrowest(1e-9) < 0.01
