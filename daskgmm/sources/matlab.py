"""MATLAB files: version 5 through SciPy, whole; version 7.3 is HDF5 with its axes the other way round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.io
from numpy.typing import NDArray

from ..errors import DataError
from .base import Coordinate, Source
from .composite import Transposed
from .container import Member, source_in
from .guarded import Guard
from .hdf5 import HDF5File, attribute_of
from .source_format import OF_CONTAINERS, SourceFormat
from .whole import ArrayFile

if TYPE_CHECKING:
    from .options import DataOptions

_NUMBERS = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}


def open_matlab(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the source in the only matrix of numbers of a file, or in those that the options name."""
    with open(options.path, "rb") as file:
        is_hdf5 = file.read(10) == b"MATLAB 7.3"
    if is_hdf5:
        return source_in(MatlabFile(HDF5File(options.path, guard)), options, weighted)
    return source_in(ArrayFile(options.path, guard, _names, _array), options, weighted)


def _names(path: str) -> list[str]:
    try:
        return sorted(name for name, _, kind in scipy.io.whosmat(path) if kind in _NUMBERS)
    except (ValueError, TypeError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        raise DataError(f"{path} cannot be read as MATLAB's: {error}: convert it to .npy or zarr") from None


def _array(path: str, name: str) -> NDArray[Any]:
    return np.asarray(scipy.io.loadmat(path, variable_names=[name])[name])


@dataclass(frozen=True)
class MatlabFile:
    """The matrices of numbers of a file of version 7.3."""

    file: HDF5File
    nouns: ClassVar = ("matrix", "file")

    @property
    def path(self) -> str:
        return self.file.path

    def names(self) -> list[str]:
        numbers = (one for one in self.file.names() if attribute_of(self.path, one, "MATLAB_class") in _NUMBERS)
        return [one for one in numbers if not attribute_of(self.path, one, "MATLAB_empty")]  # its data are its size

    def default(self, besides: set[str | None], feature_axis: int | str | None) -> dict[str, Any]:
        """Return the only matrix."""
        rows = [name for name in self.names() if name not in besides]
        return {"array": rows[0]} if len(rows) == 1 else {}

    def member(self, name: str) -> Member | None:
        member = self.file.member(name) if name in self.names() else None
        if member is None:
            return None
        stored = member.stored_chunks and member.stored_chunks[::-1]
        return replace(member, array=Transposed(member.array), stored_chunks=stored)

    def coordinate(self, name: str, beside: str) -> Coordinate | None:
        return None  # axes of matrices have no names


MATLAB = SourceFormat("matlab", open_matlab, (".mat",), (b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"), OF_CONTAINERS)
