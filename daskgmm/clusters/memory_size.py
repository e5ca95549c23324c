"""Sizes of memory, and the least that a worker needs."""

from __future__ import annotations

from typing import Annotated

from dask.utils import format_bytes

from ..errors import ConfigurationError
from ..options import SizeInBytes, parse_size

_MIN_MEMORY = 400 * 2**20  # what a worker takes for itself, before any rows


Memory = Annotated[int | str, SizeInBytes(as_written=True)]
MemoryLimit = Annotated[int | str, SizeInBytes(auto=True, as_written=True)]


def check_memory(size: int | str, key: str = "cluster.memory", n_processes: int = 1) -> None:
    """Raise ConfigurationError for what is no size, or one in which no worker can start; auto is dask's business.

    As many processes as this divide the size.
    """
    if size == "auto":
        return
    try:
        n = parse_size(size)
    except ValueError as error:
        raise ConfigurationError(f"{key} {error}") from None
    least = n_processes * _MIN_MEMORY
    if n < least:
        takers = "a worker takes for itself" if n_processes == 1 else f"{n_processes} workers take for themselves"
        raise ConfigurationError(f"{key} {size!r} is less than the {format_bytes(least)} that {takers}: raise it")
