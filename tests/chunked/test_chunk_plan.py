"""The chunk plan."""

from math import prod

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.chunked.chunk_plan import keep_or_plan, plan_chunks, strip_length, target_bytes
from daskgmm.errors import ConfigurationError

MIB = 2**20


@st.composite
def stores(draw):
    """Return a grid, the size of a row, the chunks in the store and the size that chunks should have."""
    longest = draw(st.sampled_from([(3000,), (1000, 1000), (100, 100, 100)]))  # at most a million chunks
    grid = tuple(draw(st.integers(1, length)) for length in longest)
    stored = tuple(draw(st.integers(1, size + 10)) for size in grid)
    row_bytes = draw(st.sampled_from([1, 3, 8, 24, 1000]))
    return grid, row_bytes, draw(st.none() | st.just(stored)), draw(st.just("auto") | st.integers(1024, 300 * MIB))


def n_bytes(chunk, row_bytes):
    return prod(chunk) * row_bytes


@given(stores())
def test_chunks_cover_the_grid_once(store):
    grid, row_bytes, stored, chunk_bytes = store
    chunk = plan_chunks(grid, row_bytes, stored, chunk_bytes)
    assert all(1 <= size <= axis for size, axis in zip(chunk, grid, strict=True))
    blocks = da.core.normalize_chunks(chunk, shape=grid)
    assert tuple(sum(sizes) for sizes in blocks) == grid
    assert all(size > 0 for sizes in blocks for size in sizes)


@given(stores())
def test_chunks_hold_whole_stored_chunks(store):
    """So that no stored chunk is read twice in a pass."""
    grid, row_bytes, stored, chunk_bytes = store
    stored = stored or (1,) * len(grid)
    chunk = plan_chunks(grid, row_bytes, stored, chunk_bytes)
    for size, one, axis in zip(chunk, stored, grid, strict=True):
        assert size % min(one, axis) == 0 or size == axis


@given(stores())
def test_chunks_respect_the_target_and_are_no_smaller_than_half_of_it(store):
    grid, row_bytes, stored, chunk_bytes = store
    target = target_bytes(prod(grid) * row_bytes, chunk_bytes)
    chunk = plan_chunks(grid, row_bytes, stored, chunk_bytes)
    one = tuple(min(size, axis) for size, axis in zip(stored or (1,) * len(grid), grid, strict=True))
    most = target if stored else target * 17 // 16  # rows that may be cut anywhere are rounded
    assert n_bytes(chunk, row_bytes) <= max(most, n_bytes(one, row_bytes), row_bytes)
    assert chunk == grid or 2 * n_bytes(chunk, row_bytes) > min(target, 256 * MIB) - row_bytes


@pytest.mark.parametrize("chunk_bytes", [256 * MIB + 12_345, 300 * MIB, 2**30])
def test_a_target_above_the_largest_chunk_still_gives_whole_stored_chunks(chunk_bytes):
    (size,) = plan_chunks((10**9,), 16, (1000,), chunk_bytes)
    assert size % 1000 == 0
    assert size * 16 <= 256 * MIB


def test_a_stored_chunk_that_is_too_big_is_split():
    chunk = plan_chunks((1000, 1000, 1000), 8, (1000, 1000, 1000))
    assert n_bytes(chunk, 8) <= 256 * MIB
    assert chunk[1:] == (1000, 1000)


@pytest.mark.parametrize(
    ("total", "n_chunks"), [(100_000, 2), (16 * MIB, 16), (4 * 2**30, 512), (100 * 2**30, 1024), (2**40, 4096)]
)
def test_auto_makes_the_number_of_chunks_that_its_docstring_tells(total, n_chunks):
    assert -(-total // target_bytes(total, "auto")) == n_chunks


def test_memory_is_cut_into_the_chunks_that_were_aimed_at_without_a_small_one_at_the_end():
    assert plan_chunks((1_000_000,), 64, None) == (63_488,)  # 15.8 chunks; 62,464 would leave 576 rows over
    assert plan_chunks((100_000,), 8192, None, 8192 * 1500) == (1024,)  # the next multiple is far too much


@pytest.mark.parametrize("total", [0, 1, 2**10, 10 * MIB, 10 * 2**30, 2**42])
def test_auto_keeps_to_its_bounds(total):
    assert 64 * 2**10 <= target_bytes(total, "auto") <= 256 * MIB


def test_the_plan_of_no_rows_is_a_chunk():
    assert plan_chunks((0,), 8, None) == (1,)


def test_the_chunks_of_a_user_are_kept():
    chunks = ((300_000, 400_000, 300_000),)
    assert keep_or_plan(chunks, 16, "auto") is chunks


def test_chunks_that_are_far_too_small_are_merged():
    planned = keep_or_plan(((10,) * 10_000,), 16, "auto")
    assert planned == plan_chunks((100_000,), 16, (10,))
    assert planned[0] > 1000
    assert planned[0] % 10 == 0


def test_a_single_small_chunk_is_kept():
    chunks = ((10,),)
    assert keep_or_plan(chunks, 16, "auto") is chunks


def test_chunks_that_are_too_big_are_split():
    (planned,) = keep_or_plan(((10**8, 10),), 8, "auto")
    assert planned * 8 <= 256 * MIB


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=60).map(tuple),
    st.integers(1, 64),
    st.integers(1024, 10**6),
)
def test_pieces_are_gathered_whole_and_in_order(pieces, row_bytes, chunk_bytes):
    (chunks,) = plan_chunks((sum(pieces),), row_bytes, (pieces,), chunk_bytes)
    ends = set(np.cumsum(pieces).tolist())
    assert sum(chunks) == sum(pieces)
    assert set(np.cumsum(chunks).tolist()) <= ends
    target = max(chunk_bytes // row_bytes, 1)
    assert all(size <= 2 * target or size in pieces for size in chunks)


def test_a_huge_piece_is_cut():
    (chunks,) = plan_chunks((10**9,), 8, ((10**9,),))
    assert sum(chunks) == 10**9
    assert max(chunks) * 8 <= 256 * 2**20


@given(st.integers(1, 10**5), st.integers(1, 10**6))
def test_strips_divide_a_block_and_are_near_the_size_that_is_written_at_once(length, step_bytes):
    strip, most = strip_length(length, step_bytes), 64 * 2**20
    assert length % strip == 0
    divisors = [n for n in range(1, length + 1) if length % n == 0]
    largest_below = max([n for n in divisors if n * step_bytes <= most], default=1)
    assert strip in {largest_below, min([n for n in divisors if n > largest_below], default=length)}
    assert strip == length or 8 * strip * step_bytes >= most - 8 * step_bytes


@pytest.mark.parametrize(
    ("n_rows", "stored"), [(10**15, (1000,)), (2 * 10**18, None), (10**12, ((10**12,),)), (10**15, ((10**15,),))]
)
def test_more_than_a_million_chunks_are_refused_before_any_is_planned(n_rows, stored):
    with pytest.raises(ConfigurationError, match=r"chunks, and at most 1,000,000 can be planned: raise chunk_bytes"):
        plan_chunks((n_rows,), 2**20, stored)


def test_pieces_of_more_than_a_million_chunks_are_refused():
    with pytest.raises(ConfigurationError, match=r"1,000,001 rows would be cut into 1,000,001 chunks"):
        plan_chunks((1_000_001,), 8, ((1,) * 1_000_001,), 8)


def test_a_million_chunks_can_be_planned():
    assert plan_chunks((10**9,), 24, (1000,), 24_000) == (1000,)
