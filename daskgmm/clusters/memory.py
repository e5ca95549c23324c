"""The memory that a worker needs before it holds any rows."""

from __future__ import annotations

from dask.utils import format_bytes, parse_bytes

from ..errors import ConfigurationError

_LEAST = 400 * 2**20  # what a worker takes for itself


def check_memory(name: str, size: str, n_processes: int = 1) -> None:
    """Raise ConfigurationError for a size that is none, or in which no worker can start; processes divide it."""
    try:
        n_bytes = parse_bytes(size)
    except ValueError:
        raise ConfigurationError(f"{name} {size!r} is not a size, such as 4GiB") from None
    least = n_processes * _LEAST
    if n_bytes < least:
        takers = "a worker takes for itself" if n_processes == 1 else f"{n_processes} workers take for themselves"
        raise ConfigurationError(f"{name} {size!r} is less than the {format_bytes(least)} that {takers}: raise it")
