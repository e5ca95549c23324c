"""What all kinds share whose workers a batch system starts."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import dask
import psutil
from annotated_types import Ge
from pydantic import Field

from ...concurrency import COMPUTE_THREADS, READ_AHEAD, n_reading_ahead
from ...errors import ConfigurationError
from ...options import STRICT
from ..connection import STALL_TIMEOUT, Connection, StallTimeout, StartTimeout, own_scheduler
from ..memory_size import Memory, check_memory


@dataclass(frozen=True, kw_only=True)
class BatchWorkers:
    """Workers on the nodes of a batch system: fields that its kinds inherit.

    The descriptions stand in the types, because pydantic reads the docstrings of a class's own fields only.
    """

    __pydantic_config__: ClassVar = STRICT

    kind: str
    cores: Annotated[int, Ge(1), Field(description="Cores of each job or task.")]
    memory: Annotated[Memory, Field(description="Memory of each job or task, such as 16GiB; its processes share it.")]
    processes: Annotated[
        int,
        Ge(1),
        Field(description="Worker processes of each job or task; they divide its cores, whose threads share rows."),
    ] = 1
    interface: Annotated[
        str | None,
        Field(
            description="Network that scheduler and workers talk over, such as ib0; the default route's if left out."
        ),
    ] = None
    local_directory: Annotated[
        str | None, Field(description="Where workers spill to disk: a fast disk of the node, such as $TMPDIR.")
    ] = None
    python: Annotated[
        str | None, Field(description="Python that runs the workers, as nodes see it; this one's path if left out.")
    ] = None
    worker_extra_args: Annotated[
        tuple[str, ...], Field(description="Further arguments of dask worker, such as [--lifetime, 55m].")
    ] = ()
    dashboard_address: Annotated[
        str | None,
        Field(description="Where the scheduler's dashboard listens; port 0 takes a free one; null for none."),
    ] = ":0"
    start_timeout: Annotated[
        StartTimeout, Field(description="Seconds to wait for the first worker, and later for one while there is none.")
    ] = 600.0
    stall_timeout: Annotated[
        StallTimeout,
        Field(
            description="Seconds without a completed task after which silent workers are restarted; after as many "
            "again the job stops."
        ),
    ] = STALL_TIMEOUT

    @property
    def compute_threads(self) -> int:
        """Threads of each process that compute."""
        return max(self.cores // self.processes, 1)

    @property
    def threads(self) -> int:
        """Threads of each process: those that compute, and others that read ahead."""
        return self.compute_threads + n_reading_ahead(dask.config.get(READ_AHEAD, "auto"), self.compute_threads)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which dask's configuration reaches the workers."""
        name = COMPUTE_THREADS.replace(".", "__").replace("-", "_").upper()
        return {f"DASK_{name}": str(self.compute_threads)}

    def scheduler_options(self, interface: str | None) -> dict[str, object]:
        """Return the options of the scheduler in this process; it serves HTTP even without a dashboard."""
        address = self.dashboard_address or "127.0.0.1:0"
        shown = {"dashboard": self.dashboard_address is not None, "dashboard_address": address}
        return {"interface": interface, **shown, **own_scheduler(self.stall_timeout, self.start_timeout)}

    def drop_dashboard(self, connection: Connection) -> Connection:
        """Return the connection, without a dashboard where none is wanted."""
        return connection if self.dashboard_address else replace(connection, dashboard=None)

    def __post_init__(self) -> None:
        """Raise ConfigurationError for sizes in which no worker can start."""
        if self.processes > self.cores:
            raise ConfigurationError(
                f"cluster.processes {self.processes} is more than cluster.cores {self.cores}: each process takes "
                "one core or more"
            )
        check_memory(self.memory, "cluster.memory", self.processes)

    def check_network(self, interface: str | None) -> None:
        """Raise ConfigurationError for a network that is not there."""
        networks = sorted(psutil.net_if_addrs())
        if interface is not None and interface not in networks:
            raise ConfigurationError(
                f"cluster.interface {interface!r} is not a network of this machine, which has {', '.join(networks)}"
            )


def check_command(command: str, kind: str) -> None:
    """Raise ConfigurationError where a command of the batch system is missing."""
    if shutil.which(command) is None:
        raise ConfigurationError(
            f"cluster.kind {kind!r} needs the command {command}, which is not on this machine's PATH: run on a node "
            "that submits jobs"
        )


def slurm_directive(option: str, value: object) -> str:
    """Return an option of sbatch as a job script holds it: sbatch splits its lines, and takes quotes, but as no shell.

    In double quotes it takes a backslash for an escape before another one alone.
    """
    text = str(value)
    if re.fullmatch(r"[\w@%+=:,./-]*", text):
        return option + text
    escaped = text.replace('"', '\\"')
    return f'{option}"{escaped}"'


def slurm_pattern(directory: str | None, name: str) -> str:
    """Return the name of a log, of a pattern like daskgmm-%j.log; raise ConfigurationError for what SLURM cannot take.

    SLURM takes % in the directory for a pattern too, and with a backslash none at all.
    """
    if directory is None:
        return name
    if "\\" in directory or not directory.isprintable():
        raise ConfigurationError(
            f"cluster.log_directory {directory!r} has a backslash or a control character, which SLURM does not take: "
            "use another directory"
        )
    return f"{directory.replace('%', '%%')}/{name}"
