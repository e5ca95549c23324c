"""What a cluster gives while it is connected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import dask
from annotated_types import Gt
from distributed import Client

from ..errors import ClusterLostError

StartTimeout = Annotated[float, Gt(0)]
NO_WORKERS_TIMEOUT = "60s"  # tasks that wait for a worker longer than this fail, where the scheduler is ours


@dataclass(frozen=True)
class Connection:
    """A place to compute; the active dask scheduler is its own for as long as it lasts."""

    description: str
    dashboard: str | None = None
    client: Client | None = None  # None: the threads of this process


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
def connected(client: Client, start_timeout: float, description: str) -> Iterator[Connection]:
    """Give the connection once a worker is there; raise ClusterLostError, with the remedy, if none comes in time."""
    with client:
        try:
            client.wait_for_workers(1, timeout=start_timeout)
        except TimeoutError:
            raise ClusterLostError(
                f"{description}: no worker came within {start_timeout:g} s; look whether the scheduler's queue or the "
                "workers' logs say why, or raise cluster.start_timeout"
            ) from None
        yield Connection(description, client.dashboard_link, client)


def own_scheduler(no_workers_timeout: str = NO_WORKERS_TIMEOUT) -> Any:
    """Return a context in which a scheduler is started so that nothing waits for workers for ever."""
    return dask.config.set({"distributed.scheduler.no-workers-timeout": no_workers_timeout})
