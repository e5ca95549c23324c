"""Where a job computes: one small class for each kind; its fields are its configuration."""

from .local import Local
from .threads import Threads

ClusterOptions = Threads | Local

__all__ = ["ClusterOptions", "Local", "Threads"]
