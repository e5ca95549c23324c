"""Sizes of memory as people write them, and the least that a worker needs."""

from __future__ import annotations

from dask.utils import format_bytes, parse_bytes

from ..errors import ConfigurationError

_LEAST_MEMORY = 400 * 2**20  # what a worker takes for itself, before any rows


def n_bytes(size: str) -> int:
    """Return the bytes of a size such as 4GiB."""
    return int(parse_bytes(size))


def check_memory(size: str, key: str = "cluster.memory", n_processes: int = 1) -> None:
    """Raise ConfigurationError for what is no size, or one in which no worker can start; auto is dask's business.

    As many processes as this divide the size.
    """
    if size == "auto":
        return
    try:
        n = n_bytes(size)
    except ValueError:
        raise ConfigurationError(f"{key} {size!r} is not a size, such as 4GiB") from None
    least = n_processes * _LEAST_MEMORY
    if n < least:
        takers = "a worker takes for itself" if n_processes == 1 else f"{n_processes} workers take for themselves"
        raise ConfigurationError(f"{key} {size!r} is less than the {format_bytes(least)} that {takers}: raise it")
