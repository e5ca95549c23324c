"""Rows: blocks, their numbering, their regions of the grid."""

from math import prod

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.chunked.map_reduce import compute, map_reduce
from daskgmm.chunked.rows import Rows
from daskgmm.errors import DataError


@st.composite
def chunkings(draw, max_axes=3, max_chunks=4, max_size=5):
    """Return the chunks of a grid."""
    sizes = st.lists(st.integers(1, max_size), min_size=1, max_size=max_chunks)
    return tuple(tuple(draw(sizes)) for _ in range(draw(st.integers(1, max_axes))))


def numbered(chunks):
    """Return rows whose two features are the C-order number of their grid cell and its negative, and the grid."""
    grid = tuple(sum(sizes) for sizes in chunks)
    cells = np.arange(prod(grid), dtype=float).reshape(grid)
    return Rows(da.from_array(np.stack([cells, -cells], axis=-1), chunks=(*chunks, 2))), cells


def concatenate(parts):
    return [one for part in parts for one in part]


def blocks_of(rows):
    """Return the blocks and their weights, in order, through a task for each."""
    own = dict.fromkeys(range(len(rows.block_sizes)))
    (blocks,) = compute(map_reduce(rows, lambda *arguments: [arguments[:2]], concatenate, None, own, "x"))
    return blocks


@given(chunkings())
def test_the_place_of_a_row_number_is_its_grid_index(chunks):
    rows, cells = numbered(chunks)
    in_order = np.concatenate([block[:, 0] for block, _ in blocks_of(rows)])
    assert len(in_order) == rows.n_rows == cells.size
    for row, value in enumerate(in_order):
        assert cells[rows.place(row)] == value


@given(chunkings())
def test_the_regions_are_the_parts_of_the_grid_that_the_blocks_hold(chunks):
    rows, cells = numbered(chunks)
    seen = np.zeros(rows.grid, int)
    for region, size, (block, _) in zip(rows.regions, rows.block_sizes, blocks_of(rows), strict=True):
        seen[region] += 1
        assert cells[region].size == size
        np.testing.assert_array_equal(cells[region].ravel(), block[:, 0])
    assert (seen == 1).all()


@given(chunkings())
def test_the_rows_of_a_task_are_known_by_its_key(chunks):
    rows, _ = numbered(chunks)
    rows = Rows(rows.array, da.ones(rows.grid, chunks=rows.array.chunks[:-1]))
    lazy = map_reduce(rows, len, len, None, dict.fromkeys(range(len(rows.regions))), "test")
    on_blocks = [key for key in lazy.dask if isinstance(key, tuple) and key[0].endswith("-chunk")]
    assert [rows.region_of(key) for key in on_blocks] == rows.regions
    for keys, region in zip(rows.block_keys, rows.regions, strict=True):
        assert [rows.region_of(key) for key in keys] == [region, region]
    for other in ("test-shared", ("test-combine", 1, 0), ("other", 0, 0)):
        assert rows.region_of(other) is None


def test_arrays_of_two_axes_keep_the_order_of_their_rows():
    rows, cells = numbered(((3, 1, 4),))
    np.testing.assert_array_equal(np.concatenate([block[:, 0] for block, _ in blocks_of(rows)]), cells)
    assert [rows.place(row) for row in range(8)] == [(row,) for row in range(8)]


@pytest.mark.parametrize("shape", [(100, 2), (7, 9, 2), (3, 4, 5, 2)])
def test_rows_in_memory_are_views_without_a_copy(shape):
    array = np.random.default_rng(0).normal(size=shape)
    row_weights = np.random.default_rng(1).uniform(size=shape[:-1])
    rows = Rows.of_memory(array, row_weights, chunk_bytes=1024)
    assert len(rows.block_sizes) > 1 or prod(shape) < 128
    assert (rows.grid, rows.n_features, rows.n_rows) == (shape[:-1], 2, prod(shape[:-1]))
    assert rows.n_bytes == array.nbytes + row_weights.nbytes
    for region, (block, weights) in zip(rows.regions, blocks_of(rows), strict=True):
        np.testing.assert_array_equal(block, array[region].reshape(-1, 2))
        np.testing.assert_array_equal(weights, row_weights[region].ravel())
    first = dask.compute(rows.array.to_delayed().ravel()[0])[0]
    assert np.shares_memory(first, array)


def test_rows_of_the_same_memory_with_other_values_are_other_rows():
    """A scheduler that still holds blocks under their old names must not hand those out."""
    array = np.zeros((100, 2))
    before = Rows.of_memory(array)
    array[:] = 1
    assert Rows.of_memory(array).array.name != before.array.name


def test_a_dask_array_keeps_its_chunks_and_its_weights_get_them():
    array = da.zeros((300_000, 4), chunks=((100_000, 150_000, 50_000), (1, 3)))
    rows = Rows.of(array, da.ones(300_000, chunks=7_000))
    assert rows.array.chunks == ((100_000, 150_000, 50_000), (4,))
    assert rows.weights.chunks == ((100_000, 150_000, 50_000),)


def test_chunks_that_are_far_too_small_are_merged():
    rows = Rows.of(da.zeros((10_000, 2), chunks=(1, 2)))
    assert len(rows.block_sizes) < 100
    assert rows.n_rows == 10_000


def test_a_readable_of_one_axis_holds_one_feature():
    rows = Rows.of_readable(np.arange(10.0), None)
    assert (rows.grid, rows.n_features) == ((10,), 1)


