"""Arrays of files that can only be decoded whole, once in each process that reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .base import Coordinate
from .container import Member
from .guarded import Guard, Reliable
from .readable import OfShape, Slices

Decode = Callable[[str, str], NDArray[Any]]  # of a path and the name of an array in the file
Stamp = tuple[int, int]  # time of change and size


def stamp_of(path: str | Path) -> Stamp:
    """Return the identity of a file, by which another of the same name is told apart."""
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


def check_stamp(path: str, stamp: Stamp) -> None:
    """Raise DataError for a file that has changed since it was opened."""
    if stamp_of(path) != stamp:
        raise DataError(f"{path} has changed since it was opened: start over")


@dataclass(frozen=True)
class Whole(OfShape):
    """An array that is decoded where it is first read, and kept there."""

    path: str
    name: str  # of the array in the file; empty where it holds one
    stamp: Stamp
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    decode: Decode

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        check_stamp(self.path, self.stamp)
        with _ONE_AT_A_TIME:  # or each thread would decode it
            values = _decode(self.decode, self.path, self.name, self.stamp)
        return values[slices].astype(self.dtype, copy=False)


_ONE_AT_A_TIME = Lock()


@lru_cache(maxsize=2)
def _decode(decode: Decode, path: str, name: str, stamp: Stamp) -> NDArray[Any]:
    return decode(path, name)


@dataclass(frozen=True)
class ArrayFile:
    """A file of arrays by name, each of which is decoded whole."""

    path: str
    guard: Guard
    list_names: Callable[[str], list[str]]
    decode: Decode
    nouns: ClassVar = ("array", "file")

    def names(self) -> list[str]:
        return self.list_names(self.path)

    def default(self, besides: set[str | None], feature_axis: int | str | None) -> dict[str, Any]:
        """Return the only array."""
        rows = [name for name in self.names() if name not in besides]
        return {"array": rows[0]} if len(rows) == 1 else {}

    def member(self, name: str) -> Member | None:
        if name not in self.names():
            return None
        path, values = str(Path(self.path).absolute()), self.decode(self.path, name)
        reader = Whole(path, name, stamp_of(path), values.shape, values.dtype, self.decode)
        notice = f"{self.path}: each process holds all of {name}: .npy or zarr is read in parts"
        return Member(Reliable(reader, f"{self.path}, {name}", self.guard), notices=(notice,))

    def coordinate(self, name: str, beside: str) -> Coordinate | None:
        return None  # such arrays have no names of axes
