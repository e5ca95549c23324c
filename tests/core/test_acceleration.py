"""Anderson acceleration of EM."""

from dataclasses import replace

import numpy as np
import pytest

from daskgmm.core.acceleration import Step, leap
from daskgmm.core.loop import EMOptions, State, StopReason, Trial, advance, iterate
from daskgmm.core.maximization import maximize
from daskgmm.core.mixture import Mixture
from daskgmm.core.seeding import in_memory
from tests import oracles

PLAIN = EMOptions(1e-9, 5000, 0.0)


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
    return iterate(State(sample.survey, (Trial(mixture),)), sample, em).best


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_log_likelihood_never_decreases_when_leaping(covariance_type):
    sample, mixture = overlapping(covariance_type)
    history = trial_of(sample, mixture, replace(PLAIN, accelerate=True)).history
    assert len(history) > 3
    assert np.diff(history).min() >= -1e-12


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_leaps_lead_to_the_limit_of_em_in_fewer_passes(covariance_type):
    sample, mixture = overlapping(covariance_type)
    near = trial_of(sample, mixture, EMOptions(1e-3, 5000, 0.0)).mixture  # in the basin of one limit
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
    mixture, gain = leap(steps)
    np.testing.assert_allclose(mixture.means, limit.means, atol=1e-4)
    np.testing.assert_allclose(mixture.covariances, limit.covariances, rtol=1e-6)
    np.testing.assert_allclose(mixture.weights, limit.weights, rtol=1e-6)
    assert gain > 0


def test_too_few_steps_or_an_empty_component_lead_nowhere():
    sample, mixture = overlapping()
    image = maximize(mixture, sample((mixture,))[0], sample.survey, 0.0)
    step = Step(mixture, image)
    empty = Step(replace(mixture, weights=np.array([0.0, 0.5, 0.5])), image)
    assert leap(()) is None
    assert leap((step,)) is None
    assert leap((step, empty)) is None


@pytest.mark.parametrize("d", [2, 3])
def test_a_leap_to_a_mixture_without_bounds_is_none(d):
    """A component of next to no weight whose variance grows tenfold and more at each step."""

    def of(variance):
        covariances = np.array([np.eye(d), variance * np.eye(d)])
        return Mixture("full", np.array([0.999, 0.001]), np.stack([np.zeros(d), np.ones(d)]), covariances)

    assert leap((Step(of(1.0), of(10.0)), Step(of(10.0), of(99.9)))) is None


def test_a_leap_that_gains_nothing_is_taken_back():
    sample, mixture = overlapping()
    good = trial_of(sample, mixture, EMOptions(1e-3, 100, 0.0))
    step = Step(good.mixture, maximize(good.mixture, good.statistics, sample.survey, 0.0))
    leaping = replace(good, mixture=mixture, steps=(step,), leaping=True, stop=None)
    states = []
    em = EMOptions(1e-6, 1000, 0.0, accelerate=True)
    iterate(State(sample.survey, (leaping,)), sample, em, states.append)
    first = states[0].best
    assert first.history == good.history
    assert first.n_rejected == 1
    np.testing.assert_array_equal(first.mixture.means, step.image.means)
    assert states[-1].best.history[len(good.history)] > good.history[-1]


def test_a_leap_that_gains_nothing_at_max_iter_ends_at_the_mixture_before_it():
    sample, mixture = overlapping()
    good = trial_of(sample, mixture, EMOptions(1e-3, 100, 0.0))
    step = Step(good.mixture, maximize(good.mixture, good.statistics, sample.survey, 0.0))
    leaping = replace(good, mixture=mixture, steps=(step,), leaping=True, stop=None)
    em = EMOptions(1e-6, good.n_iter + 1, 0.0, accelerate=True)
    trial = iterate(State(sample.survey, (leaping,)), sample, em).best
    assert trial.mixture is good.mixture
    assert sample((trial.mixture,))[0].mean_log_likelihood == trial.history[-1]


def test_a_suggestion_that_was_combined_in_vain_is_tried_alone():
    sample, mixture = overlapping()
    good = trial_of(sample, mixture, EMOptions(1e-3, 100, 0.0))
    image = maximize(good.mixture, good.statistics, sample.survey, 0.0)
    before, last = Step(mixture, good.mixture, suggested=True), Step(good.mixture, image, suggested=True)
    leaping = replace(good, mixture=mixture, steps=(before, last), leaping=True, stop=None)
    em = EMOptions(1e-6, 1000, 0.0, accelerate=True)
    state = advance(State(sample.survey, (leaping,)), sample((mixture,)), em)
    assert state.best.history == good.history
    assert state.best.mixture is image
    assert state.best.leaping
    state = advance(state, sample((image,)), em)
    assert state.best.history[-1] > good.history[-1]
    assert not state.best.came_back


def test_steps_that_are_suggested_are_not_combined_with_those_that_are_not():
    sample, mixture = overlapping()
    asked = []

    def suggest(mixture, statistics):
        asked.append(mixture)
        image = maximize(mixture, statistics, sample.survey, 0.0)
        return None if len(asked) < 3 else (image, 1.0)

    states, em = [], EMOptions(1e-9, 4, 0.0, accelerate=True)
    iterate(State(sample.survey, (Trial(mixture),)), sample, em, states.append, suggest)
    kinds = [tuple(step.suggested for step in state.best.steps) for state in states]
    assert kinds[:4] == [(False,), (False, False), (True,), (True, True)]


def test_steps_that_only_lose_by_the_regularisation_end_the_trial():
    sample, mixture = overlapping()
    found = trial_of(sample, mixture, EMOptions(1e-3, 100, 0.0))
    falling = replace(found, mixture=mixture, history=(found.history[-1] + 2.0, found.history[-1] + 1.0), stop=None)
    state = State(sample.survey, (falling,))
    statistics = sample((mixture,))
    assert statistics[0].mean_log_likelihood < falling.history[-1]
    assert advance(state, statistics, EMOptions(1e-9, 100, 0.0, accelerate=True)).best.stop is StopReason.CONVERGED
    assert advance(state, statistics, EMOptions(1e-9, 100, 0.0)).best.stop is None


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_no_leap_makes_a_component_narrower_than_an_m_step_does(covariance_type):
    """Steps that make a component narrower and narrower, by a ratio."""
    sample, mixture = overlapping(covariance_type)
    mixtures = [narrowed(mixture, np.exp(-20 * (1 - 0.9**number))) for number in range(3)]

    def narrowest(reg_covar):
        """Return the least variance after the leap, in units of the mean variance within components."""
        steps = (Step(*mixtures[:2], suggested=True),)
        state, states = State(sample.survey, (Trial(mixtures[1], (-100.0,), steps=steps),)), []
        em = EMOptions(1e-9, 3, reg_covar, accelerate=True)
        iterate(state, sample, em, states.append, lambda mixture, statistics: (mixtures[2], 1.0))
        assert states[0].best.leaping
        leapt = states[0].best.mixture
        dense = [np.diag(np.broadcast_to(one, 2)) if np.ndim(one) < 2 else one for one in as_many(leapt)]
        within = sum(weight * np.diagonal(one) for weight, one in zip(leapt.weights, dense, strict=True))
        return min(np.linalg.eigvalsh(one / np.sqrt(np.outer(within, within))).min() for one in dense)

    assert narrowest(0.05) == pytest.approx(0.05, rel=0.1)  # the unit is that of before it was raised
    assert narrowest(0.0) < 0.01
