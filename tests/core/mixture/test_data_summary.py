"""The data summary of rows."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.core.arrays.blocks import block_rows
from daskgmm.core.mixture.data_summary import DataSummary, summarise_rows

OFFSETS = [0.0, 1e8]


def example(n=200, d=3, offset=0.0, weighted=False, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + offset
    return rows, rng.uniform(0.1, 3, n) if weighted else None


def assert_same(actual, expected, rtol=1e-10):
    assert actual.n_rows == expected.n_rows
    assert actual.weight_sum == pytest.approx(expected.weight_sum, rel=1e-13)
    deviations = np.sqrt(np.diagonal(expected.scatter) / expected.weight_sum)
    np.testing.assert_allclose((actual.mean - expected.mean) / deviations, 0, atol=rtol)
    scale = np.sqrt(np.outer(np.diagonal(expected.scatter), np.diagonal(expected.scatter)))
    np.testing.assert_allclose((actual.scatter - expected.scatter) / scale, 0, atol=rtol)
    np.testing.assert_array_equal(actual.minimum, expected.minimum)
    np.testing.assert_array_equal(actual.maximum, expected.maximum)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [1, 2, 200, 3 * block_rows(3) + 7])
def test_the_summary_equals_numpys(n, weighted):
    rows, row_weights = example(n, weighted=weighted)
    found = summarise_rows(rows, row_weights)
    assert found.n_rows == n
    assert found.weight_sum == pytest.approx(n if row_weights is None else row_weights.sum(), rel=1e-13)
    mean = np.average(rows, axis=0, weights=row_weights)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12, atol=1e-12)
    centred = rows - mean
    scatter = (centred.T * (1 if row_weights is None else row_weights)) @ centred
    np.testing.assert_allclose(found.scatter, scatter, rtol=1e-11, atol=1e-11 * (1 + np.abs(scatter).max()))
    np.testing.assert_array_equal(found.minimum, rows.min(axis=0))
    np.testing.assert_array_equal(found.maximum, rows.max(axis=0))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_scatter_keeps_its_digits_at_an_offset(weighted):
    """About its float64 rows, an offset of 1e8 must cost no more than the rounding of the mean."""
    rows, row_weights = example(5000, offset=1e8, weighted=weighted)
    exact = rows - 1e8  # exact: the numbers are close
    found, expected = summarise_rows(rows, row_weights), summarise_rows(exact, row_weights)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=1e-10)
    np.testing.assert_allclose(found.mean - 1e8, expected.mean, atol=3e-8)  # two ulp


def test_rows_in_order_keep_their_scatter_at_an_offset():
    """Three blocks, whose means are far apart: what is wrong in a block's mean is multiplied by that distance."""
    rows = np.random.default_rng(3).normal(size=(3 * block_rows(2), 2))
    rows[len(rows) // 2 :] += 10
    moved = rows + 1e8
    found, expected = summarise_rows(moved), summarise_rows(moved - 1e8)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=3e-8)  # two ulp of 1e8


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("weighted", [False, True])
@given(cuts=st.sets(st.integers(1, 199), max_size=30))
def test_any_cut_merges_to_the_same_summary(cuts, weighted, offset):
    rows, row_weights = example(offset=offset, weighted=weighted)
    edges = [0, *sorted(cuts), 200]
    total = DataSummary.zero(3)
    for start, stop in pairwise(edges):
        total = total + summarise_rows(
            rows[start:stop], None if row_weights is None else row_weights[start:stop], start
        )
    # At an offset of 1e8 the mean of each part is rounded to 1.5e-8 of a deviation.
    assert_same(total, summarise_rows(rows, row_weights), 1e-10 if offset == 0 else 1e-7)


def test_merging_has_a_neutral_zero_and_changes_neither_part():
    rows, row_weights = example(weighted=True)
    one = summarise_rows(rows, row_weights)
    before = one.scatter.copy()
    for total in (one + DataSummary.zero(3), DataSummary.zero(3) + one):
        np.testing.assert_array_equal(total.mean, one.mean)
        np.testing.assert_array_equal(total.scatter, one.scatter)
    assert_same(one + one, summarise_rows(np.concatenate([rows, rows]), np.concatenate([row_weights, row_weights])))
    np.testing.assert_array_equal(one.scatter, before)


@pytest.mark.parametrize("held", [np.nan, np.inf, 1e300])
def test_rows_of_weight_zero_are_not_looked_at(held):
    rows, row_weights = example(weighted=True)
    row_weights[::4] = 0
    masked = rows.copy()
    masked[::4] = held
    kept = row_weights > 0
    found = summarise_rows(masked, row_weights)
    assert found.n_nonfinite == 0
    assert_same(found, summarise_rows(rows[kept], row_weights[kept]), 1e-13)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float16", "float32", ">f8", "bool"])
def test_every_input_type_is_summarised_as_float64(dtype):
    rows = np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 200, size=(300, 3)).astype(dtype)
    assert_same(summarise_rows(rows), summarise_rows(rows.astype(float)), 1e-13)


