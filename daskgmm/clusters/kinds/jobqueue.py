"""kind: slurm, pbs, lsf, sge, htcondor - workers are jobs of a batch system, submitted by dask-jobqueue.

The scheduler runs in this process, on a login node or in a small job of its own. A job that is cancelled or reaches its
wall time is replaced by another, for as long as the fit lasts.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge
from pydantic import BeforeValidator, Field

from ...errors import ConfigurationError
from ...options import STRICT, TextPattern
from ...text import describe_workers, pluralize
from ..connection import Connection, await_workers, client_of, hold_cluster
from ..dask_internals import job_class, record_refusals
from ..memory_size import Memory
from .batch import BatchWorkers, check_command, slurm_directive, slurm_pattern
from .job_replacement import Replacing

_WALL_TIME = r"^(([0-9]+-)?[0-9]+(:[0-9]{1,2}){0,2}(/\S+)?|UNLIMITED|INFINITE)$"


def _check_wall_time(value: object) -> object:
    """Return the value; raise ValueError for one that no batch system takes for a time."""
    if not isinstance(value, str) or not re.match(_WALL_TIME, value):
        raise ValueError(f"{value!r} is not a wall time: write it as a text such as 01:30:00 or 2-12:00:00")
    return value


WallTime = Annotated[str, BeforeValidator(_check_wall_time), TextPattern(_WALL_TIME)]


@dataclass(frozen=True, kw_only=True)
class JobQueue(BatchWorkers):
    """Workers that are jobs: the fields of all batch systems."""

    cluster_class: ClassVar[str]  # of dask-jobqueue
    log_options: ClassVar[Mapping[str, str]] = {}  # ends of the logs' names by option, where these take any name
    of_submission: ClassVar[frozenset[str]] = frozenset()  # fields that daskgmm submit alone looks at

    jobs: Annotated[int, Ge(1), Field(description="Jobs that are kept running; one that is cancelled is replaced.")] = 1
    maximum_jobs: Annotated[
        int | None, Field(description="Jobs to grow to while there is much to do; as many as jobs if left out.")
    ] = None
    job_script_prologue: Annotated[
        tuple[str, ...], Field(description="Shell commands before the worker starts, such as module load python.")
    ] = ()
    job_name: Annotated[str, Field(description="Name of the jobs in the queue.")] = "daskgmm"
    log_directory: Annotated[
        str | None, Field(description="Where jobs write what they print; the batch system's default if left out.")
    ] = None
    scheduler_interface: Annotated[
        str | None, Field(description="Network of this machine, where it has another name than interface has on nodes.")
    ] = None

    @property
    def n_processes(self) -> int:
        return self.jobs * self.processes

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Submit the jobs, keep as many running, and cancel them at the end."""
        package = _dask_jobqueue(self.kind)
        self.check_network(self._scheduler_network)
        description = (
            f"{pluralize(self.jobs, f'{self.kind} job')} of "
            f"{describe_workers(self.processes, 'worker', self.compute_threads)}"
        )
        leftovers: list[str] = []
        with (
            hold_cluster(self._submit(package), leftovers) as cluster,
            await_workers(client_of(cluster), self, description) as connection,
        ):
            yield replace(self.drop_dashboard(connection), leftovers=leftovers)

    def job_script(self, scheduler: str = "tcp://SCHEDULER:8786") -> str:
        """Return the script of a worker's job, for the scheduler's address."""
        job = job_class(getattr(_dask_jobqueue(self.kind), self.cluster_class))
        text: str = job(scheduler, name="daskgmm", interface=self.interface, **self._job_options()).job_script()
        return text

    @property
    def _scheduler_network(self) -> str | None:
        return self.scheduler_interface or self.interface

    def __post_init__(self) -> None:
        """Raise ConfigurationError for sizes in which no worker can start, or fewer jobs at most than at first."""
        super().__post_init__()
        if self.maximum_jobs is not None and self.maximum_jobs < self.jobs:
            raise ConfigurationError(
                f"cluster.maximum_jobs {self.maximum_jobs} is less than cluster.jobs {self.jobs}: "
                "raise it, or leave it out"
            )

    @contextmanager
    def _submit(self, package: ModuleType) -> Iterator[Any]:
        """Hold the cluster of dask-jobqueue once the queue has taken its first jobs."""
        cluster_class = getattr(package, self.cluster_class)
        check_command(job_class(cluster_class).submit_command, self.kind)
        refusals: list[str] = []
        with cluster_class(
            n_workers=self.n_processes,
            job_cls=record_refusals(job_class(cluster_class), refusals),
            interface=self.interface,
            scheduler_options=self.scheduler_options(self._scheduler_network),
            silence_logs="critical",
            **self._job_options(),
        ) as cluster:
            if refusals:
                raise ConfigurationError(f"{self.kind} refused a job: {refusals[0]}")
            most = self.maximum_jobs or self.jobs
            cluster.adapt(Adaptive=Replacing, minimum_jobs=self.jobs, maximum_jobs=most)
            yield cluster

    def _job_options(self) -> dict[str, Any]:
        exports = [f"export {name}={value}" for name, value in self.environment.items()]
        return {
            "cores": self.cores,
            "memory": self.memory,
            "processes": self.processes,
            "local_directory": self.local_directory,
            "python": self.python or sys.executable,
            # the last --nthreads counts: dask-jobqueue's own is the cores, without threads that read ahead
            "worker_extra_args": ["--nthreads", str(self.threads), *self.worker_extra_args],
            "job_script_prologue": [*self.job_script_prologue, *exports],
            "job_name": self.job_name,
            **self._log_options(),
        }

    def _log_options(self) -> dict[str, Any]:
        """Return the fields that a batch system adds, and where logs go; raise ConfigurationError for a bad directory.

        dask-jobqueue puts its name into scripts as it is: one with a space, say, is put there here.
        """
        own, directory = self._own_options(), self.log_directory
        if directory is None or slurm_directive("", directory) == directory.replace("%", ""):
            return {**own, "log_directory": directory}
        if not self.log_options:
            raise ConfigurationError(
                f"cluster.log_directory {directory!r} has a character that scripts of kind {self.kind} do not take: "
                "use letters, digits and / . _ - + = : , @ alone"
            )
        Path(directory).mkdir(parents=True, exist_ok=True)
        logs = {option: slurm_pattern(directory, f"{self.job_name}-{end}") for option, end in self.log_options.items()}
        directives = [slurm_directive(f"{option} ", value) for option, value in logs.items()]
        return {**own, "log_directory": None, "job_extra_directives": [*directives, *own["job_extra_directives"]]}

    def _own_options(self) -> dict[str, Any]:
        """Return the fields that a batch system adds: they have dask-jobqueue's names."""
        left_out = {one.name for one in fields(JobQueue)} | self.of_submission
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in left_out}


