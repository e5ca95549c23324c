"""kind: local - a dask cluster of processes on this machine, with a dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster

from .connection import Connection


@dataclass(frozen=True)
class Local:
    """A LocalCluster."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

    kind: Literal["local"] = "local"
    n_workers: Annotated[int, Ge(1)] | None = None
    """Number of worker processes; one for each core if left out."""
    threads_per_worker: Annotated[int, Ge(1)] = 1
    """Threads of each worker; they share its memory."""
    memory_limit: str = "auto"
    """Memory of each worker, such as 4GiB; auto divides this machine's."""
    dashboard_address: str | None = "127.0.0.1:0"
    """Where the dashboard listens; port 0 takes a free one; null for none."""
    local_directory: str | None = None
    """Where workers spill to disk."""

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Start the cluster, make it the active scheduler, and close both at the end."""
        n_workers = self.n_workers or max(CPU_COUNT // self.threads_per_worker, 1)
        with (
            LocalCluster(
                n_workers=n_workers,
                threads_per_worker=self.threads_per_worker,
                processes=True,
                memory_limit=self.memory_limit,
                host="127.0.0.1",
                dashboard_address=self.dashboard_address,
                local_directory=self.local_directory,
            ) as cluster,
            Client(cluster),
        ):
            description = f"{n_workers} local workers with {self.threads_per_worker} threads each"
            yield Connection(description, cluster.dashboard_link if self.dashboard_address else None)
