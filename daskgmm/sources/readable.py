"""Arrays that are read where they are sliced: picklable, with `shape`, `dtype` and `[slices]`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from os import fstat
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from ..errors import DataError
from ..options import STRICT

Slices = tuple[slice, ...]


class Readable(Protocol):
    """What a source hands on: an array that reads what is sliced from it."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def ndim(self) -> int: ...

    def __getitem__(self, slices: Slices, /) -> Any: ...


class OfShape:
    """A readable that keeps its shape; the number of its axes follows."""

    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        return len(self.shape)


class Wrapped:
    """A readable that changes how another one is read, and nothing of its shape and type."""

    array: Readable

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.array.dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)


@dataclass(frozen=True)
class NpyReader(OfShape):
    """A .npy file, of which parts are copied.

    A map of the file would change with it, and end the process where the file has become shorter.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int  # bytes of the header, which is read once: Python 3.11 fails where threads parse headers at a time
    order: Literal["C", "F"]

    @classmethod
    def open(cls, path: Path) -> NpyReader:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read as .npy: {error}") from None
        if not isinstance(array, np.memmap):
            names = ", ".join(array.files)
            array.close()
            raise DataError(f"{path} is an .npz of the arrays {names}: store the one to be read with numpy.save")
        order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
        return cls(str(path.absolute()), array.shape, array.dtype, array.offset, order)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        every = [slice(None)] * (len(self.shape) - len(slices))
        taken = [range(size)[one] for size, one in zip(self.shape, [*slices, *every], strict=True)]  # indices
        bounds = [(min(one), max(one) + 1) if one else (0, 0) for one in taken]
        in_file = 1 if self.order == "C" else -1  # of the axes: those of Fortran order are C order backwards
        part = np.empty([stop - start for start, stop in bounds[::in_file]], self.dtype)
        if part.size:
            self._fill(part, [start for start, _ in bounds[::in_file]], self.shape[::in_file])
        whole = part if self.order == "C" else part.transpose()
        return np.ascontiguousarray(whole[tuple(slice(None, None, one.step) for one in taken)])

    def _fill(self, part: NDArray[Any], starts: list[int], shape: tuple[int, ...]) -> None:
        """Read a part of an array of a shape in C order, one contiguous run after the other."""
        axis = max((one for one, size in enumerate(part.shape) if size < shape[one]), default=0)
        strides = [prod(shape[one + 1 :]) for one in range(len(shape))]
        first = sum(start * stride for start, stride in zip(starts, strides, strict=True))
        n_runs = prod(part.shape[:axis])
        with Path(self.path).open("rb") as file:
            is_whole = fstat(file.fileno()).st_size >= self.offset + prod(shape) * self.dtype.itemsize
            for run, index in zip(part.reshape(n_runs, -1), np.ndindex(part.shape[:axis]), strict=True):
                at = first + sum(i * stride for i, stride in zip(index, strides, strict=False))
                file.seek(self.offset + at * self.dtype.itemsize)
                if not is_whole or file.readinto(run.view(np.uint8).data) < run.nbytes:
                    raise EOFError("the file is shorter than when it was opened: put it back, or start over")


@dataclass(frozen=True)
class SyntheticOptions:
    """A mixture of Gaussians whose rows are made where they are read; used by `path: sample:synthetic`."""

    __pydantic_config__: ClassVar = STRICT

    n_samples: Annotated[int, Ge(1)] = 1_000_000
    """Rows."""
    n_features: Annotated[int, Ge(1)] = 8
    """Columns."""
    n_components: Annotated[int, Ge(1)] = 8
    """Gaussians in the mixture."""
    separation: Annotated[float, Ge(0)] = 3.0
    """Standard deviation of the means along each feature, in units of a component's own."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the mixture and of the rows."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the rows."""


_PAGE = 65_536  # rows with a generator of their own: a row does not depend on how the array is sliced


@dataclass(frozen=True)
class SyntheticReader:
    """Rows of a random mixture, made when they are read."""

    options: SyntheticOptions

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.options.n_samples, self.options.n_features)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.options.dtype)

    @property
    def ndim(self) -> int:
        return 2

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        start, stop, _ = slices[0].indices(self.options.n_samples)
        rows = np.empty((stop - start, self.options.n_features), self.dtype)
        for page in range(start // _PAGE, -(-stop // _PAGE)):
            first = page * _PAGE
            a, b = max(start, first), min(stop, first + _PAGE)
            rows[a - start : b - start] = self._page(page)[a - first : b - first]
        return rows[(slice(None), *slices[1:])]

    def _page(self, page: int) -> NDArray[Any]:
        means, factors, weights = _parameters(self.options)
        rng = np.random.default_rng([self.options.seed, 1, page])
        labels = rng.choice(len(weights), size=_PAGE, p=weights)
        noise = rng.standard_normal((_PAGE, self.options.n_features), dtype=np.float32)
        rows = np.empty_like(noise)
        for component in range(len(weights)):
            own = labels == component
            rows[own] = noise[own] @ factors[component].T + means[component]
        return rows.astype(self.dtype, copy=False)


@lru_cache(maxsize=4)
def _parameters(options: SyntheticOptions) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return means (k, d), lower factors of the covariances (k, d, d), float32, and weights (k,)."""
    k, d = options.n_components, options.n_features
    rng = np.random.default_rng([options.seed, 0])
    means = options.separation * rng.standard_normal((k, d))
    factors = np.tril(rng.standard_normal((k, d, d)) * 0.5 / np.sqrt(d), k=-1)
    factors += np.eye(d) * rng.uniform(0.5, 1.5, (k, 1, d))
    weights = rng.dirichlet(np.full(k, 5.0))
    return means.astype(np.float32), factors.astype(np.float32), weights
