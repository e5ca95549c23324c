"""Where a job computes: one small class for each kind; its fields are its configuration."""

from .address import Address
from .gateway import Gateway
from .kubernetes import Kubernetes
from .local import Local
from .ssh import Ssh
from .threads import Threads

ClusterOptions = Threads | Local | Address | Ssh | Gateway | Kubernetes

__all__ = ["Address", "ClusterOptions", "Gateway", "Kubernetes", "Local", "Ssh", "Threads"]
