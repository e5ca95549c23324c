"""Sources: open what the configuration names as an array of rows, with its names and how it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConfigurationError, DataError, without_credentials
from ..faults import PATIENT, RetryPolicy
from ..places import PUBLIC_OPTIONS, is_url, secrets_of
from .data import Coordinate, DataOptions, Format, Source
from .files import open_image, open_npy
from .from_table import open_table_source
from .hdf5 import open_hdf5
from .readers import SyntheticOptions
from .reading import Guard
from .samples import open_sample
from .tables.csv_dialect import CsvOptions
from .tables.csv_files import SUFFIXES as CSV_SUFFIXES
from .xarray import open_xarray
from .zarr import open_zarr

__all__ = ["Coordinate", "DataOptions", "Format", "Source", "open_source"]

_OPENERS: dict[str, Callable[[DataOptions, Guard, bool], Source]] = {
    "zarr": open_zarr,
    "npy": open_npy,
    "hdf5": open_hdf5,
    "xarray": open_xarray,
    "parquet": partial(open_table_source, format="parquet"),
    "csv": partial(open_table_source, format="csv"),
    "arrow": partial(open_table_source, format="arrow"),
    "orc": partial(open_table_source, format="orc"),
    "image": open_image,
    "sample": open_sample,
}
_SUFFIXES = {
    **dict.fromkeys((".png", ".jpg", ".jpeg"), "image"),
    **dict.fromkeys((".h5", ".hdf5", ".he5"), "hdf5"),
    **dict.fromkeys((".nc", ".nc4", ".cdf"), "xarray"),
    ".npy": "npy",
    ".zarr": "zarr",
    ".parquet": "parquet",
}
_REMOTE = {"zarr", "xarray", "parquet", "csv", "arrow", "orc"}
_WITH_NAMES = {"zarr", "hdf5", "xarray"}  # containers of arrays
_TABLES = {"parquet", "csv", "arrow", "orc"}


def open_source(options: DataOptions, retry: RetryPolicy = PATIENT, *, weighted: bool = True) -> Source:
    """Return the source that the options name; raise DataError where it is not there or not numeric.

    With `weighted` false the row weights are not opened, and may be missing: what they name is still no feature.
    """
    options = replace(options, path=options.path.removeprefix("file://"))
    kind = options.format if options.format != "auto" else _guess(options.path)
    _check_options(options, kind)
    if not is_url(options.path):
        _check_exists(options.path, kind)
    guard = Guard(retry, frozenset((*_texts(options.storage_options), *secrets_of(options.path))))
    source = guard(lambda: _OPENERS[kind](options, guard, weighted), options.path)
    _check(source, options if weighted else replace(options, weights=None))
    return replace(source, description=without_credentials(source.description), fill_value=options.fill_value)


def _guess(path: str) -> str:
    if path.startswith("sample:"):
        return "sample"
    file, _, inside = path.rstrip("/").rpartition("::")
    file = path.rstrip("/") if not file or is_url(inside) else file  # a chain of URLs, or file.h5::dataset
    is_csv = file.lower().endswith(CSV_SUFFIXES)  # also where it is compressed: that is told when it is opened
    kind = "csv" if is_csv else _SUFFIXES.get(Path(file).suffix.lower())
    if kind is not None:
        return kind
    if is_url(path) or any((Path(path) / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        return "zarr"
    for kind in ("npy", "parquet", "csv"):
        if any(next(Path(path).glob(f"{below}.{kind}"), None) for below in ("*", "*/*")):
            return kind
    _check_exists(path, "auto")
    raise DataError(
        f"data.path {path!r} has no format that is known by its name: "
        f"set data.format to {', '.join(kind for kind in _OPENERS if kind != 'sample')}"
    )


def _check_exists(path: str, kind: str) -> None:
    file = path.partition("::")[0] if kind == "hdf5" else path
    is_pattern = kind in {"npy", *_TABLES} and has_magic(path)
    if kind != "sample" and not is_pattern and not Path(file).exists():
        raise DataError(f"data.path {file!r} does not exist (working directory {Path.cwd()})")


def _check_options(options: DataOptions, kind: str) -> None:
    """Raise where an option is set that this kind of source has no use for."""
    if kind not in _OPENERS:
        known = ", ".join(_OPENERS)
        raise DataError(f"data.path {options.path!r}: {kind} is no format that can be read; known: {known}")
    if options.synthetic != SyntheticOptions() and options.path != "sample:synthetic":
        raise ConfigurationError(f"data.synthetic is for sample:synthetic, not {options.path!r}: leave it out")
    if options.arrays is not None and len(set(options.arrays)) < len(options.arrays):
        raise ConfigurationError(f"data.arrays names an array twice: {', '.join(options.arrays)}")
    if options.array is not None and options.arrays is not None:
        raise ConfigurationError("data.array and data.arrays are both set: name one array, or several to be stacked")
    is_netcdf = kind == "xarray" and _SUFFIXES.get(Path(options.path).suffix.lower()) == kind
    if is_url(options.path) and (kind not in _REMOTE or is_netcdf):
        remedy = "copy it here, or store it as zarr"
        raise DataError(f"data.path {options.path!r}: {kind} is read from files, not from URLs: {remedy}")
    if options.storage_options and not is_url(options.path):
        raise ConfigurationError(f"data.storage_options are for URLs, but {options.path!r} is a file: leave them out")
    _check_table_options(options, kind)
    for key in ("array", "arrays"):
        if getattr(options, key) is not None and kind not in _WITH_NAMES:
            what = "names what a group or file of arrays holds"
            raise DataError(f"data.{key} {what}, but {options.path} is none: leave it out")


def _check_table_options(options: DataOptions, kind: str) -> None:
    """Raise where an option of tables, or of CSV, is set for another kind of source."""
    if (options.columns is not None or options.keep) and kind not in _TABLES:
        raise ConfigurationError(
            f"data.columns and data.keep are for tables, and {options.path} is none: leave them out"
        )
    if options.csv != CsvOptions() and kind != "csv":
        raise ConfigurationError(
            f"data.header, delimiter, decimal, na_values and encoding are for CSV, and {options.path} is none: "
            "leave them out"
        )


def _check(source: Source, options: DataOptions) -> None:
    if options.weights is not None and source.weights is None:
        raise DataError(f"data.weights: {source.description} has no row weights; they come with named arrays and .npy")
    if options.mask_name is not None and source.valid is None:
        raise DataError(f"data.mask: {source.description} has no other arrays; give a fill value, or leave it out")
    shape, dtype = source.array.shape, np.dtype(source.array.dtype)
    if dtype.kind not in "iufb":
        raise DataError(f"{source.description} holds {dtype}, not numbers: name a numeric array")
    if not shape:
        raise DataError(f"{source.description} is a single number: rows need at least one axis")
    if 0 in shape:
        raise DataError(f"{source.description} is empty: its shape is {shape}")
    for name, array in ((f"weights {options.weights!r}", source.weights), (f"mask {options.mask!r}", source.valid)):
        if array is not None:
            _check_beside(f"data.{name}", array, source)


def _check_beside(name: str, array: Any, source: Source) -> None:
    if np.dtype(array.dtype).kind not in "iufb":
        raise DataError(f"{name} holds {array.dtype}, not numbers")
    if tuple(array.shape) != source.grid:
        rows = f"the rows of {source.description} have {source.grid}: give one each"
        raise DataError(f"{name} has the shape {tuple(array.shape)}, but {rows}")


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in nested storage options: credentials among them."""
    if isinstance(value, dict):
        for name, one in value.items():
            if name in PUBLIC_OPTIONS and isinstance(one, str):
                yield from secrets_of(one)
            else:
                yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str) and len(value) > _SHORT:
        yield value


_SHORT = 3  # characters: to hide shorter texts would make messages unreadable
