"""Arrays made of others where they are read: stacked as features, one after the other, compared with 0."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.arrays.blocks import native_dtype
from ..errors import DataError
from .readable import Readable, Slices

T = TypeVar("T")


def common_dtype(dtypes: list[np.dtype[Any]]) -> np.dtype[Any]:
    """Return a type that holds the values of all: their own where it is one, else a float type where it is exact."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    return np.result_type(*(native_dtype(dtype) for dtype in dtypes))


@dataclass(frozen=True)
class Stacked:
    """Arrays (*grid) as features of one array (*grid, m)."""

    arrays: tuple[Readable, ...]

    @classmethod
    def of(cls, arrays: dict[str, Readable]) -> Stacked:
        """Stack the arrays in their order; raise DataError unless they have one shape and hold numbers."""
        if len({tuple(array.shape) for array in arrays.values()}) > 1:
            shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
            raise DataError(f"data.arrays must have one shape to be stacked, but they have: {shapes}")
        for name, array in arrays.items():
            if np.dtype(array.dtype).kind not in "iufb":
                raise DataError(f"data.arrays: {name} holds {array.dtype}, not numbers")
        return cls(tuple(arrays.values()))

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.arrays[0].shape, len(self.arrays))

    @property
    def dtype(self) -> np.dtype[Any]:
        return common_dtype([np.dtype(array.dtype) for array in self.arrays])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        grid, features = _complete(slices, self.ndim)[:-1], _complete(slices, self.ndim)[-1]
        wanted = self.arrays[features]
        out = np.empty((*_sizes(grid, self.shape), len(wanted)), self.dtype)
        for index, array in enumerate(wanted):
            out[..., index] = array[grid]
        return out


@dataclass(frozen=True)
class Concatenated:
    """Arrays one after the other along their first axis."""

    arrays: tuple[Readable, ...]

    @classmethod
    def of(cls, arrays: dict[str, Readable]) -> Readable:
        """Concatenate the arrays; raise DataError that names the one whose other axes or kind of type differ."""
        first_name, first = next(iter(arrays.items()))
        for name, array in arrays.items():
            if array.shape[1:] != first.shape[1:] or len(array.shape) != len(first.shape):
                shapes = f"{name} has the shape {array.shape}, but {first_name} has {first.shape}"
                raise DataError(f"{shapes}: only the first axis may differ")
            if np.dtype(array.dtype).kind != np.dtype(first.dtype).kind:
                types = f"{name} holds {array.dtype}, but {first_name} holds {first.dtype}"
                raise DataError(f"{types}: give one kind of numbers")
        return first if len(arrays) == 1 else cls(tuple(arrays.values()))

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(array.shape[0] for array in self.arrays), *self.arrays[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.result_type(*(array.dtype for array in self.arrays))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        first, *others = _complete(slices, self.ndim)
        start, stop, step = first.indices(self.shape[0])
        parts = []
        for end, array in zip(accumulate(array.shape[0] for array in self.arrays), self.arrays, strict=True):
            begin = end - array.shape[0]
            low = max(start, begin + (start - begin) % step)  # the first wanted row from `begin` on
            if low < min(stop, end):
                parts.append(array[(slice(low - begin, min(stop, end) - begin, step), *others)])
        if len(parts) == 1:
            part: NDArray[Any] = np.asanyarray(parts[0]).astype(self.dtype, copy=False)
            return part
        empty = np.empty((0, *_sizes(tuple(others), self.shape[1:])), self.dtype)
        return np.concatenate([empty, *parts], dtype=self.dtype)


@dataclass(frozen=True)
class Spread:
    """Some columns of an array (*grid, m) at their places among n_features, all others NaN."""

    array: Readable
    columns: tuple[int, ...]  # of the array
    places: tuple[int, ...]  # theirs
    n_features: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.array.shape[:-1], self.n_features)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype = np.dtype(self.array.dtype)
        return dtype if dtype.kind == "f" else native_dtype(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        *grid, features = _complete(slices, self.ndim)
        values = np.asarray(self.array[(*grid, slice(None))])
        out = np.full((*values.shape[:-1], self.n_features), np.nan, self.dtype)
        out[..., self.places] = values[..., self.columns]
        return out[..., features]


@dataclass(frozen=True)
class FeaturesLast:
    """An array with one of its axes moved to the end."""

    array: Readable
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        return move_last(tuple(self.array.shape), self.axis)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.array.dtype)

    @property
    def ndim(self) -> int:
        return len(self.array.shape)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        *grid, features = _complete(slices, self.ndim)
        values = np.asarray(self.array[(*grid[: self.axis], features, *grid[self.axis :])])
        return np.ascontiguousarray(np.moveaxis(values, self.axis, -1))


@dataclass(frozen=True)
class Transposed:
    """An array with its axes the other way round."""

    array: Readable

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)[::-1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.array.dtype)

    @property
    def ndim(self) -> int:
        return len(self.array.shape)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        return np.ascontiguousarray(np.asarray(self.array[_complete(slices, self.ndim)[::-1]]).T)


def move_last(values: tuple[T, ...], index: int) -> tuple[T, ...]:
    """Return the values with that of an index at the end.

    >>> move_last(("band", "y", "x"), 0)
    ('y', 'x', 'band')
    """
    return (*values[:index], *values[index + 1 :], values[index])


@dataclass(frozen=True)
class NonZero:
    """Whether the values of an array are numbers other than 0; `inverted`: whether they are 0."""

    array: Readable
    inverted: bool

    @classmethod
    def of(cls, name: str, array: Readable, inverted: bool) -> NonZero:
        """Compare the array; raise DataError unless it holds numbers."""
        if np.dtype(array.dtype).kind not in "iufb":
            raise DataError(f"data.mask: {name} holds {array.dtype}, not numbers")
        return cls(array, inverted)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(bool)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: Slices) -> NDArray[np.bool_]:
        values: NDArray[Any] = np.asarray(self.array[slices])
        is_zero = values == 0
        valid: NDArray[np.bool_] = is_zero if self.inverted else ~is_zero & ~np.isnan(values)
        return valid


def _complete(slices: Slices, ndim: int) -> Slices:
    return (*slices, *[slice(None)] * (ndim - len(slices)))


def _sizes(slices: Slices, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(len(range(*one.indices(size))) for one, size in zip(slices, shape, strict=False))
