"""What a source is: the options that name one, and the value that opening it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Len, MinLen
from numpy.typing import NDArray
from pydantic import BeforeValidator, StringConstraints

from ..core.arrays.naming import KINDS, Naming
from ..options import STRICT
from .readable import Readable, SyntheticOptions
from .tables.csv_dialect import CsvOptions
from .zarr_checked_store import MissingChunks

Format = Literal["auto", "zarr", "npy", "hdf5", "xarray", "parquet", "csv", "arrow", "orc", "image", "sample"]


def _writable(mask: object) -> object:
    """Return NaN and infinity as strings that a configuration file can hold, and that equal themselves."""
    if isinstance(mask, bool) or mask == "":
        raise ValueError(f"should be the name of an array or a fill value, or a list of fill values, got {mask!r}")
    if isinstance(mask, list):
        return tuple(mask)
    return str(mask) if isinstance(mask, float) and not isfinite(mask) else mask


def _fill_value(value: object) -> object:
    """Return a fill value of a list as a configuration file can hold it; raise ValueError for what is none."""
    written = value.lower() if isinstance(value, str) else _writable(value)
    if not isinstance(written, float | int) and written not in KINDS:
        raise ValueError(f"should be a number, nan, inf or -inf in a list: {value!r} is none")
    return written


_NotFinite = Annotated[str, StringConstraints(pattern=r"^(-?[iI][nN][fF]|[nN][aA][nN])$")]
FillValue = Annotated[_NotFinite | float | int, BeforeValidator(_fill_value)]
Mask = Annotated[
    Annotated[str, MinLen(1)] | float | int | Annotated[tuple[FillValue, ...], MinLen(1)] | None,
    BeforeValidator(_writable),
]


@dataclass(frozen=True)
class DataOptions:
    """Where the rows are."""

    __pydantic_config__: ClassVar = STRICT

    path: Annotated[str, MinLen(1)]
    """zarr, parquet, CSV, Arrow, ORC (files or URLs), .npy, file.h5::dataset, netCDF, PNG, JPEG, or sample:NAME."""
    format: Format = "auto"
    """auto goes by the path."""
    array: str | None = None
    """Name of the array, dataset or variable; may be left out where there is one only. Its last axis: features."""
    arrays: Annotated[tuple[str, ...], MinLen(1)] | None = None
    """Names of arrays or variables, all of one shape, stacked as features."""
    columns: Annotated[tuple[str, ...], MinLen(1)] | None = None
    """Columns of a table that are features: names or patterns (dep_*), !name or !pattern for others; null: all."""
    weights: Annotated[str, MinLen(1)] | None = None
    """Row weights: name of an array in the same group or file, of a column, or path of .npy files."""
    mask: Mask = None
    """Which rows count: array or column not 0 there (~name: 0 there); or fill values (-9999, nan, inf) of others."""
    keep: tuple[str, ...] = ()
    """Key columns of a table: no features, but carried over to the results."""
    header: bool | Annotated[tuple[str, ...], MinLen(1)] | None = None
    """Of CSV: true: the first line holds names; false: it is a row; or a list of names; null: it must be sure."""
    delimiter: Annotated[str, Len(1, 1)] | None = None
    """Of CSV: the character between values; null: the one of , ; | and tab that fits."""
    decimal: Literal[".", ","] = "."
    """Of CSV: the decimal point of numbers."""
    na_values: tuple[str | int | float, ...] = ()
    """Of CSV: texts or numbers that mean a missing value, beside the empty text, NA, N/A, NaN and null."""
    encoding: Annotated[str, MinLen(1)] = "utf-8"
    """Of CSV: the encoding of its text, such as latin-1 or cp1252."""
    missing_chunks: MissingChunks | None = None
    """Of zarr: chunks that are not there are filled, or an error; null: filled where the store names a fill value."""
    storage_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """What the file system of a URL is to know: credentials, endpoint."""
    synthetic: SyntheticOptions = field(default_factory=SyntheticOptions)
    """The mixture that sample:synthetic draws from."""

    @property
    def csv(self) -> CsvOptions:
        """How CSV files are written, as far as it is given."""
        na_values = tuple(str(value) for value in self.na_values)
        return CsvOptions(self.header, self.delimiter, self.decimal, na_values, self.encoding)

    @property
    def fill_values(self) -> tuple[float, ...]:
        """The values that mark rows to leave out, NaN and infinity included; none where the mask is no number."""
        given = self.mask if isinstance(self.mask, tuple) else (self.mask,)
        numbers = (float(one) if isinstance(one, str) and one.lower() in KINDS else one for one in given)
        return tuple(one for one in numbers if isinstance(one, float | int))

    @property
    def mask_name(self) -> str | None:
        """What is named as the mask, without the ~ that inverts it."""
        named = isinstance(self.mask, str) and not self.fill_values
        return str(self.mask).removeprefix("~") if named else None

    @property
    def mask_is_inverted(self) -> bool:
        return isinstance(self.mask, str) and self.mask.startswith("~")


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
    valid: Readable | NDArray[Any] | None = None  # (*grid), bool: the rows that count
    fill_values: tuple[float, ...] = ()  # rows in which a feature equals one (in the array's dtype) do not count
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
