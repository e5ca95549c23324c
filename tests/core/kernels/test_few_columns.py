"""The kernel for few columns of phi."""

import numpy as np
import pytest

from daskgmm.core.init.starts import in_memory
from daskgmm.core.kernels import compiled
from daskgmm.core.kernels.few_columns import expect_few, predict_few, runs_in_few
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles


@pytest.mark.parametrize("d", [1, 2, 4, 9])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_sums_are_those_of_the_kernel_for_any_columns(covariance_type, d):
    parameters = oracles.random_parameters(covariance_type, 3, d, seed=d)
    rows = oracles.draw(parameters, 701)[0].astype(np.float32)
    weights = np.random.default_rng(0).uniform(0, 2, len(rows))
    weights[::5] = 0
    rows[::5] = np.nan
    sample = in_memory(rows, weights)
    one = prepare(Mixture(*parameters), sample.data_summary)
    theta, edges = np.concatenate([one.theta, one.theta[:2]]), np.array([0, 3, 5])
    assert runs_in_few(theta)
    expected = compiled.expect_shared(rows, weights, one.args, theta, edges)
    found = expect_few(rows, weights, one.args, theta, edges)
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-12, atol=1e-11)


def test_without_weights_and_of_many_columns():
    rows = np.random.default_rng(0).normal(size=(300, 2))
    sample = in_memory(rows, None)
    one = prepare(Mixture("full", np.ones(1), np.zeros((1, 2)), np.eye(2)[None]), sample.data_summary)
    _, _, weight_sum = expect_few(rows, np.empty(0), one.args, one.theta, np.array([0, 1]))
    assert weight_sum == 300
    assert not runs_in_few(np.zeros((1, 92)))


def test_in_float32_sums_are_those_of_float64_to_its_precision():
    parameters = oracles.random_parameters("full", 3, 3, seed=0)
    rows = oracles.draw(parameters, 701)[0].astype(np.float32)
    one = prepare(Mixture(*parameters), in_memory(rows, None).data_summary)
    thetas, edges = (one.theta.astype(np.float32), one.theta), np.array([0, 3])
    found, expected = (expect_few(rows, np.empty(0), one.args, theta, edges) for theta in thetas)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4 * np.abs(expected[0]).max())
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_prediction_is_that_of_the_kernel_for_any_columns(dtype):
    parameters = oracles.random_parameters("full", 3, 4, seed=0)
    rows = oracles.draw(parameters, 301)[0].astype(dtype)
    one = prepare(Mixture(*parameters), in_memory(rows, None).data_summary)
    found, expected = (
        compiled.OutputBuffers(np.empty(301, np.int32), np.empty((301, 3)), np.empty(301)) for _ in range(2)
    )
    predict_few(rows, one.args, one.theta, found)
    compiled.predict_shared(rows, one.args, one.theta, expected)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.resp, expected.resp, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.log_prob, expected.log_prob, rtol=1e-13)
    only_labels = compiled.OutputBuffers(np.empty(301, np.int32), np.empty((0, 3)), np.empty(0))
    predict_few(rows, one.args, one.theta, only_labels)
    np.testing.assert_array_equal(only_labels.labels, expected.labels)
