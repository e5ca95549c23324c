"""The compiled arithmetic: exp, log and the cutting of rows into tiles."""

import numpy as np
import pytest

from daskgmm.core.em.e_step import expect
from daskgmm.core.kernels.compiled import tile_rows
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.kernels.vector_math import exp_coefficients, exp_flushed, log_normal
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles

FLUSH = -700.0


def test_exp_flushed_is_exp_to_4e_16_relative():
    x = -np.concatenate([np.linspace(0, -FLUSH, 20_001)[:-1], np.logspace(-20, 0, 500)])
    exact = np.exp(x.astype(np.longdouble))
    ours = np.array([exp_flushed(one, FLUSH, exp_coefficients(FLUSH)) for one in x])
    assert np.abs(ours / exact - 1).max() < 4e-16


@pytest.mark.parametrize("flush", [FLUSH, np.log(1e-30), -1.0])
def test_exp_flushed_is_exactly_zero_from_the_bound_down(flush):
    coefficients = exp_coefficients(flush)
    for x in (flush, np.nextafter(flush, -np.inf), flush - 1, -1e308, -np.inf):
        assert exp_flushed(x, flush, coefficients) == 0.0
    assert exp_flushed(np.nextafter(flush, 0), flush, coefficients) == pytest.approx(np.exp(flush), rel=1e-13)


def test_exp_flushed_of_zero_is_exactly_one():
    assert exp_flushed(0.0, FLUSH, exp_coefficients(FLUSH)) == 1.0


@pytest.mark.parametrize(("low", "high"), [(1, 2), (1, 1000), (1e-300, 1e300)])
def test_log_normal_is_log_to_1e_15_absolute(low, high):
    x = np.exp(np.linspace(np.log(low), np.log(high), 20_001))
    exact = np.log(x.astype(np.longdouble))
    ours = np.array([log_normal(one) for one in x])
    rounding = np.spacing(np.abs(exact).astype(float)).astype(np.longdouble) / 2  # of a float64 of this size
    assert (np.abs(ours - exact) - rounding).max() < 1e-15


def test_log_normal_of_one_is_exactly_zero():
    assert log_normal(1.0) == 0.0


@pytest.mark.parametrize("n_columns", [3, 300, 9000, 100_000, 10**7])
def test_tiles_are_powers_of_two_that_shrink_for_very_wide_data(n_columns):
    rows = tile_rows(n_columns)
    assert rows in (16, 32, 64, 128, 256, 512, 1024)
    assert rows == 16 or rows * n_columns * 8 <= 32 * 2**20


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
@pytest.mark.parametrize("n", [1, 17, 256, 257, 513])
def test_rows_at_the_edges_of_tiles_count_once(covariance_type, n):
    parameters = oracles.random_parameters(covariance_type, 3, 2)
    rows, _ = oracles.draw(parameters, 513)
    coefficients = (prepare(Mixture(*parameters), summarise_rows(rows)),)
    (together,) = expect(rows[:n], None, coefficients)
    alone = [expect(rows[i : i + 1], None, coefficients)[0] for i in range(n)]
    assert together.weight_sum == n
    np.testing.assert_allclose(together.sums, sum(one.sums for one in alone), rtol=1e-11, atol=1e-11)
    assert together.log_likelihood == pytest.approx(sum(one.log_likelihood for one in alone), rel=1e-12)
