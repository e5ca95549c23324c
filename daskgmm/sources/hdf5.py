"""HDF5 files: each read opens the file where it runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .anndata import ENCODING as _ENCODING
from .anndata import axes_of_anndata, check_dense, default_of_anndata
from .base import Coordinate, Source
from .cf_decoding import decode, default_fill
from .container import MAX_COORDINATE, Member, source_in
from .guarded import Guard, Reliable, optional
from .readable import OfShape, Slices
from .source_format import OF_CONTAINERS, SourceFormat

if TYPE_CHECKING:
    from .options import DataOptions


_FIRST_PLUGIN = 32_000  # numbers from here on are of filters that HDF5 itself has not


def open_hdf5(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the source in `file.h5::group/dataset`, or in the dataset or datasets that the options name."""
    optional("h5py", "hdf5", options.path)
    path, _, inside = options.path.partition("::")
    if inside and (options.array is not None or options.arrays is not None):
        raise DataError(f"data.path {options.path!r} names a dataset: leave data.array and data.arrays out")
    file = HDF5File(path, guard)
    return source_in(file, replace(options, array=inside) if inside else options, weighted)


def attribute_of(path: str, name: str, key: str) -> Any:
    """Return an attribute of a dataset, group or the file ("/"), texts as such; None where it is not there."""
    with _h5py(path).File(path, "r") as file:
        value = file[name].attrs.get(key) if name in file else None
    return value.decode() if isinstance(value, bytes) else value


def dataset_names(path: str) -> list[str]:
    """Return the names of all datasets of an HDF5 file, those in groups as group/name."""
    h5py = _h5py(path)
    found: list[str] = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            found.append(name)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return sorted(found)


@dataclass(frozen=True)
class HDF5File:
    """The datasets of an HDF5 file."""

    path: str
    guard: Guard
    nouns: ClassVar = ("dataset", "file")

    def default(self, besides: set[str | None], feature_axis: int | str | None) -> dict[str, Any]:
        """Return the only dataset; of AnnData the principal components, or else X."""
        if self._is_anndata():
            return default_of_anndata(self.names())
        others = {name.strip("/") for name in besides if name is not None}
        rows = [name for name in self.names() if name not in others]
        return {"array": rows[0]} if len(rows) == 1 else {}

    def names(self) -> list[str]:
        return dataset_names(self.path)

    def _is_anndata(self) -> bool:
        return self.path.lower().endswith(".h5ad") or attribute_of(self.path, "/", _ENCODING) == "anndata"

    def member(self, name: str) -> Member | None:
        h5py = _h5py(self.path)
        with h5py.File(self.path, "r") as file:
            dataset = file.get(name)
            if isinstance(dataset, h5py.Group):
                check_dense(dataset.attrs.get(_ENCODING), f"{self.path}::{name}")
            if not isinstance(dataset, h5py.Dataset):
                return None
            called = f"{self.path}::{name}"
            _check_filters(h5py, dataset, called)
            _check_sources(h5py, dataset, self.path, called)
            dataset_chunks = dataset.chunks
            reader = HDF5Reader(str(Path(self.path).absolute()), name, tuple(dataset.shape or ()), dataset.dtype)
            is_netcdf = "_NCProperties" in file.attrs and "_FillValue" not in dataset.attrs
            fill = default_fill(dataset.dtype) if is_netcdf else None
            reliable = Reliable(reader, called, self.guard)
            array = decode(reliable, dict(dataset.attrs), called, fill)
        dims = axes_of_anndata(name) if self._is_anndata() else None  # axes of plain HDF5 have no names
        return Member(array, dataset_chunks, dims if dims and len(dims) == array.ndim else None)

    def coordinate(self, name: str, beside: str) -> Coordinate | None:
        """Return the names of the cells or genes of AnnData."""
        index = attribute_of(self.path, name, "_index") if name in {"obs", "var"} and self._is_anndata() else None
        with _h5py(self.path).File(self.path, "r") as file:
            found = file.get(f"{name}/{index}") if index is not None else None
            if not isinstance(found, _h5py(self.path).Dataset) or found.ndim != 1 or found.size > MAX_COORDINATE:
                return None
            return Coordinate(found.asstr()[...].astype(str)) if found.dtype.kind in "OS" else None


def _h5py(path: str) -> Any:
    """Return h5py, with the filters of hdf5plugin if it is installed."""
    if find_spec("hdf5plugin") is not None:
        import_module("hdf5plugin")
    return optional("h5py", "hdf5", path)


def _filters(dataset: Any) -> dict[int, str]:
    """Return the number of each filter of a dataset, and its number and name as a message tells them."""
    stored = dataset.id.get_create_plist()
    found = (stored.get_filter(index) for index in range(stored.get_nfilters()))
    return {code: f"{code} {name.decode(errors='replace')}".strip() for code, _, _, name in found}


def _check_filters(h5py: Any, dataset: Any, called: str) -> None:
    """Raise DataError that names a compression of the dataset which is not installed."""
    for code, kind in _filters(dataset).items():
        if not h5py.h5z.filter_avail(code):
            raise DataError(f"{called} is compressed by the HDF5 filter {kind}: pip install hdf5plugin, on workers too")


def _check_sources(h5py: Any, dataset: Any, path: str, called: str) -> None:
    """Raise DataError that names a part of the dataset in another file that is not there: it would be read as fill."""
    if dataset.is_virtual:
        parts = {(source.file_name, source.dset_name) for source in dataset.virtual_sources()}
    else:
        parts = {(os.fsdecode(name), None) for name, _, _ in dataset.external or ()}
    for name, inside in sorted(parts, key=str):
        if name == "." or "%b" in name:  # in the same file; or as many files as there are
            continue
        folders = (os.environ.get("HDF5_VDS_PREFIX", ""), Path(path).absolute().parent, Path.cwd())
        found = next((file for folder in folders if (file := Path(folder) / name).is_file()), None)
        if found is None:
            raise DataError(f"{called} takes values from the file {name}, which is not there: put it next to {path}")
        if inside is not None and not _holds(h5py, found, inside):
            raise DataError(f"{called} takes values from {inside} in {found}, which cannot be read there: restore it")


def _holds(h5py: Any, path: Path, name: str) -> bool:
    """Return whether the file is whole and holds a dataset of that name."""
    try:
        with h5py.File(path, "r") as file:
            return isinstance(file.get(name), h5py.Dataset)
    except OSError:  # truncated, or no HDF5
        return False


@dataclass(frozen=True)
class HDF5Reader(OfShape):
    """A dataset of an HDF5 file, opened for each read: handles cannot be pickled."""

    path: str
    dataset: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        h5py = _h5py(self.path)
        with h5py.File(self.path, "r") as file:
            dataset = file[self.dataset]
            try:
                values: NDArray[Any] = dataset[slices]
            except OSError as error:
                plugins = [kind for code, kind in _filters(dataset).items() if code >= _FIRST_PLUGIN]
                if not plugins:
                    raise
                told = f"its HDF5 filter {', '.join(plugins)} fails: it is damaged, or another hdf5plugin wrote it"
                raise OSError(f"{error}; {told}") from None
        return values


HDF5 = SourceFormat("hdf5", open_hdf5, (".h5", ".hdf5", ".he5", ".h5ad"), takes=OF_CONTAINERS, names_inside=True)
