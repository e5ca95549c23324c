"""netCDF files and zarr written by xarray: variables as features, decoded as the CF conventions say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import uuid4

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import ConfigurationError, DataError
from ..filesystem.location import is_url
from ..filesystem.zarr_internals import is_consolidated
from .base import Coordinate, Source, plain_attributes
from .cf_decoding import decode, default_fill
from .container import MAX_COORDINATE, Member, source_in
from .default_rows import Variable, default_rows
from .guarded import Guard, Reliable, optional
from .hdf5 import dataset_names
from .readable import OfShape, Readable, Slices
from .source_format import OF_CONTAINERS, SourceFormat
from .store_fingerprint import refuse_changes
from .zarr import open_node
from .zarr_checked_store import Absent, CheckedStore, MissingChunks, absent_chunks, check_absent, is_blosc

if TYPE_CHECKING:
    from .options import DataOptions

_NETCDF_SUFFIXES = (".nc", ".nc4", ".cdf")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CLASSIC_SIGNATURES = (b"CDF\1", b"CDF\2")  # those that SciPy reads


def open_xarray(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the source whose features are the variables of a dataset; without names, all numeric data variables."""
    optional("xarray", "xarray", options.path)
    _check_netcdf(options)
    return source_in(XarrayDataset(options.path, _handle(options), guard, options.missing_chunks), options, weighted)


def _check_netcdf(options: DataOptions) -> None:
    """Raise for a URL of netCDF, which is read from files, and for an option that is only for zarr."""
    if not options.path.lower().endswith(_NETCDF_SUFFIXES):
        return
    if is_url(options.path):
        remedy = "copy it here, or store it as zarr"
        raise DataError(f"data.path {options.path!r}: netCDF is read from files, not from URLs: {remedy}")
    if options.missing_chunks is not None:
        raise ConfigurationError(f"data.missing_chunks is for zarr, and {options.path} is netCDF: leave it out")


@dataclass(frozen=True)
class Handle:
    """How a dataset is opened; each process that reads learns once what it holds."""

    path: str
    kind: Literal["zarr", "hdf5", "other"]
    storage_options: str = field(repr=False)  # JSON: it can be hashed
    token: str  # of one opening: what has been written again under the same name is opened again
    absent: tuple[tuple[str, Absent | None], ...] = field(default=(), repr=False)  # chunks of each zarr array

    def group(self) -> zarr.Group:
        """Return the zarr group that the dataset is in."""
        return _group(self.path, json.loads(self.storage_options))

    @contextmanager
    def dataset(self, *, decoded: bool = True) -> Iterator[Any]:
        """Give the dataset; afterwards its HDF5 file is closed, or it would be locked against writers from now on."""
        with _ONE_AT_A_TIME if self.kind == "hdf5" else nullcontext():
            dataset, store = _open_shared(self, decoded)
            try:
                yield dataset
            finally:
                if store is not None:
                    store.close()


_ONE_AT_A_TIME = Lock()  # h5netcdf cannot close a file while another thread reads it; HDF5 has one lock for all anyway


@lru_cache(maxsize=16)
def _open_shared(handle: Handle, decoded: bool) -> tuple[Any, Any]:
    """Return the dataset, no value read yet, and the store that opens its file again at each read; None without one."""
    xarray = optional("xarray", "xarray", handle.path)
    how: dict[str, Any] = {
        "chunks": None,
        "cache": False,
        "decode_times": False,
        "decode_cf": None if decoded else False,
    }
    if handle.kind == "zarr":
        group = handle.group()
        how |= {"engine": "zarr", "consolidated": is_consolidated(group)}
        blosc = [array.path for _, array in group.arrays() if is_blosc(array)]
        store = CheckedStore(group.store, blosc, dict(handle.absent))
        return xarray.open_dataset(store, group=group.path or None, **how), None
    if handle.kind == "hdf5":
        store = xarray.backends.H5NetCDFStore.open(handle.path)
        return xarray.open_dataset(store, **how), store
    return xarray.open_dataset(handle.path, **how), None  # classic netCDF, which SciPy reads


def _handle(options: DataOptions) -> Handle:
    path = options.path if is_url(options.path) else str(Path(options.path).absolute())
    if is_url(path) or Path(path).is_dir():
        group = _group(path, options.storage_options)
        absent = tuple((array.path, absent_chunks(array)) for _, array in group.arrays())
        return Handle(path, "zarr", json.dumps(options.storage_options), uuid4().hex, absent)
    with open(path, "rb") as file:
        head = file.read(len(_HDF5_SIGNATURE))
    is_hdf5 = head == _HDF5_SIGNATURE
    if is_hdf5:
        optional("h5netcdf", "xarray", options.path)
    elif not head.startswith(_CLASSIC_SIGNATURES):
        raise DataError(
            f"{options.path} is no netCDF, as it begins otherwise: set data.format, or convert it to netCDF or zarr"
        )
    return Handle(path, "hdf5" if is_hdf5 else "other", "{}", uuid4().hex)


