"""The format of a path that names none: by the name of the file, or by those in a folder or pattern."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import DataError
from ..filesystem.location import is_url
from ..text import is_text
from .formats import FORMATS
from .source_format import OF_CONTAINERS, OF_TABLES, SourceFormat
from .tables.files import PACKED, PIPE, find_names

_BY_SUFFIX = {suffix: one for one in FORMATS.values() for suffix in one.suffixes}
_CONVERT = {  # formats that are not read, and how they are converted
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"), "parquet, with pandas.read_excel"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "parquet, with pandas.read_json"),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db"), "parquet, with pandas.read_sql"),
    **dict.fromkeys((".avro", ".duckdb"), "parquet, with DuckDB's COPY ... TO"),
    ".dta": "parquet, with pandas.read_stata",
    ".sas7bdat": "parquet, with pandas.read_sas",
    ".sav": "parquet, with pandas.read_spss",
    **dict.fromkeys((".pkl", ".pickle"), "parquet, with pandas.read_pickle"),
    **dict.fromkeys((".mgz", ".mgh"), ".npy, with nibabel.load(...).get_fdata() and numpy.save"),
    **dict.fromkeys((".fits", ".fits.gz", ".fts"), ".npy, with astropy.io.fits.getdata and numpy.save"),
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


def detect(path: str, storage_options: dict[str, Any]) -> SourceFormat:
    """Return the format that the name of a file says, or the names of the files in a folder or pattern."""
    if path.startswith("sample:"):
        return FORMATS["sample"]
    named = format_of_name(path)
    if named is not None and not (_is_table(named) and Path(path).is_dir()):
        return named
    if not is_url(path) and not has_magic(path):
        check_exists(path, None)
    suffix = next((suffix for suffix in _CONVERT if _file_name(path).endswith(suffix)), None)
    if suffix is not None:
        raise DataError(f"data.path {path!r}: {suffix} is not read: convert it to {_CONVERT[suffix]}")
    if _file_name(path).endswith(PACKED):
        raise DataError(f"data.path {path!r} is packed: unpack it, or convert it to parquet, .npy or zarr")
    return _format_of_files(path, find_names(path, storage_options))


def format_of_name(path: str) -> SourceFormat | None:
    """Return the format that the end of a name says, None where it says none."""
    name = _file_name(path)
    return next((one for suffix, one in _BY_SUFFIX.items() if name.endswith(suffix)), None)


def _is_table(one: SourceFormat) -> bool:
    return one.takes >= OF_TABLES


def _file_name(path: str) -> str:
    """Return the name of a file in small letters, without a dataset in it or the query of a URL."""
    file, _, inside = path.rstrip("/").rpartition("::")
    file = path.rstrip("/") if not file or is_url(inside) else file  # a chain of URLs, or file.h5::dataset
    return (urlsplit(file).path if file.startswith(("http://", "https://")) else file).rstrip("/").lower()


def _format_of_files(path: str, names: Sequence[str]) -> SourceFormat:
    """Return the one format that files have; raise DataError where they have several, or one that is read by itself."""
    if not names and has_magic(path) and not is_url(path):
        raise DataError(f"data.path {path!r} matches no file (working directory {Path.cwd()})")
    first: dict[str, str] = {}
    for name in names:
        is_zarr = ".zarr/" in name or name.endswith(("zarr.json", ".zarray", ".zgroup", ".zmetadata"))
        found = FORMATS["zarr"] if is_zarr else format_of_name(name)
        if found is not None:
            first.setdefault(found.name, name.partition(".zarr/")[0] + ".zarr" * (".zarr/" in name))
    if len(first) > 1:
        listed = ", ".join(f"{kind} ({name})" for kind, name in first.items())
        raise DataError(
            f"data.path {path!r} has files of several formats: {listed}; set data.format, or name some of them"
        )
    if not first:
        raise DataError(
            f"data.path {path!r} has no format that is known by its name: set data.format to "
            f"{', '.join(kind for kind in FORMATS if kind != 'sample')}, or convert it to parquet, .npy or zarr"
        )
    ((kind, name),) = first.items()
    if not FORMATS[kind].from_many and not (kind == "zarr" and len(names) == 1):
        raise DataError(f"data.path {path!r} has files of {kind}, which is read from one: name it, such as {name}")
    return FORMATS[kind]


def check_exists(path: str, chosen: SourceFormat | None) -> None:
    """Raise DataError where nothing is at a local path, or more than the format (None: not known yet) is read from."""
    _check_encoding(path.partition("::")[0])
    file = path.partition("::")[0] if chosen is not None and chosen.names_inside else path
    if has_magic(file) and not Path(file).exists():
        many = chosen is not None and chosen.from_many
        matches = glob(file, recursive=True)
        if matches and chosen is not None and not many:
            such = f"{path!r} is a pattern that {len(matches)} files match, such as {min(matches)}"
            raise DataError(f"data.path {such}, but {chosen.name} is read from one file: name it")
        if many:
            return
    holder, _, name = file.partition("::")
    if name and Path(holder).is_file():
        remedy = "set data.format: hdf5 if it is that"
        if chosen is not None:
            remedy = f"write {holder} alone" + (f" and data.array: {name}" if chosen.takes >= OF_CONTAINERS else "")
        raise DataError(f"data.path {path!r}: {holder} is there, but :: names a dataset of HDF5: {remedy}")
    if not Path(file).exists():
        raise DataError(f"data.path {file!r} does not exist (working directory {Path.cwd()})")
    if not (Path(file).is_file() or Path(file).is_dir()):
        raise DataError(PIPE.format(file))


def _check_encoding(path: str) -> None:
    """Raise DataError for a path that has bytes which are not text, or letters that file names cannot have here."""
    if not is_text(whole := str(Path(path).absolute())):
        raise DataError(f"data.path {whole!r} has bytes that are no text: rename the folder or the file")
    try:
        os.fsencode(whole)
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise DataError(
            f"data.path {path!r} cannot be a file's name in the encoding {encoding} of this locale: set PYTHONUTF8=1"
        ) from None


def check_signature(path: str, chosen: SourceFormat) -> None:
    """Raise DataError for a local file that does not begin as files of its format do."""
    file = Path(path.partition("::")[0] if chosen.names_inside else path)
    if not chosen.signatures or not file.is_file():
        return
    with file.open("rb") as opened:
        head = opened.read(max(map(len, chosen.signatures)))
    if not head.startswith(chosen.signatures):
        raise DataError(f"{path} is no {chosen.name} file, as it begins otherwise: set data.format, or convert it to "
                        "parquet, .npy or zarr")  # fmt: skip
