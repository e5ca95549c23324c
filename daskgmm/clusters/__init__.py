"""Where a job computes: one small class for each kind; its fields are its configuration."""

from .address import Address
from .local import Local
from .threads import Threads

ClusterOptions = Threads | Local | Address

__all__ = ["Address", "ClusterOptions", "Local", "Threads"]