@dataclass(frozen=True, kw_only=True)
class QueuedJobs(JobQueue):
    """Jobs of a batch system that has queues and wall times."""

    queue: Annotated[str | None, Field(description="Queue, or partition; the default one if left out.")] = None
    walltime: Annotated[WallTime, Field(description="Time after which the batch system ends a job.")] = "01:00:00"
    job_extra_directives: Annotated[
        tuple[str, ...],
        Field(description="Further options of sbatch, qsub or bsub, such as --constraint=haswell or -pe smp 4."),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class Slurm(QueuedJobs):
    """Jobs of SLURM."""

    __pydantic_config__: ClassVar = STRICT
    cluster_class: ClassVar[str] = "SLURMCluster"
    log_options: ClassVar[Mapping[str, str]] = {"-e": "%J.err", "-o": "%J.out"}
    of_submission: ClassVar[frozenset[str]] = frozenset({"notice_seconds", "maximum_requeues"})

    kind: Literal["slurm"] = "slurm"
    account: str | None = None
    """Account that is charged."""
    notice_seconds: Annotated[int, Ge(1)] = 120
    """Seconds before the wall time at which a job of daskgmm submit stops and is requeued."""
    maximum_requeues: Annotated[int, Ge(0)] = 10
    """How often a job of daskgmm submit is requeued at its wall time."""


@dataclass(frozen=True, kw_only=True)
class Pbs(QueuedJobs):
    """Jobs of PBS."""

    __pydantic_config__: ClassVar = STRICT
    cluster_class: ClassVar[str] = "PBSCluster"

    kind: Literal["pbs"] = "pbs"
    account: str | None = None
    """Account that is charged."""
    resource_spec: str | None = None
    """What is asked of -l; made from cores and memory if left out."""


@dataclass(frozen=True, kw_only=True)
class Lsf(QueuedJobs):
    """Jobs of LSF."""

    __pydantic_config__: ClassVar = STRICT
    cluster_class: ClassVar[str] = "LSFCluster"

    kind: Literal["lsf"] = "lsf"
    project: str | None = None
    """Project that is charged."""
    walltime: WallTime = "01:00"
    """Time after which LSF ends a job, hours:minutes."""
    lsf_units: str | None = None
    """Unit of memory, such as mb; that of lsf.conf if left out."""
    use_stdin: bool = True
    """Hand scripts to bsub on its standard input, not by name."""


@dataclass(frozen=True, kw_only=True)
class Sge(QueuedJobs):
    """Jobs of Grid Engine."""

    __pydantic_config__: ClassVar = STRICT
    cluster_class: ClassVar[str] = "SGECluster"

    kind: Literal["sge"] = "sge"
    project: str | None = None
    """Project that is charged."""
    resource_spec: str | None = None
    """What is asked of -l: the site's words for cores and memory, which Grid Engine does not fix."""


@dataclass(frozen=True, kw_only=True)
class HTCondor(JobQueue):
    """Jobs of HTCondor."""

    __pydantic_config__: ClassVar = STRICT
    cluster_class: ClassVar[str] = "HTCondorCluster"

    kind: Literal["htcondor"] = "htcondor"
    disk: Memory = "1GiB"
    """Disk of each job, such as 10GiB."""
    job_extra_directives: dict[str, str] = field(default_factory=dict)
    """Further attributes of the submit file."""
    submit_command_extra: tuple[str, ...] = ()
    """Further arguments of condor_submit."""


def _dask_jobqueue(kind: str) -> ModuleType:
    """Return the package, an optional backend; its import takes SIGINT to exit with 0, which is undone here."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        return import_module("dask_jobqueue")
    except ImportError:
        raise ConfigurationError(
            f"cluster.kind {kind!r} needs the package dask-jobqueue: pip install 'daskgmm[jobqueue]'"
        ) from None
    finally:
        signal.signal(signal.SIGINT, handler)
