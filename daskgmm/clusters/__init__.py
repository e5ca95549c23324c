"""Where a job computes: one small class for each kind; its fields are its configuration."""

from .kubernetes import Kubernetes
from .local import Local
from .threads import Threads

ClusterOptions = Threads | Local | Kubernetes

__all__ = ["ClusterOptions", "Kubernetes", "Local", "Threads"]
