"""Some of the rows of a source: those that a store has more than it had."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import Coordinate, Keys, Source
from .readable import OfShape, Readable, Slices


@dataclass(frozen=True)
class Part(OfShape):
    """The steps of the first axis of an array from `first` on."""

    array: Readable
    first: int
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.array.dtype)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        start, stop, step = slices[0].indices(self.shape[0])
        return np.asarray(self.array[(slice(start + self.first, stop + self.first, step), *slices[1:])])


@dataclass(frozen=True)
class PartOfKeys:
    """The key columns of a table's rows from `first` on."""

    keys: Keys
    first: int

    def __call__(self, start: int, stop: int) -> Any:
        return self.keys(start + self.first, stop + self.first)


def part_of(source: Source, first: int, stop: int) -> Source:
    """Return the source's steps of the first axis from `first` up to `stop`; reads still end at stored chunks."""
    if first == 0 and stop == source.grid[0]:
        return source
    arrays = {name: _part(getattr(source, name), first, stop) for name in ("array", "weights", "labels", "valid")}
    return replace(
        source,
        **arrays,
        description=f"{source.description}, rows {first:,} to {stop:,}",
        stored_chunks=_find_stored_cuts(source, first, stop),
        files=(),
        coordinates=_coordinates(source, first, stop),
        keys=None if source.keys is None else PartOfKeys(source.keys, first),
    )


def _part(array: Any, first: int, stop: int) -> Any:
    if array is None or isinstance(array, np.ndarray):
        return None if array is None else array[first:stop]
    return Part(array, first, (stop - first, *array.shape[1:]))


def _find_stored_cuts(source: Source, first: int, stop: int) -> Any:
    """Return the cuts of the part in the store: pieces of rows, or the shape of a grid's stored chunks."""
    stored = source.stored_chunks
    if not stored or len(source.grid) > 1:
        return stored
    n_rows = source.grid[0]
    size = stored[0]
    ends = list(accumulate(size)) if isinstance(size, tuple) else [*range(size, n_rows, size), n_rows]
    cuts = [first, *(end for end in ends if first < end < stop), stop]
    return (tuple(int(size) for size in np.diff(cuts)),)


def _coordinates(source: Source, first: int, stop: int) -> dict[str, Coordinate]:
    """Return the values along the axes; those along the first one are of the part."""
    axis = source.dims[0] if source.dims else None
    return {
        name: replace(one, values=one.values[first:stop]) if name == axis else one
        for name, one in source.coordinates.items()
    }
