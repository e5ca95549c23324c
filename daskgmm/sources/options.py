"""The options that name a source."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Len, MinLen
from pydantic import AfterValidator, BeforeValidator, StringConstraints, WithJsonSchema

from ..core.arrays.naming import KINDS
from ..options import STRICT
from .formats import FORMATS
from .readable import SyntheticOptions
from .tables.csv_dialect import CsvOptions
from .zarr_checked_store import MissingChunks

_NAMES = ("auto", *FORMATS)


def _check_name(name: str) -> str:
    if name not in _NAMES:
        raise ValueError(f"should be one of {', '.join(_NAMES)}, got {name!r}")
    return name


Format = Annotated[str, AfterValidator(_check_name), WithJsonSchema({"type": "string", "enum": list(_NAMES)})]


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


def _axis(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"should be a number or the name of an axis, got {value}")
    return value


FeatureAxis = Annotated[int | str | None, BeforeValidator(_axis)]


@dataclass(frozen=True)
class DataOptions:
    """Where the rows are."""

    __pydantic_config__: ClassVar = STRICT

    path: Annotated[str, MinLen(1)]
    """Of zarr, parquet, CSV, Arrow, ORC, FCS (URLs too), .npy, HDF5, netCDF, TIFF, NIfTI, PNG; or sample:NAME."""
    format: Format = "auto"
    """auto goes by the path."""
    array: str | None = None
    """Name of the array, dataset or variable; may be left out where there is one only. Its last axis: features."""
    feature_axis: FeatureAxis = None
    """The axis of an array that holds the features: its number, or its name where axes have names; null: the last."""
    arrays: Annotated[tuple[str, ...], MinLen(1)] | None = None
    """Names of arrays or variables, all of one shape, stacked as features."""
    columns: Annotated[tuple[str, ...], MinLen(1)] | None = None
    """Columns of a table that are features: names or patterns (dep_*), !name or !pattern for others; null: all."""
    weights: Annotated[str, MinLen(1)] | None = None
    """Row weights: name of an array in the same group or file, of a column, or path of .npy files."""
    labels: Annotated[str, MinLen(1)] | None = None
    """What is known of rows, named as weights are: integers, numbers of components, and -1 where it is not known."""
    mask: Mask = None
    """Which rows count: array or column not 0 there (~name: 0 there); or fill values (-9999, nan, inf) of others."""
    missing: Literal["error", "marginal"] = "error"
    """NaN (nulls, declared fill values): error refuses it; marginal takes it as missing, and integrates it out."""
    given: Annotated[tuple[str, ...], MinLen(1)] | None = None
    """Of predict: the features of the model that the data have; all others are missing, and output.imputed has them."""
    keep: tuple[str, ...] = ()
    """Key columns of a table: no features, but carried over to the results."""
    header: bool | Annotated[tuple[str, ...], MinLen(1)] | None = None
    """Of CSV: true: names in the first line; false: none; or a list of names; null: detected, or refused if unsure."""
    delimiter: Annotated[str, Len(1, 1)] | None = None
    """Of CSV: the character between values; null: the one of , ; | and tab that fits."""
    decimal: Literal[".", ","] = "."
    """Of CSV: the decimal point of numbers."""
    na_values: tuple[str | int | float, ...] = ()
    """Of CSV: texts or numbers that mean a missing value, besides the empty text, NA, N/A, NaN and null."""
    encoding: Annotated[str, MinLen(1)] = "utf-8"
    """Of CSV: the encoding of its text, such as latin-1 or cp1252."""
    missing_chunks: MissingChunks | None = None
    """Of zarr: chunks that are not there are filled, or an error; null: filled where the store names a fill value."""
    storage_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of the file system of a URL, such as credentials and endpoint."""
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
