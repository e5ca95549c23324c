"""The mixture as a value: sampling, its frame, its empty components."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.errors import SingularCovarianceError
from tests import oracles

N = 200_000


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_sample_has_the_moments_of_the_mixture(covariance_type):
    parameters = oracles.random_parameters(covariance_type, 3, 3, seed=1)
    mixture, dense = Mixture(*parameters), oracles.dense_covariances(parameters).astype(float)
    rows, labels = mixture.sample(N, np.random.default_rng(2))
    assert rows.shape == (N, 3)
    counts = np.bincount(labels, minlength=3)
    error = 5 / np.sqrt(counts)  # five standard errors
    np.testing.assert_allclose(counts / N, mixture.weights, atol=5 * 0.5 / np.sqrt(N))
    for c in range(3):
        own, deviations = rows[labels == c], np.sqrt(np.diagonal(dense[c]))
        np.testing.assert_array_less(np.abs(own.mean(axis=0) - mixture.means[c]) / deviations, error[c])
        difference = (np.cov(own.T) - dense[c]) / np.outer(deviations, deviations)
        assert np.abs(difference).max() < 1.5 * error[c]  # the variance of a squared normal is 2


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_same_seed_gives_the_same_sample(covariance_type):
    mixture = Mixture(*oracles.random_parameters(covariance_type, 3, 2))
    first, again, other = (mixture.sample(50, np.random.default_rng(seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_empty_component_is_never_drawn():
    parameters = oracles.random_parameters("full", 3, 2)
    mixture = Mixture(*parameters._replace(weights=np.array([0.5, 0.0, 0.5])))
    assert mixture.empty == (1,)
    _, labels = mixture.sample(1000, np.random.default_rng(0))
    assert set(labels) == {0, 2}


def test_features_of_any_unit_are_sampled():
    units = np.array([1e-8, 1.0, 1e8])
    parameters = oracles.random_parameters("full", 2, 3)
    scaled = parameters._replace(
        means=parameters.means * units, covariances=parameters.covariances * np.outer(units, units)
    )
    rows, _ = Mixture(*parameters).sample(100, np.random.default_rng(0))
    scaled_rows, _ = Mixture(*scaled).sample(100, np.random.default_rng(0))
    np.testing.assert_allclose(scaled_rows / units, rows, rtol=1e-9, atol=1e-9)


def test_a_singular_covariance_cannot_be_sampled():
    mixture = Mixture("full", np.ones(1), np.zeros((1, 2)), -np.eye(2)[None])
    with pytest.raises(SingularCovarianceError, match="component 0"):
        mixture.sample(10, np.random.default_rng(0))


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_frame_is_the_mean_and_deviation_of_the_whole_mixture(covariance_type):
    parameters = oracles.random_parameters(covariance_type, 3, 2, seed=3)
    mixture, dense = Mixture(*parameters), oracles.dense_covariances(parameters).astype(float)
    mean = mixture.weights @ mixture.means
    total = sum(
        weight * (covariance + np.outer(own - mean, own - mean))
        for weight, own, covariance in zip(mixture.weights, mixture.means, dense, strict=True)
    )
    np.testing.assert_allclose(mixture.frame.centre, mean, rtol=1e-13)
    np.testing.assert_allclose(mixture.frame.scale, np.sqrt(np.diagonal(total)), rtol=1e-13)


def test_a_mixture_is_a_frozen_value():
    mixture = Mixture(*oracles.random_parameters("diag", 3, 2))
    assert (mixture.n_components, mixture.n_features, mixture.empty) == (3, 2, ())
    with pytest.raises(FrozenInstanceError):
        mixture.weights = np.ones(3)
