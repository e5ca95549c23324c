"""kind: allocation - the SLURM allocation that this process runs in: srun starts the workers on its nodes.

`daskgmm submit` writes job scripts that run in this way; so can one's own, or a shell from salloc.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from distributed import Scheduler, SpecCluster

from ...errors import ConfigurationError
from ...options import STRICT, parse_size
from ...text import describe_workers, pluralize
from ..connection import Connection, await_workers, client_of, hold_cluster
from .batch import BatchWorkers, check_command

_CLOSE_TIMEOUT = 30.0  # seconds that workers have to end once they are asked to


@dataclass(frozen=True, kw_only=True)
class Allocation(BatchWorkers):
    """Tasks of a SLURM allocation, beside the client and the scheduler on its first node."""

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["allocation"] = "allocation"
    tasks: Annotated[int, Ge(1)] = 1
    """Tasks that srun starts, of cores and memory each."""

    @property
    def n_processes(self) -> int:
        return self.tasks * self.processes

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Start the scheduler here and workers in all tasks; close both at the end."""
        _check_inside()
        check_command("srun", self.kind)
        self.check_network(self.interface)
        description = (
            f"{pluralize(self.tasks, 'task')} of {describe_workers(self.processes, 'worker', self.compute_threads)}"
        )
        scheduler = {"cls": Scheduler, "options": self.scheduler_options(self.interface)}
        leftovers: list[str] = []
        with (
            hold_cluster(SpecCluster(scheduler=scheduler, silence_logs="critical"), leftovers) as cluster,
            _run_beside(self.srun_command(cluster.scheduler_address), self.environment),
            await_workers(client_of(cluster), self, description) as connection,
        ):
            yield replace(self.drop_dashboard(connection), leftovers=leftovers)

    def srun_command(self, scheduler: str) -> list[str]:
        """Return the command that starts the workers, of which one that ends leaves the others alone."""
        per_process = parse_size(self.memory) // self.processes
        command = [
            "srun",
            f"--ntasks={self.tasks}",
            f"--cpus-per-task={self.cores}",
            "--kill-on-bad-exit=0",
            "--wait=0",
        ]
        command += [self.python or sys.executable, "-m", "dask", "worker", scheduler, "--nworkers", str(self.processes)]
        command += ["--nthreads", str(self.threads), "--memory-limit", str(per_process), "--death-timeout", "60"]
        for option, value in (("--interface", self.interface), ("--local-directory", self.local_directory)):
            command += [option, value] if value is not None else []
        return [*command, *self.worker_extra_args]


def _check_inside() -> None:
    if "SLURM_JOB_ID" not in os.environ:
        raise ConfigurationError(
            "cluster.kind 'allocation' runs inside a SLURM job, and this process is in none (SLURM_JOB_ID is not set): "
            "use daskgmm submit, or kind slurm"
        )


@contextmanager
def _run_beside(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Run a command in parallel to this process until the end of the context."""
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL)  # noqa: S603
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_CLOSE_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
