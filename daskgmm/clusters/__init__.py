"""Where a job computes: one small class for each kind; its fields are its configuration."""

from .kinds.address import Address
from .kinds.allocation import Allocation
from .kinds.gateway import Gateway
from .kinds.jobqueue import HTCondor, Lsf, Pbs, Sge, Slurm
from .kinds.kubernetes import Kubernetes
from .kinds.local import Local
from .kinds.ssh import Ssh
from .kinds.threads import Threads

ClusterOptions = (
    Threads | Local | Address | Ssh | Gateway | Kubernetes | Slurm | Pbs | Lsf | Sge | HTCondor | Allocation
)

__all__ = [
    "Address",
    "Allocation",
    "ClusterOptions",
    "Gateway",
    "HTCondor",
    "Kubernetes",
    "Local",
    "Lsf",
    "Pbs",
    "Sge",
    "Slurm",
    "Ssh",
    "Threads",
]
