"""What a cluster gives while it is connected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from annotated_types import Gt
from distributed import Client

from ..concurrency import Execution, execute_in
from . import abandonment
from .arrival import brought, wait_for_workers
from .dask_internals import is_abandoned_wait, preload_no_workers_timeout
from .stall_detection import Timeouts
from .watchdog import watch

_LOGGER = logging.getLogger(__name__)

T = TypeVar("T")
StartTimeout = Annotated[float, Gt(0)]
StallTimeout = Annotated[float, Gt(0)]
STALL_TIMEOUT = 300.0  # seconds
ANSWER_TIMEOUT: ContextVar[float] = ContextVar("daskgmm-answer-timeout", default=STALL_TIMEOUT)  # of workers, seconds
CONNECT_TIMEOUT = 10.0  # seconds
NO_WORKERS_TIMEOUT = 60.0  # seconds; tasks that wait for a worker longer than this fail, where the scheduler is ours


@dataclass(frozen=True)
class Connection:
    """A place to compute; the active dask scheduler is its own for as long as it lasts."""

    description: str
    dashboard: str | None = None
    client: Client | None = None  # None: the threads of this process
    present: Callable[[], AbstractContextManager[object]] = nullcontext  # gives a block in which there is a worker
    leftovers: list[str] = field(default_factory=list)  # after the end, in words: what may still run


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


class ClusterOfWorkers(Cluster, Timeouts, Protocol):
    """A kind of cluster whose workers are processes."""


@contextmanager
def await_workers(
    client: Client,
    cluster: ClusterOfWorkers,
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
    with _quiet(), answers_within(cluster.stall_timeout), client, watch(client, cluster, rescale, own):
        present = nullcontext if own else partial(brought, client, 1, description, cluster.start_timeout)
        if own:
            wait_for_workers(client, n_workers, description, cluster.start_timeout)
        else:
            with brought(client, n_workers, description, cluster.start_timeout):
                pass
        with client.as_current(), execute_in(Execution(client, n_workers=cluster.n_processes)):
            yield Connection(description, client.dashboard_link, client, present)


@contextmanager
def hold_cluster(cluster: AbstractContextManager[T], leftovers: list[str]) -> Iterator[T]:
    """Give a cluster that runs, and close it at the end.

    If it can't be closed, which a loaded machine may not do in the seconds that dask gives it, that is added to
    leftovers in words: it neither spoils a job that is complete nor hides the error of one that is not.
    """
    entered = cluster.__enter__()
    try:
        yield entered
    finally:
        try:
            cluster.__exit__(None, None, None)
        except Exception as error:
            _LOGGER.debug("the cluster was not closed", exc_info=True)
            leftovers.append(f"processes of the cluster may still run: it could not be closed ({reason(error)})")


@contextmanager
def answers_within(seconds: float) -> Iterator[None]:
    """Give workers as long to answer what this thread asks within the block."""
    token = ANSWER_TIMEOUT.set(seconds)
    try:
        yield
    finally:
        ANSWER_TIMEOUT.reset(token)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it dask's client logs nothing of what breaks off: our own errors report it."""
    quiet = {name: _Silence() for name in ("distributed.client", "distributed.batched")} | {"asyncio": _News()}
    for name, kept in quiet.items():
        logging.getLogger(name).addFilter(kept)
    try:
        yield
    finally:
        for name, kept in quiet.items():
            logging.getLogger(name).removeFilter(kept)


class _Silence(logging.Filter):
    """Lets nothing short of a critical error through; each job has its own, and levels would be the process's."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL


class _News(logging.Filter):
    """Lets through what the event loop says, but that a client no longer waits for its results."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and is_abandoned_wait(record.exc_info[1]))


def client_of(cluster: Any, **options: Any) -> Client:
    """Return a client that is not the default one of the process: `await_workers` makes it that of the job's thread."""
    return Client(cluster, set_as_default=False, **options)


def end_when_abandoned(client: Client) -> None:
    """Have the client's scheduler end once its clients are gone. A scheduler that can't be asked is left as it is."""
    text = abandonment_text()

    async def watch(dask_scheduler: Any) -> None:  # a function of its own, which is sent itself: see `abandonment`
        module: dict[str, Any] = {"__name__": "abandonment"}
        exec(text, module)  # noqa: S102 # it is our own
        module["dask_setup"](dask_scheduler)

    async def ask() -> None:
        await client.run_on_scheduler(watch)

    try:
        client.sync(ask, callback_timeout=CONNECT_TIMEOUT)
    except Exception:  # it then runs on after a client that is killed, as the server has it
        _LOGGER.debug("the scheduler will not end with its last client", exc_info=True)


def abandonment_text() -> str:
    """Return the text that a scheduler takes as its preload, to end once its clients are gone.

    It has no empty lines: a scheduler logs it, and SSHCluster takes an empty line in the log for the end.
    """
    return "\n".join(filter(str.strip, Path(abandonment.__file__).read_text(encoding="utf-8").splitlines()))


def connect_timeout(start_timeout: float) -> float:
    """Return the seconds after which a scheduler or host that does not answer is given up."""
    return min(start_timeout, CONNECT_TIMEOUT)


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread and return its result: this thread may have an event loop (in a notebook)."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def reason(error: BaseException) -> str:
    """Return the root cause of an error as "Type: message"; of a timeout, the first error, which says most."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    told = error if isinstance(root, TimeoutError | asyncio.CancelledError) and str(error) else root
    return f"{type(told).__name__}: {told}"


def own_scheduler(stall_timeout: float, no_workers_timeout: float = NO_WORKERS_TIMEOUT) -> dict[str, Any]:
    """Return options of distributed's Scheduler with which nothing waits for workers for ever (seconds)."""
    return {"worker_ttl": worker_ttl(stall_timeout), "preload": [preload_no_workers_timeout(no_workers_timeout)]}


def worker_ttl(stall_timeout: float) -> str:
    """Return after what time a scheduler restarts a worker that is not heard of: before the watchdog looks.

    A worker that imports packages from a slow file system is not heard of meanwhile: the time must not be short.
    """
    return f"{stall_timeout / 2.5:g}s"
