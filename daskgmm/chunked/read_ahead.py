"""Reading ahead: rows that are streamed at each pass are read beside the threads that compute."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import dask
from dask.base import get_scheduler
from dask.system import CPU_COUNT
from dask.threaded import get as threaded_get
from distributed import KilledWorker

from ..concurrency import READ_AHEAD, Execution, current_execution, enter_pool, execute_in, n_reading_ahead
from ..errors import ClusterLostError
from .map_reduce import describe_lost_task
from .rows import Rows, name_rows


@contextmanager
def ready(rows: Rows, keep: bool, name: str = "the data") -> Iterator[Rows]:
    """Give the rows as passes take them: held in the workers' memory if they are to be kept, else read ahead.

    Within it the job's threads are counted, so that no more compute than there are, and those that are free can help.
    A block that no worker survives is named, as rows of what has this name.
    """
    with _blocks_named(rows, name):
        with read_rows_ahead(rows):
            if not keep:
                yield rows
                return
            held = rows.persist()
        execution = _find_execution(rows)
        with nullcontext() if execution is None else execute_in(execution):
            yield held


@contextmanager
def _blocks_named(rows: Rows, name: str) -> Iterator[None]:
    try:
        yield
    except ClusterLostError as error:
        cause = error.__cause__
        region = rows.region_of(cause.task) if isinstance(cause, KilledWorker) else None
        if region is None:
            raise
        raise ClusterLostError(describe_lost_task(f"{name_rows(region)} of {name}", cause)) from cause


@contextmanager
def read_rows_ahead(rows: Rows) -> Iterator[None]:
    """Within it, this thread's job has threads of its own: some that read ahead, and as many that compute as before.

    Another scheduler has the threads that it was started with.
    """
    execution = _find_execution(rows)
    if execution is None or not execution.n_threads:
        yield
        return
    n_ahead = n_reading_ahead(dask.config.get(READ_AHEAD, "auto"), execution.n_threads)
    pool = ThreadPoolExecutor(execution.n_threads + n_ahead, "daskgmm", enter_pool, (execution,))
    try:
        with execute_in(replace(execution, pool=pool)):
            yield
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an error its reads may go on for long


def _find_execution(rows: Rows) -> Execution | None:
    """Return the job's own execution or the threads that dask's configuration asks for.

    None for another scheduler, or threads of the user.
    """
    own = current_execution()
    if own is not None:
        return own
    if get_scheduler(collections=[rows.array]) is not threaded_get or dask.config.get("pool", None) is not None:
        return None
    return Execution("threads", dask.config.get("num_workers", None) or CPU_COUNT)
