"""Reading ahead: rows that are streamed at each pass are read beside the threads that compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dask
from dask.base import get_scheduler
from dask.system import CPU_COUNT
from dask.threaded import get as threaded_get

from ..core.slots import COMPUTE_THREADS, READ_AHEAD, n_reading_ahead
from .rows import Rows


@contextmanager
def ready(rows: Rows, keep: bool) -> Iterator[Rows]:
    """Give the rows as passes take them: held in the workers' memory if they are to be kept, else read ahead."""
    with reading_ahead(rows):
        if not keep:
            yield rows
            return
        held = rows.persisted()
    yield held


@contextmanager
def reading_ahead(rows: Rows) -> Iterator[None]:
    """Within it, the threaded scheduler has threads that read ahead, and as many that compute as before.

    Another scheduler has the threads that it was started with.
    """
    if get_scheduler(collections=[rows.array]) is not threaded_get or dask.config.get("pool", None) is not None:
        yield
        return
    n_threads = dask.config.get("num_workers", None) or CPU_COUNT
    n_ahead = n_reading_ahead(dask.config.get(READ_AHEAD, "auto"), n_threads)
    with dask.config.set({"num_workers": n_threads + n_ahead, COMPUTE_THREADS: n_threads}):
        yield
