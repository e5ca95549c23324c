"""Rows [start:stop) among pieces that are read as they are stored."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def find_covering(pieces: Sequence[int], start: int, stop: int) -> tuple[range, int]:
    """Return the pieces that hold the rows [start:stop), and the number of rows before the first of them.

    >>> find_covering([10, 0, 10, 10], 12, 20)
    (range(2, 3), 10)
    """
    edges = [0, *accumulate(pieces)]
    first = bisect_right(edges, start) - 1
    return range(first, bisect_left(edges, stop)), edges[first]


def cut_rows(batches: Iterable[pa.RecordBatch], skip: int, n_rows: int) -> Iterator[pa.RecordBatch]:
    """Yield n_rows rows of the batches, without the first `skip`; read no batch beyond them."""
    for batch in batches:
        skipped = min(skip, batch.num_rows)
        part = batch.slice(skipped, n_rows)
        skip -= skipped
        n_rows -= part.num_rows
        if part.num_rows:
            yield part
        if n_rows == 0:
            return
