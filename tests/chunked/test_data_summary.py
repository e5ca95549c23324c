"""The pass of the data summary and the sample drawn with it."""

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.chunked.data_summary import summarise_and_sample
from daskgmm.chunked.rows import Rows
from daskgmm.core.em.m_step import maximize
from daskgmm.core.init import gaps
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.errors import DataError

N = 60


def example(offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, 2)) @ [[2.0, 1.0], [0.0, 0.5]] + offset, rng.uniform(0.1, 2, N)


def chunked(array, chunks, row_weights=None):
    """Return rows of just these chunks."""
    weights = None if row_weights is None else da.from_array(row_weights, chunks=chunks)
    return Rows(da.from_array(array, chunks=(*chunks, array.shape[-1])), weights)


def cuts(n=N):
    """Chunks of n rows, of any sizes."""
    return st.sets(st.integers(1, n - 1)).map(lambda inner: tuple(np.diff([0, *sorted(inner), n]).tolist()))


@pytest.mark.parametrize(("offset", "rtol"), [(0.0, 1e-11), (1e8, 1e-7)])
@pytest.mark.parametrize("weighted", [False, True])
@given(chunks=cuts())
def test_any_chunking_gives_the_same_summary(chunks, weighted, offset, rtol):
    array, row_weights = example(offset)
    row_weights = row_weights if weighted else None
    found, _ = summarise_and_sample(chunked(array, (chunks,), row_weights), 10, 0)
    expected = summarise_rows(array, row_weights)
    deviations = np.sqrt(expected.variance)
    np.testing.assert_allclose((found.mean - expected.mean) / deviations, 0, atol=rtol)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=rtol)
    np.testing.assert_array_equal(found.minimum, expected.minimum)
    np.testing.assert_array_equal(found.maximum, expected.maximum)
    assert found.n_rows == N
    assert found.weight_sum == pytest.approx(expected.weight_sum, rel=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chunks", [(60,), (7,) * 8 + (4,), (1,) * 60])
def test_a_value_that_is_not_finite_is_named_by_its_first_row_and_column(bad, chunks):
    array, _ = example()
    array[[23, 41], [1, 0]] = bad
    with pytest.raises(DataError, match=r"^2 values are not finite, the first in row 23, column 1: .*sample_weight"):
        summarise_and_sample(chunked(array, (chunks,)), 10, 0)


@pytest.mark.parametrize("chunks", [((4, 2), (10,)), ((1,) * 6, (3, 7)), ((6,), (1,) * 10)])
def test_a_value_that_is_not_finite_is_named_by_its_place_in_a_grid(chunks):
    array = np.zeros((6, 10, 3))
    array[4, 8, 2] = np.nan
    with pytest.raises(DataError, match=r"^1 values are not finite, the first in row \(4, 8\), column 2"):
        summarise_and_sample(chunked(array, chunks), 10, 0)


def test_nan_that_is_no_missing_value_is_refused_before_em_runs_on_it(monkeypatch):
    array, _ = example()
    array[::3, 1] = np.nan
    rows, steps = chunked(array, ((60,),)), []
    monkeypatch.setattr(gaps, "maximize", lambda *_: steps.append(1) or maximize(*_))
    with pytest.raises(DataError, match=r"^20 values are not finite"):
        summarise_and_sample(rows, 60, 0)
    assert not steps
    assert summarise_and_sample(replace(rows, missing=True), 60, 0)[0].has_gaps
    assert steps


@pytest.mark.parametrize("bad", [-0.5, np.nan, np.inf])
@pytest.mark.parametrize("chunks", [(60,), (7,) * 8 + (4,), (1,) * 60])
def test_a_bad_weight_is_named_by_its_first_row_and_value(bad, chunks):
    array, row_weights = example()
    row_weights[[31, 55]] = bad
    with pytest.raises(DataError, match=rf"^2 row weights .*the first \({bad}\) of row 31: weights must be 0 or more"):
        summarise_and_sample(chunked(array, (chunks,), row_weights), 10, 0)


def test_a_bad_weight_is_named_by_its_place_in_a_grid():
    array, row_weights = np.random.default_rng(0).normal(size=(6, 10, 2)), np.ones((6, 10))
    row_weights[2, 9] = -1
    with pytest.raises(DataError, match=r"of row \(2, 9\)"):
        summarise_and_sample(chunked(array, ((4, 2), (3, 7)), row_weights), 10, 0)


@pytest.mark.parametrize("held", [np.nan, np.inf])
def test_rows_of_weight_zero_may_hold_anything_and_are_not_sampled(held):
    array, row_weights = example()
    row_weights[::3] = 0
    array[::3] = held
    found, sample = summarise_and_sample(chunked(array, ((20, 20, 20),), row_weights), N, 0)
    assert found.n_rows == 40
    drawn = sample.compute()
    assert sorted(drawn.rows[:, 0]) == sorted(array[row_weights > 0, 0])
    assert (drawn.row_weights > 0).all()


@pytest.mark.parametrize("row_weights", [None, np.zeros(0)])
def test_no_rows_are_an_error(row_weights):
    with pytest.raises(DataError, match="no rows of positive weight"):
        summarise_and_sample(Rows.of_memory(np.empty((0, 2)), row_weights), 10, 0)


def test_weights_that_are_all_zero_are_an_error():
    array, _ = example()
    with pytest.raises(DataError, match="no rows of positive weight"):
        summarise_and_sample(chunked(array, ((30, 30),), np.zeros(N)), 10, 0)


def test_chunks_without_rows_do_no_harm():
    array, row_weights = example()
    found, sample = summarise_and_sample(chunked(array, ((0, 20, 0, 40, 0),), row_weights), 10, 0)
    np.testing.assert_allclose(found.scatter, summarise_rows(array, row_weights).scatter, rtol=1e-12)
    assert len(sample.compute().rows) == 10


# The sample


def test_a_sample_as_large_as_the_data_is_all_of_it_in_another_order():
    array, row_weights = example()
    drawn = summarise_and_sample(chunked(array, ((7, 50, 3),), row_weights), 1000, 0)[1].compute()
    order = np.argsort(drawn.rows[:, 0])
    truth = np.argsort(array[:, 0])
    np.testing.assert_array_equal(drawn.rows[order], array[truth])
    np.testing.assert_array_equal(drawn.row_weights[order], row_weights[truth])
    assert not np.array_equal(drawn.rows, array)


@given(chunks=cuts(), size=st.integers(1, N))
def test_a_sample_has_its_size_and_no_row_twice_and_does_not_depend_on_the_chunks(chunks, size):
    array, _ = example()
    drawn = summarise_and_sample(chunked(array, (chunks,)), size, 3)[1].compute()
    assert len(drawn.rows) == size
    assert len(np.unique(drawn.rows[:, 0])) == size
    whole = summarise_and_sample(chunked(array, ((N,),)), size, 3)[1].compute()
    np.testing.assert_array_equal(drawn.rows, whole.rows)


@pytest.mark.slow
def test_each_row_is_drawn_as_often_as_any_other():
    array = np.arange(20.0)[:, None]
    rows = chunked(array, ((1, 9, 10),))
    counts = np.zeros(20)
    for seed in range(300):
        counts[summarise_and_sample(rows, 5, seed)[1].compute().rows[:, 0].astype(int)] += 1
    expected = 300 * 5 / 20
    assert ((counts - expected) ** 2 / (expected * 0.75)).sum() < 43.8  # chi square of 19, one in a thousand


def test_another_seed_draws_other_rows():
    array, _ = example()
    rows = chunked(array, ((N,),))
    first, again, other = (summarise_and_sample(rows, 10, seed)[1].compute().rows for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(np.sort(first[:, 0]), np.sort(other[:, 0]))


def test_the_sample_is_summarised_by_itself():
    array, _ = example()
    drawn = summarise_and_sample(chunked(array, ((N,),)), 10, 0)[1].compute()
    np.testing.assert_allclose(drawn.data_summary.mean, drawn.rows.mean(axis=0), rtol=1e-12)
    assert drawn.data_summary.n_rows == 10


def test_a_sample_keeps_the_type_of_the_rows():
    array = np.random.default_rng(0).integers(0, 255, size=(N, 3), dtype=np.uint8)
    assert summarise_and_sample(chunked(array, ((30, 30),)), 10, 0)[1].compute().rows.dtype == np.uint8


def test_rows_that_are_mostly_masked_still_give_a_sample():
    """As a grid of which most cells are sea."""
    n = 20_000
    array = np.random.default_rng(0).normal(size=(n, 2))
    row_weights = np.zeros(n)
    row_weights[:: n // 20] = 1.0
    found, sample = summarise_and_sample(chunked(array, ((n // 2, n // 2),), row_weights), 500, 0)
    assert found.n_rows == 20
    assert len(sample.compute().rows) == 20
