"""zarr groups and arrays, on disk or behind a URL."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from json import JSONDecodeError
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import zarr
from zarr.storage import FsspecStore

from ..errors import DataError
from ..filesystem.location import check_file_system, is_url
from ..filesystem.zarr_internals import chunk_key
from .anndata import ENCODING, check_dense, default_of_anndata
from .base import Coordinate, Source, plain_attributes
from .cf_decoding import decode
from .container import MAX_COORDINATE, Member, source_in, source_of
from .default_rows import Variable, default_rows, find_coordinate_names
from .guarded import Guard, Reliable
from .ome_zarr import multiscale_of
from .readable import Readable, Slices
from .source_format import OF_CONTAINERS, SourceFormat
from .store_fingerprint import refuse_changes
from .zarr_checked_store import MissingChunks, absent_chunks, check_absent, check_chunks

if TYPE_CHECKING:
    from .options import DataOptions


def open_zarr(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the source in a zarr group or array of format 2 or 3; its stored chunks are whole shards."""
    node = open_node(options.path, options.storage_options)
    if isinstance(node, zarr.Group):
        group = ZarrGroup(options.path.rstrip("/"), node, guard, options.format == "zarr", options.missing_chunks)
        return source_in(group, options, weighted)
    if options.array is not None or options.arrays is not None:
        raise DataError(f"{options.path} is a zarr array, not a group: leave data.array and data.arrays out")
    if (weighted and (options.weights or options.labels)) or options.mask_name is not None:
        raise DataError(
            f"{options.path} is a single zarr array: data.weights, labels and mask need a group that holds all"
        )
    member = _member(node, options.path, guard, options.format == "zarr", options.missing_chunks)
    return source_of(member, options.path, options.feature_axis)


def open_node(path: str, storage_options: dict[str, Any]) -> zarr.Group | zarr.Array[Any]:
    """Open the zarr at a path or URL; raise DataError if it is none, or its file system is not installed."""
    if is_url(path):
        check_file_system(path)
    try:
        return zarr.open(_store(path, storage_options), mode="r")
    except JSONDecodeError as error:
        raise DataError(
            f"data.path {path!r}: its metadata (zarr.json; .zarray and .zattrs in format 2) are damaged: {error}"
        ) from None
    except FileNotFoundError:  # also where a directory or bucket is there, but no zarr in it
        if path.lower().endswith(".zip"):
            raise DataError(f"data.path {path!r} is packed: name it zip://::file://{Path(path).absolute()}") from None
        raise DataError(f"data.path {path!r} is not there, or holds no zarr array or group") from None


def _store(path: str, storage_options: dict[str, Any]) -> FsspecStore | str:
    """Return the store of fsspec for a URL, also where zarr has one of its own under that name (memory://)."""
    if is_url(path):
        return FsspecStore.from_url(path, storage_options=storage_options, read_only=True)
    return str(Path(path).absolute())


@dataclass(frozen=True, eq=False)
class ZarrGroup:
    """The arrays of a zarr group; consolidated metadata are used where they are."""

    path: str
    group: zarr.Group
    guard: Guard
    raw: bool  # values are taken as they are stored, though attributes say how to decode them
    missing: MissingChunks | None  # what becomes of chunks that are not there; None: as the store says
    nouns: ClassVar = ("array", "group")

    def names(self) -> list[str]:
        nodes = self.group.members(max_depth=None)  # also of groups in the group
        return sorted(name for name, node in nodes if isinstance(node, zarr.Array))

    def default(self, besides: set[str | None], feature_axis: int | str | None) -> dict[str, Any]:
        """Return the arrays that are no coordinates, as xarray would take them; or what AnnData or OME-Zarr say."""
        if self.group.attrs.get(ENCODING) == "anndata":
            return default_of_anndata(self.names())
        image = multiscale_of(self.group.attrs)
        if image is not None:
            return image.rows() if feature_axis is None else {"array": image.levels[0]}
        arrays = dict(self.group.arrays())
        coordinates = find_coordinate_names(self.group.attrs).union(
            *(find_coordinate_names(array.attrs) for array in arrays.values())
        )
        variables = {
            name: Variable(array.shape, _dims(array))
            for name, array in arrays.items()
            if name not in besides | coordinates
            and _dims(array) != (name,)
            and array.ndim
            and array.dtype.kind in "iufb"
        }
        return default_rows(variables, self._kind_of_coordinate, self.path, feature_axis)

    def _kind_of_coordinate(self, name: str) -> str | None:
        found = self.group.get(name)
        return found.dtype.kind if isinstance(found, zarr.Array) and found.ndim == 1 else None

    def member(self, name: str) -> Member | None:
        found = self.group.get(name)
        if isinstance(found, zarr.Group):
            check_dense(found.attrs.get(ENCODING), f"{self.path}/{name}")
        if not isinstance(found, zarr.Array):
            return None
        member = _member(found, f"{self.path}/{name}", self.guard, self.raw, self.missing)
        image = multiscale_of(self.group.attrs)
        if image is None or member.dims is not None or name not in image.levels or len(image.dims) != found.ndim:
            return member
        return replace(member, dims=image.dims)

    def coordinate(self, name: str, beside: str) -> Coordinate | None:
        path = "/".join((*beside.split("/")[:-1], name))
        found = self.group.get(path)
        if not isinstance(found, zarr.Array) or found.ndim != 1 or found.size > MAX_COORDINATE or path == beside:
            return None
        values = np.asarray(found[...])
        if values.dtype.kind in "OT":  # strings of any length
            values = np.array([str(value) for value in values])
        return Coordinate(values, plain_attributes({k: v for k, v in found.attrs.items() if k != _V2_DIMS}))


