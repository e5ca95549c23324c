"""Passes over rows that have been read before: they are the same, or the pass ends."""

import dask.array as da
import numpy as np
import pytest

from daskgmm.chunked import known_blocks
from daskgmm.chunked.fingerprint import fingerprints
from daskgmm.chunked.map_reduce import add_up, compute, map_reduce
from daskgmm.chunked.projection import find_projection, project_rows
from daskgmm.chunked.rows import Rows
from daskgmm.core.options.reduce import Reduce
from daskgmm.errors import DataError


class Store:
    """Rows (n, d) that change."""

    def __init__(self, rows):
        self.rows, self.shape, self.dtype, self.ndim = rows, rows.shape, rows.dtype, rows.ndim

    def __getitem__(self, part):
        return self.rows[part].copy()


def sum_chunk(block, weights, shared, own):
    return own * block.sum()


def summed(rows, numbers):
    (total,) = compute(map_reduce(rows, sum_chunk, add_up, None, dict.fromkeys(numbers, 2.0), "sum"))
    return total


@pytest.fixture
def store():
    return Store(np.arange(24.0).reshape(12, 2))


@pytest.mark.parametrize("weighted", [False, True])
def test_a_pass_over_other_rows_than_before_ends_with_their_place(store, weighted):
    weights = Store(np.ones(12)) if weighted else None
    rows = Rows.of_readable(store, weights=weights, chunk_bytes=64)
    (names,) = compute(fingerprints(rows))
    known = rows.name_blocks(tuple(names))
    assert summed(known, [0, 2]) == summed(rows, [0, 2])
    changed = weights if weighted else store
    changed.rows[5] += 1
    assert summed(known, [0, 2]) == summed(rows, [0, 2])  # its block is not read
    changed_rows = r"^rows \[4:8\] of the data are not what they were .* --overwrite; .*, fit array.persist\(\)$"
    with pytest.raises(DataError, match=changed_rows):
        summed(known, [0, 1, 2])


def test_passes_with_an_array_beside_the_rows_and_projections_check_them_too(store):
    rows = Rows.of_readable(store, chunk_bytes=64)
    projection, known = find_projection(rows, Reduce(features=1), seed=0)
    others = da.ones(12, chunks=rows.array.chunks[:1])
    passes = (
        lambda: compute(map_reduce(known, sum_chunk, add_up, None, others, "sum"))[0].sum(),
        lambda: project_rows(known, projection).array.compute().shape,
    )
    assert [one() for one in passes] == [4 * 276, (12, 1)]
    store.rows[5, 0] += 1
    for one in passes:
        with pytest.raises(DataError, match=r"^rows \[4:8\] of the data are not what they were"):
            one()


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_that_are_held_are_looked_at_once_and_again_if_they_are_read_again(store, weighted, monkeypatch):
    weights = Store(np.ones(12)) if weighted else None
    rows = Rows.of_readable(store, weights=weights, chunk_bytes=64)
    held, looked_at = rows.persist(), []
    short_name = known_blocks.short_name
    monkeypatch.setattr(known_blocks, "short_name", lambda *block: looked_at.append(1) or short_name(*block))
    (names,) = compute(fingerprints(held))
    known = held.name_blocks(tuple(names))
    total = summed(known, [0, 1, 2])
    assert [summed(known, [0, 1, 2]) for _ in range(3)] == [total] * 3
    assert len(looked_at) == 3
    store.rows[5] += 1
    assert summed(known, [0, 1, 2]) == total
    again = rows.persist().name_blocks(tuple(names))
    with pytest.raises(DataError, match=r"^rows \[4:8\] of the data are not what they were"):
        summed(again, [0, 1, 2])


def test_what_was_looked_at_is_forgotten_with_its_memory():
    block = np.arange(6.0).reshape(3, 2)
    known_blocks.KnownBlock(known_blocks.short_name(block, None), "rows").check_held(block, None)
    number = id(block)
    assert number in known_blocks._CHECKED
    with pytest.raises(DataError, match="are not what they were"):
        known_blocks.KnownBlock("another", "rows").check_held(block, None)
    del block
    assert number not in known_blocks._CHECKED


def test_an_array_in_other_chunks_than_the_rows_is_refused(store):
    rows = Rows.of_readable(store, chunk_bytes=64)
    with pytest.raises(ValueError, match="beside rows of"):
        map_reduce(rows, sum_chunk, add_up, None, da.ones(12, chunks=5), "sum")
