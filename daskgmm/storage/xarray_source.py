"""netCDF files and zarr written by xarray: variables as features, decoded as the CF conventions say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import DataError
from .containers import LARGEST_COORDINATE, Member, source_in
from .data import Coordinate, DataOptions, Source, plain_attributes
from .readers import Slices
from .reading import Guard, Reliable, optional
from .zarr_source import is_url, open_node

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def open_xarray(options: DataOptions, guard: Guard) -> Source:
    """Return the source whose features are the variables of a dataset; without names, all numeric data variables."""
    optional("xarray", "xarray", options.path)
    return source_in(XarrayDataset(options.path, _handle(options), guard), options)


@dataclass(frozen=True)
class Handle:
    """How a dataset is opened; each process that reads opens it once."""

    path: str
    arguments: str = field(repr=False)  # of xarray.open_dataset, as JSON: they are hashed
    token: str  # of one opening: what has been written anew under the same name is opened anew

    def opened(self, **decoding: bool) -> Any:
        """Return the dataset, its values not yet read and its times not decoded."""
        xarray = optional("xarray", "xarray", self.path)
        return xarray.open_dataset(
            self.path, chunks=None, cache=False, decode_times=False, **decoding, **json.loads(self.arguments)
        )


@lru_cache(maxsize=8)
def _shared(handle: Handle) -> Any:
    """Return the decoded dataset of this process; xarray locks what is not safe to read from several threads."""
    return handle.opened()


def _handle(options: DataOptions) -> Handle:
    path, arguments = options.path, _arguments(options)
    return Handle(path if is_url(path) else str(Path(path).absolute()), json.dumps(arguments), uuid4().hex)


def _arguments(options: DataOptions) -> dict[str, Any]:
    if is_url(options.path) or Path(options.path).is_dir():
        node = open_node(options)
        if not isinstance(node, zarr.Group):
            raise DataError(f"{options.path} is a zarr array, not a group of variables: set data.format to zarr")
        consolidated = node.metadata.consolidated_metadata is not None
        return {"engine": "zarr", "consolidated": consolidated, "storage_options": options.storage_options or None}
    with open(options.path, "rb") as file:
        is_hdf5 = file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE
    if is_hdf5:
        optional("h5netcdf", "xarray", options.path)
    return {"engine": "h5netcdf" if is_hdf5 else None}  # else as xarray finds: SciPy for classic netCDF


@dataclass(frozen=True)
class XarrayDataset:
    """The variables of a dataset that xarray opens."""

    path: str
    handle: Handle
    guard: Guard
    nouns: ClassVar = ("variable", "dataset")

    def names(self) -> list[str]:
        return [_described(name, variable) for name, variable in _shared(self.handle).data_vars.items()]

    def default(self, besides: set[str | None]) -> dict[str, Any]:
        """Return all numeric data variables but the bounds of coordinates; raise DataError unless their axes agree."""
        variables = self._data_variables(besides)
        if len({variable.dims for variable in variables.values()}) != 1:
            listed = ", ".join(_described(name, variable) for name, variable in variables.items())
            raise DataError(f"{self.path}: name variables of the same axes in data.arrays; the dataset holds {listed}")
        return {"arrays": tuple(sorted(variables))}  # a zarr group need not list them in one order

    def _data_variables(self, besides: set[str | None]) -> Mapping[str, Any]:
        dataset = _shared(self.handle)
        bounds = {one.attrs.get("bounds") or one.encoding.get("bounds") for one in dataset.variables.values()}
        return {
            str(name): variable
            for name, variable in dataset.data_vars.items()
            if name not in besides | bounds and variable.ndim > 0 and variable.dtype.kind in "iufb"
        }

    def member(self, name: str) -> Member | None:
        variable = _shared(self.handle).variables.get(name)
        if variable is None:
            return None
        reader = XarrayReader(self.handle, name, tuple(variable.shape), np.dtype(variable.dtype))
        dims = tuple(str(dim) for dim in variable.dims)
        return Member(Reliable(reader, f"{self.path}/{name}", self.guard), _stored_chunks(variable), dims)

    def coordinate(self, name: str, beside: str) -> Coordinate | None:
        with self.handle.opened(decode_cf=False) as raw:
            variable = raw.variables.get(name)
            if variable is None or variable.dims != (name,) or variable.size > LARGEST_COORDINATE:
                return None
            values = np.asarray(variable.values)
            return Coordinate(
                values.astype(str) if values.dtype.kind in "OT" else values, plain_attributes(variable.attrs)
            )


@dataclass(frozen=True)
class XarrayReader:
    """A variable of a dataset, decoded where it is read; where values are missing, it is NaN."""

    handle: Handle
    variable: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        return np.asarray(_shared(self.handle).variables[self.variable][slices].values, self.dtype)


def _described(name: object, variable: Any) -> str:
    return f"{name} ({', '.join(str(dim) for dim in variable.dims)})"


def _stored_chunks(variable: Any) -> tuple[int, ...] | None:
    """Return the chunks, or whole shards, that a file or store holds the variable in; None where it has none."""
    found = variable.encoding.get("shards") or variable.encoding.get("chunksizes") or variable.encoding.get("chunks")
    return tuple(int(size) for size in found) if found and len(found) == variable.ndim else None
