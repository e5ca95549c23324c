"""What the processes of a job have done so far."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import dask
import psutil
from dask.system import CPU_COUNT
from distributed import Client, default_client

from ..concurrency import COMPUTE_THREADS, current_execution

_LOGGER = logging.getLogger(__name__)

_ANSWER_TIMEOUT = 10.0  # seconds for the answers of all workers: one that is frozen never gives any


class Usage(NamedTuple):
    """What a process has used since it began."""

    threads: int  # that compute; others read ahead
    cpu_seconds: float  # of user and system
    resident_bytes: int


def usage() -> Mapping[str, Usage]:
    """Return the usage of each worker of the active cluster, or of this process if there is none.

    It is for people to look at: a worker that is lost is left out, and all are where one does not answer in time.
    """
    try:
        client = default_client()
    except ValueError:
        execution = current_execution()
        n_threads = execution.n_threads if execution else None
        return {"this process": _own_usage()._replace(threads=n_threads or CPU_COUNT)}
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        answers = client.sync(_ask_workers, client, callback_timeout=_ANSWER_TIMEOUT)
    except Exception:  # of a cluster that is on its way out; the next pass over it says so
        _LOGGER.debug("workers reported no usage", exc_info=True)
        return {}
    return {
        str(workers[address].get("name", address)): answer._replace(
            threads=answer.threads or int(workers[address]["nthreads"])
        )
        for address, answer in answers.items()
        if address in workers and isinstance(answer, Usage)
    }


async def _ask_workers(client: Client) -> Any:
    return await client.run(_own_usage, on_error="ignore")


def _own_usage() -> Usage:
    """Return the usage of this process; 0 threads if their number is unknown."""
    process = psutil.Process()
    times = process.cpu_times()
    n_threads = int(dask.config.get(COMPUTE_THREADS, None) or 0)
    return Usage(n_threads, times.user + times.system, int(process.memory_info().rss))
