"""Split and merge moves."""

from dataclasses import replace

import numpy as np
import pytest

from daskgmm.core import moves
from daskgmm.core.exchanges import after, exchanges
from daskgmm.core.loop import EMOptions, State, Trial, iterate
from daskgmm.core.mixture import Mixture
from daskgmm.core.moves import exchanged, moved
from daskgmm.core.seeding import SeedOptions, in_memory
from tests import oracles

EM = EMOptions(1e-6, 1000, 1e-6, accelerate=True)


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
    stuck = iterate(State(sample.survey, (Trial(mixture),)), sample, EM).best
    trial = moved(sample, SeedOptions(3, covariance_type, em=EM), mixture)
    assert trial.history[-1] > stuck.history[-1] + 0.1
    np.testing.assert_allclose(np.sort(trial.mixture.means[:, 0]), [0, 20, 26], atol=0.2)


def test_moves_leave_a_mixture_that_fits_as_it_is():
    sample, _ = wrong()
    means = np.array([[0.0, 0.0], [20.0, 0.0], [26.0, 0.0]])
    mixture = Mixture("full", np.full(3, 1 / 3), means, np.array([np.eye(2)] * 3))
    alone = iterate(State(sample.survey, (Trial(mixture),)), sample, EM).best
    trial = moved(sample, SeedOptions(3, em=EM), mixture)
    assert trial.history[-1] == pytest.approx(alone.history[-1], abs=1e-3)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_first_exchange_splits_what_is_two_and_merges_what_is_one(covariance_type):
    sample, mixture = wrong(covariance_type)
    first = exchanges(sample, mixture, 1e-6, 4)[0]
    assert first.components == (2, 0, 1)
    merged = int(np.argmin(first.theirs.means[:, 0]))
    np.testing.assert_allclose(np.sort(first.theirs.means[:, 0]), [0, 20, 26], atol=0.3)
    assert first.theirs.weights[merged] == pytest.approx(1 / 3)
    if covariance_type == "full":
        np.testing.assert_allclose(first.theirs.covariances[merged], np.diag([1.25, 1.0]))  # 1 within, 0.25 between


def test_exchanges_keep_the_number_of_components_and_the_weight():
    parameters = oracles.random_parameters("full", 5, 3, seed=1)
    sample, mixture = in_memory(oracles.draw(parameters, 5_000)[0], None), Mixture(*parameters)
    found = exchanges(sample, mixture, 1e-6, 4)
    assert len(found) == 4
    for one in found:
        whole = after(mixture, [one])
        assert whole.n_components == 5
        assert whole.weights.sum() == pytest.approx(1)
        kept = np.setdiff1d(np.arange(5), one.components)
        np.testing.assert_array_equal(whole.means[:2], mixture.means[kept])
        np.testing.assert_array_equal(whole.covariances[:2], mixture.covariances[kept])
        assert whole.weights[2:].sum() == pytest.approx(mixture.weights[list(one.components)].sum())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_what_an_exchange_gains_is_what_the_whole_mixture_gains_before_more_em(covariance_type, weighted, monkeypatch):
    """A fourth component stays as it is."""
    sample, mixture = wrong(covariance_type)
    extra = np.random.default_rng(3).normal((23.0, 6.0), 1.5, (2_000, 2))
    weights = np.random.default_rng(4).uniform(1e-7, 1e-6, 8_000) if weighted else None
    sample = in_memory(np.concatenate([sample.rows, extra]), weights)
    means = np.concatenate([mixture.means, [[23.0, 6.0]]])
    covariances = mixture.covariances
    if covariance_type != "tied":
        covariances = np.concatenate([covariances, covariances[:1] * 2.25])
    mixture = Mixture(covariance_type, np.append(0.75 * mixture.weights, 0.25), means, covariances)
    runners = []
    heat = moves._after_a_heat
    monkeypatch.setattr(moves, "_after_a_heat", lambda *given: runners.append(heat(*given)) or runners[-1])
    found = exchanged(sample, SeedOptions(4, covariance_type, em=EM), mixture)
    best = max(runners, key=lambda one: one.gain)
    before, then = (sample((one,))[0].mean_log_likelihood for one in (mixture, after(mixture, [best.exchange])))
    assert best.gain > 0.1
    assert then - before == pytest.approx(best.gain, rel=1e-6)
    np.testing.assert_array_equal(np.sort(found.means[:, 0]), np.sort(after(mixture, [best.exchange]).means[:, 0]))


def test_exchanges_of_different_components_are_made_together():
    """The three clusters twice, far apart, and the same mistake in both."""
    sample, mixture = wrong()
    far = np.array([1000.0, 0.0])
    sample = in_memory(np.concatenate([sample.rows, sample.rows + far]), None)
    twice = Mixture(
        "full",
        np.tile(mixture.weights, 2) / 2,
        np.concatenate([mixture.means, mixture.means + far]),
        np.tile(mixture.covariances, (2, 1, 1)),
    )
    found = exchanged(sample, SeedOptions(6, em=EM), twice)
    np.testing.assert_allclose(np.sort(found.means[:, 0]), [0, 20, 26, 1000, 1020, 1026], atol=0.3)


def test_an_empty_component_is_left_alone():
    sample, mixture = wrong()
    assert exchanged(sample, SeedOptions(3, em=EM), replace(mixture, weights=np.array([0.0, 0.5, 0.5]))) is None


@pytest.mark.parametrize("k", [1, 2])
def test_of_two_components_none_can_be_exchanged(k):
    sample, mixture = wrong()
    few = Mixture("full", np.full(k, 1 / k), mixture.means[:k], mixture.covariances[:k])
    assert exchanged(sample, SeedOptions(k, em=EM), few) is None
    alone = iterate(State(sample.survey, (Trial(few),)), sample, EM).best
    assert moved(sample, SeedOptions(k, em=EM), few).history[-1] == pytest.approx(alone.history[-1], abs=1e-3)