def _member(array: zarr.Array[Any], name: str, guard: Guard, raw: bool, missing: MissingChunks | None) -> Member:
    absent = absent_chunks(array)
    check_absent(array, absent, missing, name)
    array = check_chunks(array, absent)
    readable: Readable = Reliable(refuse_changes(array, array, name), name, guard, partial(_find_damaged_chunk, array))
    if not raw:
        readable = decode(readable, array.attrs, name, _fill(array))
    return Member(readable, array.shards or array.chunks, _dims(array), _notices(array, name, raw))


def _is_numeric(array: zarr.Array[Any]) -> bool:
    return array.ndim > 0 and array.dtype.kind in "iufb"


def _fill(array: zarr.Array[Any]) -> Any:
    """Return the missing value that xarray keeps as the fill value in format 2, or None.

    Others leave 0 there, which is thus a missing value only of packed numbers, as the CF conventions know them.
    """
    is_meant = bool(array.fill_value) or not {"scale_factor", "add_offset"}.isdisjoint(array.attrs)
    return array.fill_value if _has_v2_fill(array) and is_meant else None


def _notices(array: zarr.Array[Any], name: str, raw: bool) -> tuple[str, ...]:
    """Return the notice on a fill value that may or may not mean a missing value."""
    if raw or not _has_v2_fill(array) or _fill(array) is not None or array.dtype.kind not in "iuf":
        return ()
    return (f"{name}: 0 is its fill value, and is data here; xarray takes it for missing, as data.mask: 0 does",)


def _has_v2_fill(array: zarr.Array[Any]) -> bool:
    has_fill = array.metadata.zarr_format == 2 and array.metadata.fill_value is not None
    return has_fill and _V2_DIMS in array.attrs


_V2_DIMS = "_ARRAY_DIMENSIONS"  # where xarray and others put the names of axes in zarr format 2


def _dims(array: zarr.Array[Any]) -> tuple[str, ...] | None:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get(_V2_DIMS)
    if not isinstance(names, list | tuple) or len(names) != array.ndim:
        return None
    return tuple(names) if all(isinstance(name, str) for name in names) else None


def _find_damaged_chunk(array: zarr.Array[Any], slices: Slices) -> str:
    """Return the key of the first chunk (or shard) in the slices that cannot be read, as it is called in the store."""
    sizes = array.shards or array.chunks
    bounds = [one.indices(n)[:2] for one, n in zip(slices, array.shape, strict=False)]
    for index in product(*(range(a // size, ceil(b / size)) for (a, b), size in zip(bounds, sizes, strict=False))):
        part = tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, sizes, strict=False))
        try:
            array[part]
        except Exception:  # of any class, as at the first attempt
            whole = (*index, *[0] * (array.ndim - len(index)))
            return f"chunk {array.path}/{chunk_key(array, whole)}".replace(" /", " ")
    return ""


ZARR = SourceFormat("zarr", open_zarr, (".zarr",), takes=OF_CONTAINERS | {"missing_chunks"}, from_url=True)
