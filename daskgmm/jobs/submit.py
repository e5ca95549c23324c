"""Batch submission: one SLURM job that runs scheduler, workers and client in a single allocation.

The job runs `daskgmm fit` with kind allocation: the scheduler lives in the client's process, srun starts the workers.
dask-jobqueue's SLURMRunner would take two more tasks, as large as a worker's, for scheduler and client, and hands the
scheduler's address on in a file named by the job's number: a requeued job has the same number, and its workers would
find the address of the scheduler before it.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ..clusters.connection import Cluster
from ..clusters.kinds.allocation import Allocation
from ..clusters.kinds.batch import BatchWorkers, check_command, slurm_directive, slurm_pattern
from ..clusters.kinds.jobqueue import Slurm
from ..errors import ConfigurationError
from ..options import parse_size
from ..text import printable

_RESUME_OPTION = "--resume"  # how a requeued job treats what the job before it left

_SCRIPT = """\
#!/usr/bin/env bash
{directives}

# Written by daskgmm submit: scheduler, workers and client in one allocation, which start and end together.
# SLURM tells this shell {notice} s before the wall time; the fit writes a checkpoint and ends, the job is requeued.
told=no
trap 'told=yes; kill -USR1 "$client"' USR1
{prologue}
go_on=()
if [ "${{SLURM_RESTART_COUNT:-0}}" -gt 0 ]; then
  go_on=({go_on})
fi

{command} "${{go_on[@]}}" &
client=$!
wait "$client"
status=$?
if [ "$told" = yes ]; then
  wait "$client" # the first wait ended with the signal
  status=$?
  if [ "$status" -eq {stopped} ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {maximum_requeues} ]; then
    scontrol requeue "$SLURM_JOB_ID"
  fi
fi
exit "$status"
"""
_STOPPED_CODE = 5  # exit code of daskgmm after SIGUSR1


@dataclass(frozen=True)
class Submission:
    """A fit to be submitted: the arguments of its command line, of which the cluster is replaced."""

    config: str
    overrides: tuple[str, ...] = ()
    overwrite: bool = False
    resume: bool = False

    def words(self, cluster: Slurm) -> list[str]:
        """Return the command that the job runs."""
        kept = [override for override in self.overrides if override.partition("=")[0].split(".")[0] != "cluster"]
        command = [cluster.python or sys.executable, "-m", "daskgmm", "fit"]
        flags = {"--overwrite": self.overwrite, "--resume": self.resume}
        return [*command, self.config, *kept, _allocation(cluster), *(flag for flag, on in flags.items() if on)]


@dataclass(frozen=True)
class BatchJob:
    """A job as it is handed to SLURM."""

    script: str
    log_directory: str | None

    def submit(self, directory: str, after: Sequence[str] = ()) -> str:
        """Hand the script to sbatch; return the job's number, or raise ConfigurationError with what sbatch says.

        The job writes to the directory, and begins once the jobs `after` (numbers) have ended.
        """
        check_command("sbatch", "slurm")
        if self.log_directory is not None:
            Path(self.log_directory).mkdir(parents=True, exist_ok=True)  # without it SLURM ends a job without a word
        command = ["sbatch", "--parsable", f"--comment={_comment(directory)}"]
        if after:
            command.append(f"--dependency=afterany:{':'.join(after)}")
        done = _run(command, self.script)
        if done.returncode != 0:
            raise ConfigurationError(f"slurm refused the job: {done.stderr.strip()}")
        return done.stdout.strip().split(";")[0]  # number;cluster where there are several


def find_jobs_that_write(directory: str) -> list[str]:
    """Return the numbers of this user's jobs that were submitted to write to a directory and have not ended."""
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--me", "--noheader", "--format=%A %k"]
    told = _run(command)
    jobs = (line.strip().partition(" ") for line in told.stdout.splitlines())
    return [number for number, _, comment in jobs if comment == _comment(directory)]


def _run(command: Sequence[str], script: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM; text goes to it and comes from it as paths do, whatever the locale is."""
    encoding = sys.getfilesystemencoding()
    return subprocess.run(  # noqa: S603
        command, input=script, capture_output=True, check=False, encoding=encoding, errors="surrogateescape"
    )


def _comment(directory: str) -> str:
    """Return the comment by which a submitted job is recognised."""
    return f"daskgmm writes to {printable(directory)}"


def batch_job(cluster: Cluster, submission: Submission) -> BatchJob:
    """Return the job that fits in its own allocation; raise ConfigurationError for clusters that are not SLURM's."""
    if not isinstance(cluster, Slurm):
        raise ConfigurationError(
            f"cluster.kind {getattr(cluster, 'kind', cluster)!r} takes no submission: set cluster.kind to slurm"
        )
    prologue = "\n".join(["", *cluster.job_script_prologue, ""]) if cluster.job_script_prologue else ""
    script = _SCRIPT.format(
        directives="\n".join(f"#SBATCH {directive}" for directive in _directives(cluster)),
        notice=cluster.notice_seconds,
        prologue=prologue,
        go_on=_RESUME_OPTION,
        command=shlex.join(submission.words(cluster)),
        stopped=_STOPPED_CODE,
        maximum_requeues=cluster.maximum_requeues,
    )
    return BatchJob(script, cluster.log_directory)


def _directives(cluster: Slurm) -> list[str]:
    """Return the options of sbatch: a task for each of the jobs that kind slurm would submit."""
    mebibytes = -(-parse_size(cluster.memory) // (cluster.cores * 2**20))
    named = {"partition": cluster.queue, "account": cluster.account}
    options = {
        "job-name": cluster.job_name,
        **{name: value for name, value in named.items() if value is not None},
        "ntasks": cluster.jobs,
        "cpus-per-task": cluster.cores,
        "mem-per-cpu": f"{mebibytes}M",
        "time": cluster.walltime,
        "output": slurm_pattern(cluster.log_directory, f"{cluster.job_name}-%j.log"),
        "open-mode": "append",
    }
    return [
        *(slurm_directive(f"--{name}=", value) for name, value in options.items()),
        "--requeue",
        f"--signal=B:USR1@{cluster.notice_seconds}",
        *cluster.job_extra_directives,
    ]


def _allocation(cluster: Slurm) -> str:
    """Return the override that makes a fit run in the allocation of its job."""
    shared = {one.name: getattr(cluster, one.name) for one in fields(BatchWorkers) if one.name != "kind"}
    inside = Allocation(tasks=cluster.jobs, **shared)
    values = {one.name: getattr(inside, one.name) for one in fields(inside)}
    told = {
        one.name: values[one.name] for one in fields(inside) if one.name == "kind" or values[one.name] != one.default
    }
    return f"cluster={json.dumps(told)}"
