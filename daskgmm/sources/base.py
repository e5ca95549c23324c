"""What a source is: the value that opening it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays.naming import Naming
from .readable import Readable

Keys = Callable[[int, int], Any]  # first row, last row + 1 -> pyarrow.Table of the key columns


@dataclass(frozen=True, eq=False)
class Coordinate:
    """The values along one axis of the grid as they are stored, not decoded, with attributes that JSON can hold."""

    values: NDArray[Any]  # (n,)
    attributes: Mapping[str, Any] = field(default_factory=dict)  # units, calendar and the like


@dataclass(frozen=True, eq=False)
class Source:
    """Rows that can be read: the last axis of `array` holds the features, the axes before it are the grid."""

    array: Readable | NDArray[Any]
    description: str  # what a person calls it
    stored_chunks: tuple[int, ...] | tuple[tuple[int, ...]] | None = None  # of the grid's axes; or pieces of rows
    weights: Readable | NDArray[Any] | None = None  # (*grid)
    labels: Readable | NDArray[Any] | None = None  # (*grid), integers: number of the component, -1 if not known
    valid: Readable | NDArray[Any] | None = None  # (*grid), bool: the rows that count
    fill_values: tuple[float, ...] = ()  # rows in which a feature equals one (in the array's dtype) do not count
    missing: bool = False  # whether NaN is a missing value, which is integrated out
    feature_names: tuple[str, ...] | None = None
    files: tuple[tuple[str, int], ...] = ()  # that follow one another along the first axis, and the length of each
    dims: tuple[str, ...] | None = None  # names of the grid's axes
    coordinates: Mapping[str, Coordinate] = field(default_factory=dict)  # by the name of the axis, where there is one
    is_image: bool = False
    keys: Keys | None = None  # of a table: its results are a table too, with these columns
    notices: tuple[str, ...] = ()  # what a person should know of how the rows are read

    @property
    def grid(self) -> tuple[int, ...]:
        """The shape of the rows; an array of one axis holds one feature."""
        shape = tuple(self.array.shape)
        return shape if len(shape) == 1 else shape[:-1]

    @property
    def naming(self) -> Naming:
        """What messages call its rows and features."""
        files = self.files or ((self.description, self.grid[0]),)
        return Naming(self.feature_names, files, self.fill_values, has_mask=self.valid is not None)


def plain_attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return those attributes that JSON can hold, NumPy values as Python's."""
    values = {str(name): value.tolist() if isinstance(value, np.generic | np.ndarray) else value
              for name, value in attributes.items()}  # fmt: skip
    return {name: value for name, value in values.items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(one) for one in value)
    return value is None or isinstance(value, str | bool | int | float)
