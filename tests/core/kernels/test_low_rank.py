"""The kernel of factor analysers agrees with dense densities, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from daskgmm.core.em.factor_step import factor_moments
from daskgmm.core.kernels.compiled import OutputBuffers
from daskgmm.core.kernels.low_rank import prepare_low_rank
from daskgmm.core.kernels.natural_parameters import prepare_prediction
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.low_rank import LowRankMatrices
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.errors import ConfigurationError

K, D, Q, N = 3, 5, 2, 700


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    covariances = LowRankMatrices(rng.uniform(0.1, 1, (K, D)), rng.normal(size=(K, D, Q))).values
    mixture = Mixture("low_rank_2", np.array([0.5, 0.3, 0.2]), 3 * rng.normal(size=(K, D)), covariances)
    rows = mixture.sample(N, rng)[0] * [1, 10, 100, 1, 1] + 50
    return mixture_in(mixture, np.array([1, 10, 100, 1, 1.0]), 50.0), rows, rng.uniform(0, 2, N)


def mixture_in(mixture, scale, offset):
    covariances = mixture.covariances * np.stack([scale**2, scale, scale], axis=1)
    return Mixture("low_rank_2", mixture.weights, mixture.means * scale + offset, covariances)


def dense_joint(mixture, rows):
    pairs = zip(mixture.weights, mixture.means, mixture.matrices().dense, strict=True)
    return np.stack([np.log(w) + multivariate_normal(m, c).logpdf(rows) for w, m, c in pairs], axis=1)


def test_likelihood_entropy_and_predictions_are_those_of_dense_covariances(case):
    mixture, rows, weights = case
    joint = dense_joint(mixture, rows)
    log_prob, resp = logsumexp(joint, axis=1), np.exp(joint - logsumexp(joint, axis=1)[:, None])
    done = prepare_low_rank(mixture, summarise_rows(rows, weights).frame).expect(rows, weights)
    assert done.log_likelihood == pytest.approx(weights @ log_prob, rel=1e-11)
    assert done.entropy == pytest.approx(-(weights[:, None] * resp * np.log(resp + 1e-300)).sum(), rel=1e-8)
    np.testing.assert_allclose(done.counts, weights @ resp, rtol=1e-9)
    outputs = OutputBuffers(np.empty(N, np.int32), np.empty((N, K)), np.empty(N))
    prepare_prediction(mixture).predict(rows, outputs)
    np.testing.assert_array_equal(outputs.labels, joint.argmax(axis=1))
    np.testing.assert_allclose(outputs.resp, resp, atol=1e-10)
    np.testing.assert_allclose(outputs.log_prob, log_prob, rtol=1e-11)


def test_the_m_step_is_a_regression_on_the_factors_with_expanded_parameters(case):
    mixture, rows, weights = case
    data = summarise_rows(rows, weights)
    done = prepare_low_rank(mixture, data.frame).expect(rows, weights)
    moments = factor_moments(mixture, done, data, np.ones(K, dtype=bool))
    joint = dense_joint(mixture, rows)
    resp = np.exp(joint - logsumexp(joint, axis=1)[:, None]) * weights[:, None]
    for k in range(K):
        loadings, sigma = mixture.covariances[k, :, 1:], mixture.matrices().dense[k]
        to_factors = loadings.T @ np.linalg.inv(sigma)
        factors = (rows - mixture.means[k]) @ to_factors.T
        mean = np.average(rows, axis=0, weights=resp[:, k])
        centred, seen = rows - mean, factors - np.average(factors, axis=0, weights=resp[:, k])
        share = resp[:, k] / resp[:, k].sum()
        spread = (seen.T * share) @ seen + np.eye(Q) - to_factors @ loadings
        cross = (centred.T * share) @ seen
        explained = cross @ np.linalg.inv(spread) @ cross.T
        noise = share @ centred**2 - np.diagonal(explained)
        np.testing.assert_allclose(moments.means[k], mean, rtol=1e-9)
        np.testing.assert_allclose(moments.covariances[k, :, 0], noise, rtol=1e-7)
        new = moments.covariances[k, :, 1:]
        np.testing.assert_allclose(new @ new.T, explained, rtol=1e-6, atol=1e-8 * np.abs(explained).max())


def test_float32_is_used_where_it_suffices_and_else_float64(case):
    mixture, rows, _ = case
    frame = summarise_rows(rows).frame
    assert prepare_low_rank(mixture, frame, np.float32).theta.dtype == np.float32
    narrow = mixture.covariances.copy()
    narrow[:, :, 0] *= 1e-6
    narrow = Mixture("low_rank_2", mixture.weights, mixture.means, narrow)
    assert prepare_low_rank(narrow, frame, np.float32).theta.dtype == np.float64


def test_missing_values_are_refused(case):
    with pytest.raises(ConfigurationError, match="takes no missing values"):
        prepare_prediction(case[0], missing=True)
