""".npz files: arrays by name, each decompressed whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .base import Source
from .container import source_in
from .guarded import Guard
from .source_format import OF_CONTAINERS, SourceFormat
from .whole import ArrayFile

if TYPE_CHECKING:
    from .options import DataOptions


def open_npz(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the source in the only array of an .npz, or in those that the options name."""
    return source_in(ArrayFile(options.path, guard, _names, _array), options, weighted)


def _names(path: str) -> list[str]:
    with _open_archive(path) as file:
        return sorted(file.files)


def _array(path: str, name: str) -> NDArray[Any]:
    with _open_archive(path) as file:
        values: NDArray[Any] = file[name]
        return values


@contextmanager
def _open_archive(path: str) -> Iterator[Any]:
    with open(path, "rb") as stream:  # numpy would not close it where it is damaged
        try:
            yield np.load(stream, allow_pickle=False)
        except (ValueError, EOFError, BadZipFile) as error:
            raise DataError(f"{path} cannot be read as .npz: {error}: convert it to .npy or zarr") from None


NPZ = SourceFormat("npz", open_npz, (".npz",), (b"PK\3\4",), OF_CONTAINERS)