def _group(path: str, storage_options: dict[str, Any]) -> zarr.Group:
    node = open_node(path, storage_options)
    if not isinstance(node, zarr.Group):
        raise DataError(f"{path} is a zarr array, not a group of variables: set data.format to zarr")
    return node


@dataclass(frozen=True)
class XarrayDataset:
    """The variables of a dataset that xarray opens."""

    path: str
    handle: Handle
    guard: Guard
    missing: MissingChunks | None  # what becomes of chunks of zarr that are not there; None: as the store says
    nouns: ClassVar = ("variable", "dataset")

    def names(self) -> list[str]:
        with self.handle.dataset() as dataset:
            own = [_describe(name, variable) for name, variable in dataset.data_vars.items()]
        nested = dataset_names(self.path) if self.handle.kind == "hdf5" else []
        return own + [f"{name} (with data.format: hdf5)" for name in nested if "/" in name]

    def default(self, besides: set[str | None], feature_axis: int | str | None) -> dict[str, Any]:
        """Return the numeric data variables but the bounds of coordinates; raise DataError if they are not clear."""
        variables = self._data_variables(besides)
        if not variables and self.handle.kind == "hdf5":
            raise DataError(
                f"{self.path}: there is no variable of numbers outside of groups: "
                "name one in data.array as group/variable, with data.format: hdf5"
            )
        lying = {name: Variable(one.shape, tuple(map(str, one.dims))) for name, one in variables.items()}
        named = default_rows(lying, self._kind_of_coordinate, self.path, feature_axis)
        if not named:
            listed = ", ".join(_describe(name, variable) for name, variable in variables.items())
            raise DataError(f"{self.path}: name variables of the same axes in data.arrays; the dataset holds {listed}")
        return named

    def _kind_of_coordinate(self, name: str) -> str | None:
        with self.handle.dataset(decoded=False) as raw:
            variable = raw.variables.get(name)
            return None if variable is None or variable.dims != (name,) else str(variable.dtype.kind)

    def _data_variables(self, besides: set[str | None]) -> Mapping[str, Any]:
        with self.handle.dataset() as dataset:
            bounds = {one.attrs.get("bounds") or one.encoding.get("bounds") for one in dataset.variables.values()}
            return {
                str(name): variable
                for name, variable in dataset.data_vars.items()
                if name not in besides | bounds and variable.ndim > 0 and variable.dtype.kind in "iufb"
            }

    def member(self, name: str) -> Member | None:
        with self.handle.dataset(decoded=False) as raw:
            variable = raw.variables.get(name)
        if variable is None:
            return None
        held, called = np.dtype(variable.dtype), f"{self.path}/{name}"
        reader: Readable = XarrayReader(self.handle, name, tuple(variable.shape), held)
        stored = self.handle.group().get(name) if self.handle.kind == "zarr" else None
        if isinstance(stored, zarr.Array):
            check_absent(stored, dict(self.handle.absent)[stored.path], self.missing, called)
            reader = refuse_changes(reader, stored, called)
        has_default = self.handle.kind != "zarr" and "_FillValue" not in variable.attrs
        fill = default_fill(held) if has_default else None
        dims = tuple(str(dim) for dim in variable.dims)
        array = decode(Reliable(reader, called, self.guard), variable.attrs, called, fill)
        return Member(array, _find_stored_chunks(variable), dims)

    def coordinate(self, name: str, beside: str) -> Coordinate | None:
        with self.handle.dataset(decoded=False) as raw:
            variable = raw.variables.get(name)
            if variable is None or variable.dims != (name,) or variable.size > MAX_COORDINATE:
                return None
            values = np.asarray(variable.values)
            return Coordinate(
                values.astype(str) if values.dtype.kind in "OT" else values, plain_attributes(variable.attrs)
            )


@dataclass(frozen=True)
class XarrayReader(OfShape):
    """A variable of a dataset, as it is stored."""

    handle: Handle
    variable: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        with self.handle.dataset(decoded=False) as dataset:
            return np.asarray(dataset.variables[self.variable][slices].values, self.dtype)


def _describe(name: object, variable: Any) -> str:
    return f"{name} ({', '.join(str(dim) for dim in variable.dims)})"


def _find_stored_chunks(variable: Any) -> tuple[int, ...] | None:
    """Return the chunks, or whole shards, that a file or store holds the variable in; None where it has none."""
    found = variable.encoding.get("shards") or variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
    return tuple(int(size) for size in found) if found and len(found) == variable.ndim else None


XARRAY = SourceFormat("xarray", open_xarray, _NETCDF_SUFFIXES, takes=OF_CONTAINERS | {"missing_chunks"}, from_url=True)
