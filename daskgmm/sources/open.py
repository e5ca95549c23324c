"""Sources: open what the configuration names as an array of rows, with its names and how it is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from glob import glob, has_magic
from os.path import expanduser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ..errors import ConfigurationError, DataError, without_credentials
from ..filesystem.location import PUBLIC_OPTIONS, is_url, secrets_of
from ..filesystem.retry import PATIENT, RetryPolicy
from .base import Coordinate, DataOptions, Format, Source
from .guarded import Guard
from .hdf5 import open_hdf5
from .npy import open_image, open_npy
from .readable import SyntheticOptions
from .samples import open_sample
from .tables.arrow import SUFFIXES as ARROW_SUFFIXES
from .tables.csv import SUFFIXES as CSV_SUFFIXES
from .tables.csv_dialect import CsvOptions
from .tables.files import PACKED, find_names
from .tables.orc import SUFFIXES as ORC_SUFFIXES
from .tables.parquet import SUFFIXES as PARQUET_SUFFIXES
from .tables.source import open_table_source
from .tables.table_logs import METADATA_FILE
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
    **dict.fromkeys((*PARQUET_SUFFIXES, METADATA_FILE), "parquet"),
    **dict.fromkeys(CSV_SUFFIXES, "csv"),
    **dict.fromkeys(ARROW_SUFFIXES, "arrow"),
    **dict.fromkeys(ORC_SUFFIXES, "orc"),
}
_CONVERT = {  # formats that are not read, and how they are converted
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"), "parquet, with pandas.read_excel"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "parquet, with pandas.read_json"),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db"), "parquet, with pandas.read_sql"),
    **dict.fromkeys((".avro", ".duckdb"), "parquet, with DuckDB's COPY ... TO"),
    ".dta": "parquet, with pandas.read_stata",
    ".sas7bdat": "parquet, with pandas.read_sas",
    ".sav": "parquet, with pandas.read_spss",
    **dict.fromkeys((".pkl", ".pickle"), "parquet, with pandas.read_pickle"),
    ".fcs": "parquet, with flowio.FlowData(...).as_array()",
    ".npz": ".npy, with numpy.load(...)[name] and numpy.save",
    ".mat": ".npy, with scipy.io.loadmat(...)[name] and numpy.save",
    **dict.fromkeys((".nii", ".nii.gz", ".mgz", ".mgh"), ".npy, with nibabel.load(...).get_fdata() and numpy.save"),
    **dict.fromkeys((".fits", ".fits.gz", ".fts"), ".npy, with astropy.io.fits.getdata and numpy.save"),
    **dict.fromkeys(
        (".tif", ".tiff"), ".npy, with tifffile.imread and numpy.save, or zarr, with rioxarray.open_rasterio"
    ),
    ".safetensors": ".npy, with safetensors.numpy.load_file(...)[name] and numpy.save",
    **dict.fromkeys((".pt", ".pth"), ".npy, with torch.load(...).numpy() and numpy.save"),
    **dict.fromkeys(
        (".grib", ".grb", ".grib2", ".grb2"), "zarr, with xarray.open_dataset(..., engine='cfgrib').to_zarr"
    ),
    **dict.fromkeys((".hdf4", ".h4"), "zarr, with rioxarray.open_rasterio(...).to_zarr"),
    **dict.fromkeys((".rds", ".rda", ".rdata"), "parquet, with R's arrow::write_parquet"),
    **dict.fromkeys((".dcm", ".dicom"), ".npy, with pydicom.dcmread(...).pixel_array and numpy.save"),
    ".laz": ".npy, with laspy.read(...).xyz and numpy.save",
}
_REMOTE = {"zarr", "xarray", "parquet", "csv", "arrow", "orc"}
_WITH_NAMES = {"zarr", "hdf5", "xarray"}  # containers of arrays
_TABLES = {"parquet", "csv", "arrow", "orc"}


def open_source(options: DataOptions, retry: RetryPolicy = PATIENT, *, weighted: bool = True) -> Source:
    """Return the source that the options name; raise DataError where it is not there or not numeric.

    With `weighted` false the row weights are not opened, and may be missing: what they name is still no feature.
    """
    options = replace(options, path=expanduser(options.path.removeprefix("file://")))
    guard = Guard(retry, frozenset((*_texts(options.storage_options), *secrets_of(options.path))))
    kind = options.format if options.format != "auto" else guard(lambda: _guess(options), options.path)
    _check_options(options, kind)
    if not is_url(options.path):
        _check_exists(options.path, kind)
    source = guard(lambda: _OPENERS[kind](options, guard, weighted), options.path)
    _check(source, options if weighted else replace(options, weights=None))
    return replace(source, description=without_credentials(source.description), fill_values=options.fill_values)


def _guess(options: DataOptions) -> str:
    """Return the format that the name of a file says, or the names of the files in a folder or pattern."""
    path = options.path
    if path.startswith("sample:"):
        return "sample"
    kind = _kind_of_name(path)
    if kind is not None and not (kind in _TABLES and Path(path).is_dir()):
        return kind
    if not is_url(path) and not has_magic(path):
        _check_exists(path, "auto")
    suffix = next((suffix for suffix in _CONVERT if _file_name(path).endswith(suffix)), None)
    if suffix is not None:
        raise DataError(f"data.path {path!r}: {suffix} is not read: convert it to {_CONVERT[suffix]}")
    if _file_name(path).endswith(PACKED):
        raise DataError(f"data.path {path!r} is packed: unpack it, or convert it to parquet, .npy or zarr")
    return _kind_of_files(path, find_names(path, options.storage_options))


def _file_name(path: str) -> str:
    """Return the name of a file in small letters, without a dataset in it or the query of a URL."""
    file, _, inside = path.rstrip("/").rpartition("::")
    file = path.rstrip("/") if not file or is_url(inside) else file  # a chain of URLs, or file.h5::dataset
    return (urlsplit(file).path if file.startswith(("http://", "https://")) else file).rstrip("/").lower()


def _kind_of_name(path: str) -> str | None:
    name = _file_name(path)
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def _kind_of_files(path: str, names: Sequence[str]) -> str:
    """Return the one format that files have; raise DataError where they have several, or one that is read by itself."""
    if not names and has_magic(path) and not is_url(path):
        raise DataError(f"data.path {path!r} matches no file (working directory {Path.cwd()})")
    first: dict[str, str] = {}
    for name in names:
        is_zarr = ".zarr/" in name or name.endswith(("zarr.json", ".zarray", ".zgroup", ".zmetadata"))
        kind = "zarr" if is_zarr else _kind_of_name(name)
        if kind is not None:
            first.setdefault(kind, name.partition(".zarr/")[0] + ".zarr" * (".zarr/" in name))
    if len(first) > 1:
        listed = ", ".join(f"{kind} ({name})" for kind, name in first.items())
        raise DataError(
            f"data.path {path!r} has files of several formats: {listed}; set data.format, or name some of them"
        )
    if not first:
        raise DataError(
            f"data.path {path!r} has no format that is known by its name: set data.format to "
            f"{', '.join(kind for kind in _OPENERS if kind != 'sample')}, or convert it to parquet, .npy or zarr"
        )
    ((kind, name),) = first.items()
    if kind not in {"npy", *_TABLES} and not (kind == "zarr" and len(names) == 1):
        raise DataError(f"data.path {path!r} has files of {kind}, which is read from one: name it, such as {name}")
    return kind


def _check_exists(path: str, kind: str) -> None:
    if kind == "sample":
        return
    file = path.partition("::")[0] if kind == "hdf5" else path
    if has_magic(file) and not Path(file).exists():
        matches = glob(file, recursive=True)
        if matches and kind not in {"npy", *_TABLES}:
            such = f"{path!r} is a pattern that {len(matches)} files match, such as {min(matches)}"
            raise DataError(f"data.path {such}, but {kind} is read from one file: name it")
        if kind in {"npy", *_TABLES}:
            return
    holder, _, name = file.partition("::")
    if name and Path(holder).is_file():
        remedy = f"write {holder} alone" + (f" and data.array: {name}" if kind in _WITH_NAMES else "")
        remedy = "set data.format: hdf5 if it is that" if kind == "auto" else remedy
        raise DataError(f"data.path {path!r}: {holder} is there, but :: names a dataset of HDF5: {remedy}")
    if not Path(file).exists():
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
    is_netcdf = kind == "xarray" and _kind_of_name(options.path) == kind
    if is_url(options.path) and (kind not in _REMOTE or is_netcdf):
        remedy = "copy it here, or store it as zarr"
        raise DataError(f"data.path {options.path!r}: {kind} is read from files, not from URLs: {remedy}")
    if options.storage_options and not is_url(options.path):
        raise ConfigurationError(f"data.storage_options are for URLs, but {options.path!r} is a file: leave them out")
    _check_table_options(options, kind)
    if options.missing_chunks is not None and (kind not in {"zarr", "xarray"} or is_netcdf):
        raise ConfigurationError(f"data.missing_chunks is for zarr, and {options.path} is none: leave it out")
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
    if dtype.kind == "f" and dtype.itemsize > np.dtype(np.float64).itemsize:
        raise DataError(f"{source.description} holds {dtype}, which no kernel computes with: store it as float64")
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
