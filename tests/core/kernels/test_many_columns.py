"""The kernel for many columns of phi."""

import numpy as np
import pytest

from daskgmm.core.init.starts import in_memory
from daskgmm.core.kernels import compiled, many_columns
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles


@pytest.fixture(scope="module")
def wide():
    """Rows (300, 30) of which some are absent, their weights, and the coefficients of two mixtures side by side."""
    parameters = oracles.random_parameters("full", 3, 30, seed=0)
    rows = oracles.draw(parameters, 300)[0].astype(np.float32)
    weights = np.random.default_rng(0).uniform(0, 2, len(rows))
    weights[::5] = 0
    rows[::5] = np.nan
    one = prepare(Mixture(*parameters), in_memory(rows, weights).data_summary)
    return rows, weights, one.args, np.concatenate([one.theta, one.theta[:2]])


def test_sums_are_those_of_the_kernel_for_any_columns(wide):
    expected = compiled.expect_shared(*wide, np.array([0, 3, 5]))
    found = many_columns.expect_many(*wide, np.array([0, 3, 5]))
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-11, atol=1e-10)


def test_predictions_are_those_of_the_kernel_for_any_columns(wide):
    rows, _, args, theta = wide[0], wide[1], wide[2], wide[3][:3]
    rows = np.nan_to_num(rows)
    outputs = [
        compiled.OutputBuffers(np.empty(len(rows), np.int32), np.empty((len(rows), len(theta))), np.empty(len(rows)))
        for _ in range(2)
    ]
    compiled.predict_shared(rows, args, theta, outputs[0])
    many_columns.predict_many(rows, args, theta, outputs[1])
    np.testing.assert_array_equal(outputs[1].labels, outputs[0].labels)
    np.testing.assert_allclose(outputs[1].resp, outputs[0].resp, atol=1e-10)
    np.testing.assert_allclose(outputs[1].log_prob, outputs[0].log_prob, rtol=1e-12)


def test_wide_data_take_it_and_their_first_moments_are_those_of_the_rows():
    rows = np.random.default_rng(0).standard_normal((40, 154))
    one = prepare(
        Mixture("full", np.ones(1), np.zeros((1, 154)), np.eye(154)[None]), in_memory(rows, None).data_summary
    )
    assert many_columns.runs_in_many(one.args, one.theta)
    sums = one.expect(rows, None).sums[0]
    z = (rows - one.frame.centre) / one.frame.scale
    np.testing.assert_allclose(sums[:155], [40, *z.sum(axis=0)], atol=1e-11)
    np.testing.assert_allclose(sums[155:], (z.T @ z)[np.triu_indices(154)], rtol=1e-11, atol=1e-11)
    assert not many_columns.runs_in_many(one.args, one.theta[:, :11_999])
