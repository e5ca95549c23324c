"""Where a job computes: one small class for each kind; its fields are its configuration."""

from .allocation import Allocation
from .jobqueue import HTCondor, Lsf, Pbs, Sge, Slurm
from .local import Local
from .threads import Threads

ClusterOptions = Threads | Local | Slurm | Pbs | Lsf | Sge | HTCondor | Allocation

__all__ = ["Allocation", "ClusterOptions", "HTCondor", "Local", "Lsf", "Pbs", "Sge", "Slurm", "Threads"]
