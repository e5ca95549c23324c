"""The rows of a source, as its options and those of the computation cut them."""

from __future__ import annotations

from .chunked.memory import ComputeOptions
from .chunked.rows import Rows
from .storage.sources import Source


def rows_of(source: Source, compute: ComputeOptions) -> Rows:
    """Return the source's rows, lazily: none is read."""
    return Rows.of_readable(
        source.array, source.stored_chunks, source.weights, source.valid, source.fill_value, compute.chunk_bytes
    )
