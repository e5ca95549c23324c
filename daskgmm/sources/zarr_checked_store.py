"""Chunks that zarr would take for others: it reads one that is gone, and an empty shard, as one never written, and
numcodecs hands Blosc (zarr's default in format 2) no length, so that the decoder reads past the end of a truncated one
(zarr-developers/numcodecs#228).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import product
from math import ceil
from typing import Any, Literal

import zarr
from zarr.abc.store import ByteRequest, RangeByteRequest, Store

from ..errors import DataError
from ..filesystem.retry import is_transient
from ..filesystem.zarr_internals import Buffer, BufferPrototype, StoreWrapper, chunk_key, list_keys

_LOGGER = logging.getLogger(__name__)

MissingChunks = Literal["fill", "error"]
Absent = frozenset[str]  # keys of the chunks that a store lacks
_HEADER = 16  # bytes of a Blosc buffer; the last four are the length of header and data
_METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}


def check_chunks(array: zarr.Array[Any], absent: Absent | None) -> zarr.Array[Any]:
    """Return the array with its chunks checked when they are read: `absent` are those that were never there."""
    store = CheckedStore(array.store, [array.path] if is_blosc(array) else [], {array.path: absent})
    return zarr.open_array(store, path=array.path, mode="r", zarr_format=array.metadata.zarr_format)


def is_blosc(array: zarr.Array[Any]) -> bool:
    """Return whether each chunk is one Blosc buffer; a shard has an index of its parts."""
    return array.shards is None and type(next(iter(array.compressors[-1:]), None)).__name__ in {"Blosc", "BloscCodec"}


def absent_chunks(array: zarr.Array[Any]) -> Absent | None:
    """Return the keys of the chunks (or shards) that the store lacks, by one listing; None where it cannot list."""
    prefix = _prefix(array.path)
    try:
        found = list_keys(array.store, prefix)
    except Exception as error:  # stores raise errors of many classes; the right to read need not be one to list
        if is_transient(error):
            raise
        _LOGGER.debug("chunks of %s were not listed", array.path, exc_info=True)
        return None
    if found.isdisjoint(f"{prefix}{name}" for name in _METADATA):
        return None  # what is surely there is not listed
    sizes = array.shards or array.chunks
    indices = product(*(range(ceil(n / size)) for n, size in zip(array.shape, sizes, strict=True)))
    return frozenset(f"{prefix}{chunk_key(array, index)}" for index in indices) - found


def check_absent(array: zarr.Array[Any], absent: Absent | None, missing: MissingChunks | None, name: str) -> None:
    """Raise DataError if chunks are absent that are not to be filled: as `missing` says, or else the store."""
    is_filled = array.metadata.fill_value is not None if missing is None else missing == "fill"
    if is_filled or not absent:
        return
    why = "the store names no fill value" if missing is None else "data.missing_chunks is error"
    raise DataError(
        f"{name}: {len(absent)} chunks are not there, the first {min(absent)}, and {why}: restore them, or set "
        f"data.missing_chunks: fill to read them as {array.fill_value or 0}, which zarr need not write"
    )


def _prefix(path: str) -> str:
    return f"{path}/" if path else ""


class CheckedStore(StoreWrapper):
    """A store that refuses chunks that are gone or empty, or shorter than asked for or than a Blosc header says."""

    def __init__(self, store: Store, blosc: Iterable[str], absent: Mapping[str, Absent | None]) -> None:
        """Check the Blosc headers of the arrays at the paths `blosc`, and that only `absent` chunks are not there."""
        super().__init__(store)
        self._blosc = tuple(_prefix(path) for path in blosc)
        self._absent = {_prefix(path): keys for path, keys in absent.items() if keys is not None}

    def wrap(self, store: Store) -> CheckedStore:
        """Return another store with the same checks."""
        absent = {prefix.rstrip("/"): keys for prefix, keys in self._absent.items()}
        return CheckedStore(store, [prefix.rstrip("/") for prefix in self._blosc], absent)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return the value of a key; raise ValueError if it is truncated, or has gone since the job began."""
        value = await super().get(key, prototype, byte_range)
        is_chunk = key.rpartition("/")[-1] not in _METADATA
        if value is None and is_chunk and self._was_there(key):
            raise ValueError(f"{key} was there when the job began, and is gone")
        if value is not None and is_chunk:
            expected = self._expected_length(key, value, byte_range)
            if len(value) < expected:
                raise ValueError(f"{key} is truncated: {len(value)} of at least {expected} bytes are there")
        return value

    def _was_there(self, key: str) -> bool:
        return any(key.startswith(prefix) and key not in keys for prefix, keys in self._absent.items())

    def _expected_length(self, key: str, value: Buffer, byte_range: ByteRequest | None) -> int:
        if isinstance(byte_range, RangeByteRequest):
            return byte_range.end - byte_range.start
        if byte_range is not None or not key.startswith(self._blosc):
            return 1
        return int.from_bytes(value[_HEADER - 4 : _HEADER].to_bytes(), "little") if len(value) >= _HEADER else _HEADER
