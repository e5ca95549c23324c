"""kind: local - a dask cluster of processes on this machine, with a dashboard."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar, Literal

import dask
from annotated_types import Ge
from dask.system import CPU_COUNT
from distributed import LocalCluster
from tornado.ioloop import IOLoop

from ...concurrency import COMPUTE_THREADS, READ_AHEAD, n_reading_ahead
from ...options import STRICT
from ...text import describe_workers
from ..connection import (
    STALL_TIMEOUT,
    Connection,
    StallTimeout,
    StartTimeout,
    await_workers,
    client_of,
    hold_cluster,
    own_scheduler,
)
from ..dask_internals import event_loop
from ..memory_size import MemoryLimit, check_memory

# A terminal sends Ctrl-C to all processes of a job, as a batch system does with its warning: it is the client's to end
# its workers.
_IGNORED_SIGNALS = {signal.SIGINT, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])}
_IGNORE_SIGNALS = (
    f"import signal\nfor number in {sorted(map(int, _IGNORED_SIGNALS))}: signal.signal(number, signal.SIG_IGN)"
)


@dataclass(frozen=True)
class Local:
    """A LocalCluster."""

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["local"] = "local"
    n_workers: Annotated[int, Ge(1)] | None = None
    """Number of worker processes; one for each core if left out."""
    threads_per_worker: Annotated[int, Ge(1)] = 1
    """Threads of each worker that compute; they share its memory. compute.read_ahead adds others, which read."""
    memory_limit: MemoryLimit = "auto"
    """Memory of each worker, such as 4GiB; auto divides this machine's."""
    dashboard_address: str | None = "127.0.0.1:0"
    """Where the dashboard listens; port 0 takes a free one; null for none."""
    local_directory: str | None = None
    """Where workers spill to disk."""
    start_timeout: StartTimeout = 60.0
    """Seconds to wait for the first worker."""
    stall_timeout: StallTimeout = STALL_TIMEOUT
    """Seconds without a completed task after which lost workers are replaced; after as many again the job stops."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a limit in which no worker can start."""
        check_memory(self.memory_limit, "cluster.memory_limit")

    @property
    def n_processes(self) -> int:
        """Worker processes."""
        return self.n_workers or max(CPU_COUNT // self.threads_per_worker, 1)

    @property
    def compute_threads(self) -> int:
        """Threads of each worker that compute."""
        return self.threads_per_worker

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Start the cluster, make it the active scheduler, and close both at the end."""
        n_ahead = n_reading_ahead(dask.config.get(READ_AHEAD, "auto"), self.threads_per_worker)
        description = describe_workers(self.n_processes, "local worker", self.threads_per_worker)
        leftovers: list[str] = []
        with (
            _deaf_loop() as loop,
            hold_cluster(self._start_cluster(n_ahead, loop), leftovers) as cluster,
            await_workers(
                client_of(cluster), self, description, rescale=partial(cluster.scale, self.n_processes)
            ) as connection,
        ):
            dashboard = connection.dashboard if self.dashboard_address else None
            yield replace(connection, dashboard=dashboard, leftovers=leftovers)

    def _start_cluster(self, n_ahead: int, loop: IOLoop) -> LocalCluster:
        scheduler = {"dashboard": self.dashboard_address is not None, **own_scheduler(self.stall_timeout)}
        return LocalCluster(
            n_workers=self.n_processes,
            threads_per_worker=self.threads_per_worker + n_ahead,
            processes=True,
            memory_limit=self.memory_limit,
            host="127.0.0.1",
            dashboard_address=self.dashboard_address or "127.0.0.1:0",  # dask serves its health there in any case
            scheduler_kwargs=scheduler,
            config={COMPUTE_THREADS: self.threads_per_worker},  # of dask, in the workers
            local_directory=self.local_directory,
            silence_logs=logging.CRITICAL,
            loop=loop,
            preload=_IGNORE_SIGNALS,
        )


@contextmanager
def _deaf_loop() -> Iterator[IOLoop]:
    """Run an event loop in a thread that takes none of the job's signals, nor does any process that it starts.

    Workers are started by it, again and again, and could ignore a signal by themselves a while later only;
    multiprocessing's helper, which comes with the first, would never.
    """
    with ExitStack() as stack:
        blocks = hasattr(signal, "pthread_sigmask")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED_SIGNALS) if blocks else set()
        try:
            loop = stack.enter_context(event_loop())
        finally:
            if blocks:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield loop
