"""Kinds of cluster: a small class for each, whose fields are its configuration."""

from .address import Address
from .allocation import Allocation
from .gateway import Gateway
from .jobqueue import HTCondor, Lsf, Pbs, Sge, Slurm
from .kubernetes import Kubernetes
from .local import Local
from .ssh import Ssh
from .threads import Threads

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
