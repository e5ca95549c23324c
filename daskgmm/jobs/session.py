"""Where a job computes, and the rows that it computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import dask

from ..chunked.memory import fits
from ..chunked.read_ahead import ready
from ..chunked.rows import Rows
from ..clusters.task_progress import watched
from ..concurrency import READ_AHEAD
from ..config import Config
from ..events import Connected, Listener, Notice, Opened, Phase
from ..sources import Source
from ..text import counted
from .dry_run import rows_of
from .performance_report import performance_report
from .preflight import check_cluster


@contextmanager
def opened(config: Config, source: Source, listen: Listener) -> Iterator[Rows]:
    """Connect to the place where the job computes, and give the source's rows there, once it can do the job."""
    with (
        dask.config.set({READ_AHEAD: config.compute.read_ahead}),
        config.cluster.connect() as connection,
        watched(connection.client) as look,
    ):
        listen(Connected(connection.description, connection.dashboard, look))
        check_cluster(connection, config, source, listen)
        for notice in source.notices:
            listen(Notice(notice))
        performance = (
            performance_report(connection, config.output) if config.output.performance_report else nullcontext()
        )
        rows = rows_of(source, config.compute).fused()
        keep = fits(rows, config.compute.persist)
        listen(Phase("read", f"{_described(rows, source)}, {'kept in memory' if keep else 'streamed at each pass'}"))
        row_bytes = rows.n_features * rows.array.dtype.itemsize
        listen(Opened(rows.n_rows, row_bytes, streamed=not keep))
        with performance, ready(rows, keep, source.description) as ready_rows:
            yield ready_rows


def _described(rows: Rows, source: Source) -> str:
    shape = " x ".join(f"{size:,}" for size in rows.grid)
    what = f"{source.description}: {shape} rows x {counted(rows.n_features, 'feature')} ({rows.array.dtype})"
    return f"{what}, {counted(len(rows.block_sizes), 'chunk')}"
