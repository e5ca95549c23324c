"""Facts and arrays so plain that nothing in them is trusted: JSON, and for each array one file of numbers, checksummed.

zarr reads them too, but it does what metadata say: it allocates their shape, loads codecs by name (one of which
unpickles) and follows links. Here all is compared with what daskgmm writes, and with the size of the file, before that
file is read: what is allocated is never more than what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic_core import from_json

from ...filesystem.location import guard_write, leads_elsewhere, read_file, size_of_file, write_whole, zarr_store
from ...provenance import installed_version
from ..schema import FORMAT_VERSION, ArraySpec

_MAX_HEADER_BYTES = 64 * 2**20  # bytes: the names of a million features
_ARRAY_METADATA = {  # beside the shape: how `_create` has zarr store an array
    "zarr_format": 3,
    "node_type": "array",
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
}
_BYTES, _LITTLE = {"name": "bytes"}, {"name": "bytes", "configuration": {"endian": "little"}}
_CHECKSUM = "checksum"  # the attribute

Facts = Mapping[str, Any]  # that JSON has
Arrays = Mapping[ArraySpec, NDArray[Any]]


def save_plain(path: Path, kind: str, facts: Facts, arrays: Arrays) -> None:
    """Write facts and arrays to a zarr group at `path`, replacing what is there once the new one is complete."""
    attributes = {
        "daskgmm_kind": kind,
        "daskgmm_format": FORMAT_VERSION,
        "daskgmm_version": installed_version("daskgmm"),
        **json.loads(json.dumps(facts)),
    }
    with guard_write(path), write_whole(path) as temporary:
        checksum = {_CHECKSUM: _checksum(attributes, arrays)}
        group = zarr.create_group(**zarr_store(temporary), attributes=attributes | checksum)
        for spec, values in arrays.items():
            _create(group, spec, values)


def check_whole(path: Path, arrays: Arrays) -> None:
    """Raise ValueError unless the facts in a group, and the arrays read from it, are those that were written."""
    attributes = header(path)["attributes"]
    if attributes.pop(_CHECKSUM, None) != _checksum(attributes, arrays):
        raise ValueError("its content and its checksum differ")


def _checksum(attributes: Facts, arrays: Arrays) -> str:
    digest = sha256(json.dumps(attributes, sort_keys=True).encode())
    for spec, values in sorted(arrays.items(), key=lambda item: item[0].name):
        digest.update(f"{spec.name} {spec.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values, dtype=_little(spec)).tobytes())
    return digest.hexdigest()


def _create(group: Any, spec: ArraySpec, values: NDArray[Any]) -> None:
    """Write an array to a zarr group as one chunk of plain numbers."""
    data = np.ascontiguousarray(values, dtype=_little(spec))
    group.create_array(
        spec.name,
        data=data,
        chunks=data.shape,
        compressors=None,
        filters=None,
        fill_value=data.dtype.type(spec.fill_value),
        dimension_names=spec.dims,
        config={"write_empty_chunks": True},
    )


def header(folder: Path, array: str = "") -> dict[str, Any]:
    """Return the zarr.json of a group or of an array in it; raise ValueError where there is none that can be used."""
    document = from_json(header_text(folder, array))
    if not isinstance(document, dict):
        raise ValueError("zarr.json is no JSON object")
    return document


def header_text(folder: Path, array: str = "") -> bytes:
    """Return that zarr.json as it is stored; raise ValueError where it is no file, leads elsewhere or is too large."""
    name = f"{array}/zarr.json".lstrip("/")
    size = _size(folder, name)
    if size > _MAX_HEADER_BYTES:
        raise ValueError(f"{name} has {size:,} bytes, and at most {_MAX_HEADER_BYTES:,} are read")
    return read_file(folder / name)


def declared_shape(folder: Path, spec: ArraySpec) -> tuple[int, ...]:
    """Return the shape of an array of a group; raise ValueError unless its file holds just as many numbers."""
    document = header(folder, spec.name)
    shape = document.get("shape")
    if not isinstance(shape, list) or len(shape) != len(spec.dims) or not all(_is_size(one) for one in shape):
        raise ValueError(f"{spec.name} has the shape {_short(shape)}, expected {len(spec.dims)} sizes above 0")
    stored = {"name": "regular", "configuration": {"chunk_shape": shape}}
    codecs = [_BYTES if np.dtype(spec.dtype).itemsize == 1 else _LITTLE]
    for key, expected in {**_ARRAY_METADATA, "codecs": codecs, "data_type": spec.dtype, "chunk_grid": stored}.items():
        if document.get(key) != expected:
            raise ValueError(f"{spec.name} has {key} {_short(document.get(key))}, expected {_short(expected)}")
    if transformers := document.get("storage_transformers"):
        raise ValueError(f"{spec.name} has storage_transformers {_short(transformers)}, expected none")
    size, needed = _size(folder, _chunk(spec)), prod(shape) * np.dtype(spec.dtype).itemsize
    if size != needed:
        raise ValueError(f"{spec.name} of shape {tuple(shape)} needs {needed:,} bytes, and {size:,} are stored")
    return tuple(shape)


def read_values(folder: Path, spec: ArraySpec, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array of a group that must have the given shape; raise ValueError where it has another one."""
    declared = declared_shape(folder, spec)
    if declared != shape:
        raise ValueError(f"{spec.name} has the shape {declared}, expected {shape}")
    content = read_file(folder / _chunk(spec))
    return np.frombuffer(content, _little(spec)).reshape(shape).astype(spec.dtype)


def _little(spec: ArraySpec) -> np.dtype[Any]:
    return np.dtype(spec.dtype).newbyteorder("<")


def _chunk(spec: ArraySpec) -> str:
    return "/".join([spec.name, "c", *["0"] * len(spec.dims)])


def _size(folder: Path, name: str) -> int:
    """Return the bytes of a file of the folder; raise ValueError unless it is a file and lies there."""
    path = folder / name
    if leads_elsewhere(path, folder):
        raise ValueError(f"{name} is a link that leads out of the folder")
    size = size_of_file(path)
    if size is None:
        raise ValueError(f"{name} is missing, or no file")
    return size


def _is_size(value: object) -> bool:
    return type(value) is int and 0 < value < 2**31


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "..."