class Readable:
    """As a zarr array: shape, dtype and slices, counting what is read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.reads = []

    def __getitem__(self, index):
        part = self.array[index]
        if part.size:  # dask.array looks at an empty part to learn the type
            self.reads.append(index)
        return part


@pytest.mark.parametrize(
    ("shape", "stored", "chunk_bytes"), [((60,), (10,), 160), ((60, 2), (10,), 320), ((6, 10, 3), (2, 10), 480)]
)
def test_a_readable_is_read_once_for_each_block_and_not_before(shape, stored, chunk_bytes):
    array = np.random.default_rng(0).normal(size=shape)
    readable = Readable(array)
    rows = Rows.of_readable(readable, stored, chunk_bytes=chunk_bytes)
    assert readable.reads == []
    grid = shape[:1] if len(shape) == 1 else shape[:-1]
    assert rows.grid == grid
    blocks = [block for block, _ in blocks_of(rows)]
    assert len(readable.reads) == len(rows.block_sizes) == 3
    expected = array.reshape(*grid, -1)
    for region, block in zip(rows.regions, blocks, strict=True):
        np.testing.assert_array_equal(block, expected[region].reshape(-1, rows.n_features))


def test_weights_of_a_readable_are_read_with_its_chunks():
    array, row_weights = np.arange(120.0).reshape(60, 2), np.arange(60.0)
    rows = Rows.of_readable(Readable(array), (10,), Readable(row_weights), chunk_bytes=480)
    np.testing.assert_array_equal(np.concatenate([weights for _, weights in blocks_of(rows)]), row_weights)


@pytest.mark.parametrize(
    "build", [Rows.of_memory, lambda array, weights: Rows.of(da.asarray(array), da.asarray(weights))]
)
def test_weights_of_another_shape_are_an_error_that_names_both(build):
    with pytest.raises(DataError, match=r"\(9,\).*\(10,\)"):
        build(np.zeros((10, 2)), np.ones(9))


def test_persisted_rows_are_the_same_rows_without_their_source():
    array = np.random.default_rng(0).normal(size=(60, 2))
    readable = Readable(array)
    rows = Rows.of_readable(readable, (10,), Readable(np.arange(60.0)), chunk_bytes=480).persist()
    n_reads = len(readable.reads)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([block for block, _ in blocks_of(rows)]), array)
    assert len(readable.reads) == n_reads


def masked_example():
    rng = np.random.default_rng(0)
    array, row_weights, valid = rng.normal(size=(40, 6, 2)), rng.uniform(1, 2, (40, 6)), rng.random((40, 6)) < 0.7
    array[3, 4, 1] = np.nan
    return array, row_weights, valid


@pytest.mark.parametrize("kind", [Readable, np.asarray])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("masked", ["array", "fill", "both"])
def test_masked_rows_weigh_nothing(kind, weighted, masked):
    array, row_weights, valid = masked_example()
    present = np.ones((40, 6), bool) if masked == "fill" else valid.copy()
    present[3, 4] &= masked == "array"
    rows = Rows.of_readable(
        kind(array),
        None if kind is np.asarray else (5, 6),
        kind(row_weights) if weighted else None,
        None if masked == "fill" else kind(valid),
        () if masked == "array" else (np.nan,),
        1024,
    )
    expected = np.where(present, row_weights, 0) if weighted else present
    found = rows.weights.compute()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    assert rows.weights.chunks == rows.array.chunks[:-1]


@pytest.mark.parametrize("shape", [(60, 2), (60,)])
def test_masked_rows_are_read_once_in_a_pass(shape):
    readable = Readable(np.arange(np.prod(shape), dtype=float).reshape(shape))
    rows = Rows.of_readable(readable, (10,), fill_values=(7.0,), chunk_bytes=240).fuse()
    weights = np.concatenate([weights for _, weights in blocks_of(rows)])
    np.testing.assert_array_equal(weights, (readable.array.reshape(60, -1) != 7).all(axis=1))
    assert len(readable.reads) == len(rows.block_sizes) > 1


def test_a_column_of_one_axis_can_be_masked():
    rows = Rows.of_readable(Readable(np.array([1.0, -9.0, 2.0])), (3,), fill_values=(-9.0,))
    np.testing.assert_array_equal(rows.weights.compute(), [True, False, True])


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(DataError, match=r"weights or mask have the shape \(3,\), but the rows have \(4,\)"):
        Rows.of_readable(Readable(np.zeros((4, 2))), (4,), valid=Readable(np.ones(3, bool)))


def test_rows_of_pieces_are_cut_between_them():
    rows = Rows.of_readable(Readable(np.zeros((100, 2))), ((30, 30, 40),), chunk_bytes=1024)
    assert rows.array.chunks[0] == (60, 40)


def test_persisted_rows_are_aligned_though_they_came_to_the_workers_across_boundaries():
    values = np.frombuffer(bytearray(8 * 600 + 1), offset=1).reshape(200, 3)
    values[:] = np.arange(600).reshape(200, 3)
    assert not values.flags.aligned
    rows = Rows.of_memory(values, values[:, 1], chunk_bytes=2400).persist()
    for held, expected in ((rows.array, values), (rows.weights, values[:, 1])):
        assert all(block.flags.aligned for block in held.__dask_graph__().values())
        np.testing.assert_array_equal(held.compute(), expected)
