"""Stacks of matrices: a shared one is computed once, with the same bits, and diagonal ones are like dense ones."""

import tracemalloc

import numpy as np
import pytest

from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.layouts import _weighted_outer
from daskgmm.core.mixture.matrices import DenseMatrices, DiagonalMatrices
from daskgmm.core.mixture.mixture import Mixture


def covariances(k, d, seed=0):
    factors = np.random.default_rng(seed).normal(size=(k, d, 2 * d))
    return factors @ factors.transpose(0, 2, 1) / (2 * d)


@pytest.mark.parametrize(("k", "d"), [(3, 2), (7, 40), (40, 200)])
def test_one_shared_matrix_has_the_bits_of_equal_ones(k, d):
    values = np.broadcast_to(covariances(1, d), (k, d, d))
    shared, equal = DenseMatrices(values, shared=True), DenseMatrices(values.copy())
    reach = np.random.default_rng(1).uniform(size=(k, d))
    np.testing.assert_array_equal(shared.gram().values, equal.gram().values)
    np.testing.assert_array_equal(shared.log_det(), equal.log_det())
    np.testing.assert_array_equal(shared.whiten()[0].values, equal.whiten()[0].values)
    terms = reach[:, :, None] * values * reach[:, None, :]
    expected = np.sqrt((terms**2).reshape(k, -1).sum(axis=1).max())
    assert shared.largest_term(reach) == equal.largest_term(reach) == expected


def test_diagonal_matrices_are_dense_ones_in_fewer_numbers():
    values = np.random.default_rng(2).uniform(0.5, 2, size=(4, 3))
    diagonal, more = DiagonalMatrices(values), np.array([1.0, 2.0, 3.0])
    dense = DenseMatrices(diagonal.dense)
    np.testing.assert_array_equal(diagonal.append(more).dense, dense.append(more).dense)
    np.testing.assert_array_equal(diagonal.append(more).dense[-1], np.diag(more))


@pytest.mark.parametrize(("k", "d"), [(5, 32), (30, 64)])
def test_products_of_means_are_summed_one_by_one(k, d):
    rng = np.random.default_rng(3)
    share, shift = rng.uniform(size=k), rng.normal(size=(k, d))
    expected = np.einsum("k,kij->ij", share, shift[:, :, None] * shift[:, None, :])
    np.testing.assert_allclose(_weighted_outer(share, shift), expected, rtol=1e-13, atol=1e-14)


def test_a_covariance_that_is_shared_is_not_held_for_each_component():
    k, d = 100, 200
    rows = np.random.default_rng(4).normal(size=(1000, d))
    data_summary = summarise_rows(rows)
    mixture = Mixture("tied", np.full(k, 1 / k), rows[:k], np.eye(d))
    assert data_summary.total_covariance.shape == (d, d)  # computed now, and kept
    tracemalloc.start()
    prepare(mixture, data_summary)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * k * d * d