def test_small_integers_do_not_overflow():
    rows = np.full((100_000, 2), 255, np.uint8)
    rows[::2] = 0
    found = summarise_rows(rows)
    np.testing.assert_array_equal(found.mean, [127.5, 127.5])
    np.testing.assert_array_equal(found.scatter, np.full((2, 2), 100_000 * 127.5**2))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32", ">f8"])
def test_values_that_are_not_finite_are_counted_and_the_first_is_placed(bad, dtype):
    n = 2 * block_rows(3) + 10
    rows = np.zeros((n, 3), dtype)
    places = [(block_rows(3) + 5, 2), (block_rows(3) + 6, 0), (n - 1, 1)]
    for row, column in places:
        rows[row, column] = bad
    found = summarise_rows(rows, first_row=1000)
    assert found.n_nonfinite == 3
    assert found.first_nonfinite == (1000 + block_rows(3) + 5, 2)


def test_the_kinds_of_values_that_are_not_finite_are_merged_and_missing_ones_of_weight_0_counted():
    rows = np.zeros((6, 2))
    rows[0, 1], rows[3, 0], rows[4] = -np.inf, np.nan, np.nan
    found = summarise_rows(rows[:3]) + summarise_rows(rows[3:], np.array([1.0, 0.0, 1.0]), 3)
    assert found.nonfinite_kinds == ("nan", "-inf")
    assert summarise_rows(rows[3:], np.array([0.0, 0.0, 1.0])).n_missing == 3


def test_the_first_fault_is_row_by_row_not_column_by_column():
    rows = np.zeros((10, 3))
    rows[7, 0] = rows[4, 2] = np.nan
    assert summarise_rows(rows).first_nonfinite == (4, 2)


@pytest.mark.parametrize("bad", [-1.0, -1e-300, np.nan, np.inf, -np.inf])
def test_bad_weights_are_counted_and_the_first_is_placed(bad):
    rows, row_weights = example(weighted=True)
    row_weights[[17, 40]] = bad
    found = summarise_rows(rows, row_weights, first_row=500)
    assert found.n_bad_weights == 2
    row, value = found.first_bad_weight
    assert row == 517
    np.testing.assert_equal(value, bad)


def test_faults_merge_to_their_sum_and_the_first_of_them():
    rows = np.zeros((30, 2))
    rows[12, 1] = rows[25, 0] = np.nan
    row_weights = np.ones(30)
    row_weights[[3, 28]] = -2
    whole = summarise_rows(rows, row_weights)
    parts = [summarise_rows(rows[a : a + 10], row_weights[a : a + 10], a) for a in (0, 10, 20)]
    for found in (whole, parts[0] + parts[1] + parts[2], parts[0] + (parts[1] + parts[2])):
        assert (found.n_nonfinite, found.first_nonfinite) == (2, (12, 1))
        assert (found.n_bad_weights, found.first_bad_weight) == (2, (3, -2.0))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 + 0.1, -3e-200])
def test_constant_columns_are_found_and_have_the_variance_zero(value):
    rows, _ = example(1000)
    rows[:, 1] = value
    found = summarise_rows(rows)
    assert found.constant == (1,)
    assert found.variance[1] == 0.0
    assert np.isfinite(found.total_covariance).all()


def test_a_column_that_varies_in_its_last_bit_is_not_constant():
    rows, _ = example(1000)
    rows[:, 1] = 1e8
    rows[5, 1] = np.nextafter(1e8, 2e8)
    assert summarise_rows(rows).constant == ()


@pytest.mark.parametrize("factor", [1.0, -2.5, 1e-6, 1e6])
@pytest.mark.parametrize("offset", OFFSETS)
def test_linear_copies_of_a_column_are_found(factor, offset):
    rows, _ = example(1000)
    rows[:, 2] = factor * (rows[:, 0] + offset)
    assert summarise_rows(rows).duplicates == ((0, 2),)


def test_correlated_columns_are_not_copies():
    rows, _ = example(1000)
    rows[:, 2] = rows[:, 0] + 1e-4 * np.random.default_rng(2).normal(size=1000)
    assert summarise_rows(rows).duplicates == ()


def test_pooled_is_the_correlation_matrix():
    rows, row_weights = example(weighted=True)
    found = summarise_rows(rows * [1e-6, 1.0, 1e6], row_weights)
    covariance = np.cov(rows.T, aweights=row_weights)
    deviations = np.sqrt(np.diagonal(covariance))
    np.testing.assert_allclose(found.total_covariance, covariance / np.outer(deviations, deviations), rtol=1e-12)


def test_summaries_are_merged_in_two_matrices_beside_their_own():
    rows = np.random.default_rng(0).normal(size=(20, 600))
    one, other = summarise_rows(rows[:10]), summarise_rows(rows[10:])
    tracemalloc.start()
    merged = one + other
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.1 * merged.scatter.nbytes
    np.testing.assert_allclose(merged.scatter, 19 * np.cov(rows.T), atol=1e-12)
