"""Where a job computes, and the rows that it computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dask

from .chunked.memory import ComputeOptions, fits
from .chunked.rows import Rows
from .chunked.streaming import ready
from .config import Config
from .core.slots import READ_AHEAD
from .events import Connected, Listener, Phase
from .storage.sources import Source


@contextmanager
def connected(config: Config, listen: Listener) -> Iterator[None]:
    """Hold the place where the job computes."""
    with dask.config.set({READ_AHEAD: config.compute.read_ahead}), config.cluster.connect() as connection:
        listen(Connected(connection.description, connection.dashboard))
        yield


@contextmanager
def open_rows(source: Source, compute: ComputeOptions, listen: Listener) -> Iterator[Rows]:
    """Give the source's rows, in the workers' memory where they are to be kept."""
    rows = rows_of(source, compute)
    keep = fits(rows, compute.persist)
    how = "kept in memory" if keep else "streamed at each pass"
    shape = " x ".join(f"{size:,}" for size in rows.grid)
    what = f"{source.description}: {shape} rows x {rows.n_features} features ({rows.array.dtype})"
    listen(Phase("read", f"{what}, {len(rows.block_sizes)} chunks, {how}"))
    with ready(rows, keep) as ready_rows:
        yield ready_rows


def rows_of(source: Source, compute: ComputeOptions) -> Rows:
    """Return the source's rows, lazily: none is read."""
    return Rows.of_readable(
        source.array, source.stored_chunks, source.weights, source.valid, source.fill_value, compute.chunk_bytes
    )
