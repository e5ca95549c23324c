"""Guards of directories: each is asked before every write below its directory, by all who write there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol


class Guard(Protocol):
    """What knows whether a directory may still be written to; it can be sent to workers."""

    def check(self) -> None:
        """Raise unless the directory may be written to."""


_guards: dict[str, Guard] = {}  # of this process, by directory: writers in all of its threads meet them


@contextmanager
def guard_writes(directory: Path, guard: Guard) -> Iterator[None]:
    """Have the guard asked before each write of this process below the directory."""
    key = directory.absolute().as_posix()
    _guards[key] = guard
    try:
        yield
    finally:
        del _guards[key]


def guard_of(path: Path) -> Guard | None:
    """Return the guard of the directory that the path is, or lies in, if there is one."""
    if not _guards:
        return None
    place = path.absolute().as_posix() + "/"
    return next((guard for directory, guard in list(_guards.items()) if place.startswith(f"{directory}/")), None)


def check_guard(path: Path) -> None:
    """Raise what the guard of the path raises, if it has one and may not be written to."""
    if (guard := guard_of(path)) is not None:
        guard.check()
