"""kind: ssh - scheduler and workers that are started on hosts by ssh."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from logging.handlers import BufferingHandler
from threading import Lock
from typing import Annotated, Any, ClassVar, Literal

import dask
from annotated_types import Ge, MinLen
from distributed import SpecCluster, SSHCluster

from ...concurrency import COMPUTE_THREADS, READ_AHEAD, n_reading_ahead
from ...errors import ClusterLostError, ConfigurationError
from ...options import STRICT
from ...text import describe_workers
from ..connection import (
    STALL_TIMEOUT,
    Connection,
    StallTimeout,
    StartTimeout,
    abandonment_text,
    await_workers,
    client_of,
    connect_timeout,
    hold_cluster,
    own_scheduler,
    reason,
)
from ..memory_size import MemoryLimit, check_memory

_SECRETS = {"password", "passphrase"}
_KEEPALIVE = 15  # seconds; asyncssh gives a host up after three without an answer
_MANY_LINES = 10_000
_LISTENING_LOCK = Lock()


@dataclass(frozen=True)
class Ssh:
    """An SSHCluster: what it starts on the hosts ends with the job."""

    __pydantic_config__: ClassVar = STRICT

    hosts: Annotated[tuple[str, ...], MinLen(2)]
    """Host of the scheduler, then those of the workers; the first may be named again."""
    kind: Literal["ssh"] = "ssh"
    workers_per_host: Annotated[int, Ge(1)] = 1
    """Worker processes on each host of workers."""
    threads_per_worker: Annotated[int, Ge(1)] = 1
    """Threads of each worker that compute; they share its memory. compute.read_ahead adds others, which read."""
    memory_limit: MemoryLimit = "auto"
    """Memory of each worker, such as 4GiB; auto is the share of its host's that its threads have of the cores."""
    connect_options: dict[str, Any] = field(default_factory=dict)
    """Options of asyncssh.connect: username, port, client_keys, known_hosts (null: any host is trusted), ..."""
    remote_python: str | None = None
    """Python on the hosts, in which daskgmm is installed; the path of this one if left out."""
    interface: str | None = None
    """Network interface of the hosts over which dask speaks, such as ib0."""
    dashboard_address: str = ":0"
    """Where the scheduler's dashboard listens; port 0 takes a free one."""
    local_directory: str | None = None
    """Where workers spill to disk, on their hosts."""
    start_timeout: StartTimeout = 60.0
    """Seconds to wait for all workers; for a host to answer, at most 10 of them."""
    stall_timeout: StallTimeout = STALL_TIMEOUT
    """Seconds without a completed task after which silent workers are restarted; the job stops after as many again."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a secret, or a limit that is no size."""
        check_memory(self.memory_limit, "cluster.memory_limit")
        for secret in _SECRETS & set(self.connect_options):
            raise ConfigurationError(
                f"cluster.connect_options.{secret} does not belong in a configuration, which is kept beside the "
                "results: use client_keys or an ssh-agent"
            )

    @property
    def n_processes(self) -> int:
        """Worker processes on all hosts."""
        return (len(self.hosts) - 1) * self.workers_per_host

    @property
    def compute_threads(self) -> int:
        """Threads of each worker that compute."""
        return self.threads_per_worker

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Start scheduler and workers, make them the active scheduler, and end them at the end."""
        description = f"{describe_workers(self.n_processes, 'worker', self.threads_per_worker)} on {self._where}"
        leftovers: list[str] = []
        with (
            hold_cluster(self._start_cluster(), leftovers) as cluster,
            await_workers(client_of(cluster), self, description, self.n_processes) as connection,
        ):
            yield replace(connection, leftovers=leftovers)

    @property
    def _where(self) -> str:
        return ", ".join(dict.fromkeys(self.hosts[1:]))

    def _start_cluster(self) -> SpecCluster:
        options = self._connect_options()
        with _heard() as lines:
            try:
                return SSHCluster(
                    list(self.hosts),
                    connect_options=options,
                    worker_options=self._worker_options(),
                    scheduler_options=self._scheduler_options(),
                    remote_python=self.remote_python,
                    silence_logs=logging.CRITICAL,
                )
            except Exception as error:  # SSHCluster raises bare ones
                said = f" (the last it said: {lines[-1].getMessage().strip()})" if lines else ""
                raise ClusterLostError(
                    f"no cluster on {', '.join(dict.fromkeys(self.hosts))}: {reason(error)}{said}; look whether "
                    "ssh with cluster.connect_options gets there and cluster.remote_python has daskgmm"
                ) from None

    def _connect_options(self) -> dict[str, Any]:
        """Return asyncssh's options; raise ConfigurationError where they are none, or it is not installed."""
        try:
            import asyncssh
        except ImportError:
            raise ConfigurationError("kind: ssh needs the package asyncssh: pip install 'daskgmm[ssh]'") from None
        defaults = {"connect_timeout": connect_timeout(self.start_timeout), "keepalive_interval": _KEEPALIVE}
        options = {**defaults, **self.connect_options}
        try:
            asyncssh.SSHClientConnectionOptions(**options)
        except (OSError, TypeError, ValueError) as error:  # its KeyImportError is a ValueError
            raise ConfigurationError(f"cluster.connect_options {self.connect_options}: {error}") from None
        return options

    def _scheduler_options(self) -> dict[str, Any]:
        own = own_scheduler(self.stall_timeout)
        own["preload"] = [*own["preload"], abandonment_text()]
        return {"port": 0, "dashboard_address": self.dashboard_address, **self._interface(), **own}

    def _worker_options(self) -> dict[str, Any]:
        n_ahead = n_reading_ahead(dask.config.get(READ_AHEAD, "auto"), self.threads_per_worker)
        return {
            "n_workers": self.workers_per_host,
            "nthreads": self.threads_per_worker + n_ahead,
            "memory_limit": self.memory_limit,
            "local_directory": self.local_directory,
            "config": {COMPUTE_THREADS: self.threads_per_worker},
            "death_timeout": self.start_timeout,  # one that the scheduler never met would go on when it is gone
            **self._interface(),
        }

    def _interface(self) -> dict[str, str]:
        return {"interface": self.interface} if self.interface else {}


@contextmanager
def _heard() -> Iterator[list[logging.LogRecord]]:
    """Give the lines that the hosts say while they start; SSHCluster logs them, and fails without them."""
    logger, handler = logging.getLogger("distributed.deploy.ssh"), BufferingHandler(_MANY_LINES)
    with _LISTENING_LOCK:  # the logger is that of the process
        before = logger.level, logger.propagate
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
        try:
            yield handler.buffer
        finally:
            logger.removeHandler(handler)
            logger.setLevel(before[0])
            logger.propagate = before[1]
