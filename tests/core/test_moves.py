"""Split and merge moves."""

import numpy as np
import pytest

from daskgmm.core.loop import EMOptions, State, Trial, iterate
from daskgmm.core.mixture import Mixture
from daskgmm.core.moves import exchanges, moved
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
    first = exchanges(sample, mixture, 1e-6)[0]
    assert first.n_components == 3
    np.testing.assert_allclose(np.sort(first.means[:, 0]), [0, 20, 26], atol=0.3)
    merged = int(np.argmin(first.means[:, 0]))
    assert first.weights[merged] == pytest.approx(1 / 3)
    if covariance_type == "full":
        np.testing.assert_allclose(first.covariances[merged], np.diag([1.25, 1.0]))  # 1 within, 0.25 between


def test_exchanges_keep_the_number_of_components_and_the_weight():
    parameters = oracles.random_parameters("full", 5, 3, seed=1)
    sample = in_memory(oracles.draw(parameters, 5_000)[0], None)
    found = exchanges(sample, Mixture(*parameters), 1e-6)
    assert len(found) == 4
    for one in found:
        assert one.n_components == 5
        assert one.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("k", [1, 2])
def test_of_two_components_none_can_be_exchanged(k):
    sample, mixture = wrong()
    few = Mixture("full", np.full(k, 1 / k), mixture.means[:k], mixture.covariances[:k])
    assert exchanges(sample, few, 1e-6) == []
    alone = iterate(State(sample.survey, (Trial(few),)), sample, EM).best
    assert moved(sample, SeedOptions(k, em=EM), few).history[-1] == pytest.approx(alone.history[-1], abs=1e-3)
