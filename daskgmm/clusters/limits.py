"""The memory that a worker may take, as the configuration gives it."""

from __future__ import annotations

from dask.utils import format_bytes, parse_bytes

from ..errors import ConfigurationError

_LEAST_MEMORY = 400 * 2**20  # what a worker takes for itself, before any rows


def check_memory(memory_limit: str) -> None:
    """Raise ConfigurationError for a limit that is no size, or one in which no worker can start."""
    if memory_limit == "auto":
        return
    try:
        size = parse_bytes(memory_limit)
    except ValueError:
        raise ConfigurationError(f"cluster.memory_limit {memory_limit!r} is not a size, such as 4GiB") from None
    if size < _LEAST_MEMORY:
        raise ConfigurationError(
            f"cluster.memory_limit {memory_limit!r} is less than the {format_bytes(_LEAST_MEMORY)} that a worker takes "
            "for itself: raise it"
        )
