"""Bhattacharyya distances between the components of two mixtures."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.scoring import bhattacharyya as overlap
from daskgmm.core.scoring.bhattacharyya import bhattacharyya_distances
from tests import oracles


def mixture(covariance_type, k=3, d=4, seed=0):
    return Mixture(*oracles.random_parameters(covariance_type, k, d, seed=seed, spread=2.0))


def dense(mixture):
    k, d = mixture.means.shape
    if mixture.covariance_type == "full":
        return mixture.covariances
    if mixture.covariance_type == "tied":
        return np.broadcast_to(mixture.covariances, (k, d, d))
    return np.stack([np.diag(np.broadcast_to(variances, d)) for variances in mixture.covariances])


def by_definition(a, b):
    distances = np.empty((a.n_components, b.n_components))
    for (i, j), _ in np.ndenumerate(distances):
        one, other = dense(a)[i], dense(b)[j]
        between, difference = (one + other) / 2, a.means[i] - b.means[j]
        logs = [np.linalg.slogdet(matrix)[1] for matrix in (between, one, other)]
        distances[i, j] = difference @ np.linalg.inv(between) @ difference / 8 + (logs[0] - sum(logs[1:]) / 2) / 2
    return distances


@pytest.mark.parametrize("second", oracles.STRUCTURES)
@pytest.mark.parametrize("first", oracles.STRUCTURES)
def test_distances_are_those_of_the_definition(first, second):
    a, b = mixture(first, k=3, seed=1), mixture(second, k=5, seed=2)
    np.testing.assert_allclose(bhattacharyya_distances(a, b), by_definition(a, b), rtol=1e-9)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_mixture_is_at_distance_zero_from_itself_and_symmetric(covariance_type):
    own = bhattacharyya_distances(mixture(covariance_type), mixture(covariance_type))
    np.testing.assert_allclose(np.diag(own), 0, atol=1e-12)
    np.testing.assert_allclose(own, own.T, atol=1e-12)
    assert (own >= 0).all()


def test_the_overlap_is_the_integral_of_the_root_of_both_densities():
    a = Mixture("diag", np.ones(1), np.array([[1.0]]), np.array([[0.5]]))
    b = Mixture("spherical", np.ones(1), np.array([[2.5]]), np.array([3.0]))
    integral = quad(lambda x: np.sqrt(norm.pdf(x, 1.0, 0.5**0.5) * norm.pdf(x, 2.5, 3.0**0.5)), -30, 30)[0]
    assert np.exp(-bhattacharyya_distances(a, b)[0, 0]) == pytest.approx(integral, rel=1e-8)


def test_distances_do_not_depend_on_units_or_offsets():
    a, b = mixture("full", seed=1), mixture("full", seed=2)
    scale, offset = np.array([1e-6, 1.0, 1e3, 1e6]), np.array([1.0, 1e6, -1e3, 0.0])

    def rescaled(one):
        return Mixture("full", one.weights, one.means * scale + offset, one.covariances * np.outer(scale, scale))

    np.testing.assert_allclose(
        bhattacharyya_distances(rescaled(a), rescaled(b)), bhattacharyya_distances(a, b), rtol=1e-8
    )


def test_batches_of_pairs_change_nothing(monkeypatch):
    a, b = mixture("full", k=4, seed=1), mixture("diag", k=7, seed=2)
    whole = bhattacharyya_distances(a, b)
    monkeypatch.setattr(overlap, "_BATCH_NUMBERS", 40)
    np.testing.assert_array_equal(bhattacharyya_distances(a, b), whole)
