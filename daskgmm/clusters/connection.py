"""What a cluster gives while it is connected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Protocol, TypeVar

import dask
from annotated_types import Gt
from distributed import Client
from distributed.client import AllExit

from ..concurrency import Execution, executing
from .arrival import brought, wait_for_workers
from .stall_detection import Patience
from .watchdog import watched

T = TypeVar("T")
StartTimeout = Annotated[float, Gt(0)]
StallTimeout = Annotated[float, Gt(0)]
STALL_TIMEOUT = 300.0  # seconds
ANSWER_TIMEOUT = "daskgmm.answer-timeout"  # key of dask's configuration: seconds that workers have for an answer
CONNECT_TIMEOUT = 10.0  # seconds
NO_WORKERS_TIMEOUT = "60s"  # tasks that wait for a worker longer than this fail, where the scheduler is ours


@dataclass(frozen=True)
class Connection:
    """A place to compute; the active dask scheduler is its own for as long as it lasts."""

    description: str
    dashboard: str | None = None
    client: Client | None = None  # None: the threads of this process
    present: Callable[[], AbstractContextManager[object]] = nullcontext  # gives a block in which there is a worker


class Cluster(Protocol):
    """A kind of cluster: its fields are its section of the configuration file."""

    @property
    def n_processes(self) -> int:
        """Worker processes that it starts or waits for."""

    @property
    def compute_threads(self) -> int:
        """Threads of each process that compute, beside which others read ahead."""

    def connect(self) -> Any:
        """Return a context that holds a Connection, and closes at its end what it has opened."""


@contextmanager
def connected(
    client: Client,
    patience: Patience,
    description: str,
    n_workers: int = 1,
    *,
    rescale: Callable[[], None] | None = None,
    own: bool = True,
) -> Iterator[Connection]:
    """Give the connection once the workers are there, and watch over it.

    Raise ClusterLostError, with the remedy, if they are late, or if no task is completed for too long; `rescale` asks
    for workers that are missing then, and paused ones are restarted where the cluster is our `own`.
    """
    patient = dask.config.set({ANSWER_TIMEOUT: patience.stall_timeout})
    with _quiet(), patient, client, watched(client, patience, rescale, own):
        present = nullcontext if own else partial(brought, client, 1, description, patience.start_timeout)
        if own:
            wait_for_workers(client, n_workers, description, patience.start_timeout)
        else:
            with brought(client, n_workers, description, patience.start_timeout):
                pass
        with client.as_current(), executing(Execution(client)):
            yield Connection(description, client.dashboard_link, client, present)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it dask's client logs nothing of what breaks off: that is told by errors of our own."""
    loggers = [logging.getLogger(name) for name in ("distributed.client", "distributed.batched")]
    loop = logging.getLogger("asyncio")
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    loop.addFilter(_is_news)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        loop.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a record of the event loop is more than that a client no longer waits for its results."""
    return not (record.exc_info and isinstance(record.exc_info[1], AllExit))


def connect_timeout(start_timeout: float) -> float:
    """Return the seconds after which a scheduler or host that does not answer is given up."""
    return min(start_timeout, CONNECT_TIMEOUT)


def awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns; it runs in a thread, as this one may have an event loop (in a notebook)."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def reason(error: BaseException) -> str:
    """Return what an error was in the end raised from, with its kind; what is known of a timeout is in the first."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    told = error if isinstance(root, TimeoutError | asyncio.CancelledError) and str(error) else root
    return f"{type(told).__name__}: {told}"


def own_scheduler(stall_timeout: float, no_workers_timeout: str = NO_WORKERS_TIMEOUT) -> Any:
    """Return a context in which a scheduler is started so that nothing waits for workers for ever."""
    timeouts = {"no-workers-timeout": no_workers_timeout, "worker-ttl": worker_ttl(stall_timeout)}
    return dask.config.set({f"distributed.scheduler.{name}": timeout for name, timeout in timeouts.items()})


def worker_ttl(stall_timeout: float) -> str:
    """Return after what time a scheduler restarts a worker that is not heard of: before the watchdog looks.

    A worker that imports packages from a slow file system is not heard of meanwhile: the time must not be short.
    """
    return f"{stall_timeout / 2.5:g}s"
