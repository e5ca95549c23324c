"""SLURM on loopback, of one node with four processors: Debian's slurmctld and slurmd without systemd or munge."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue", "scontrol")
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}

_CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=100000,sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Return why SLURM cannot be started here, if so."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"{missing[0]} is missing: Debian's slurm-wlm has it"
    return None if os.geteuid() == 0 else "slurmd starts jobs as root only"


@dataclass(frozen=True)
class SlurmController:
    """A running SLURM, which the commands of this process and its children talk to."""

    folder: Path

    def jobs(self) -> dict[int, str]:
        """Return the states of the jobs that are waiting or running, by their number."""
        lines = _output("squeue", "--noheader", "--format=%A %T").splitlines()
        return {int(line.split()[0]): line.split()[1] for line in lines}

    def field(self, job: str, name: str) -> str:
        """Return a field of a job, such as JobState."""
        fields = _output("scontrol", "--oneliner", "show", "job", job).split()
        return dict(field.split("=", 1) for field in fields if "=" in field)[name]

    def cancel(self, job: int, *options: str) -> None:
        """Cancel or signal a job."""
        _output("scancel", *options, str(job))

    def wait_until_ended(self, job: str, seconds: float = 120) -> str:
        """Return the state in which a job ended."""
        wait_for(lambda: self.field(job, "JobState") in ENDED, seconds)
        return self.field(job, "JobState")


def wait_for(condition, seconds: float = 60) -> None:
    """Return when the condition holds; fail if that takes longer than the bound."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.2)


@contextmanager
def slurm_on_loopback(folder: Path) -> Iterator[SlurmController]:
    """Start both daemons, and stop them at the end with every job that is left."""
    host = socket.gethostname().split(".")[0]
    ports = {"controller_port": _free_port(), "node_port": _free_port()}
    user = Path(folder).owner()
    (folder / "slurm.conf").write_text(_CONF.format(host=host, folder=folder, user=user, **ports))
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        with ExitStack() as daemons:
            daemons.enter_context(_daemon("slurmctld", "-D", "-c"))
            daemons.enter_context(_daemon("slurmd", "-D", "-N", host))
            wait_for(lambda: _output("sinfo", "--noheader", "--format=%t", check=False).strip() == "idle")
            controller = SlurmController(folder)
            daemons.callback(_cancel_all, controller)
            yield controller
    finally:
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def _cancel_all(controller: SlurmController) -> None:
    for job in controller.jobs():
        controller.cancel(job)
    wait_for(lambda: not controller.jobs())


@contextmanager
def _daemon(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _output(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
