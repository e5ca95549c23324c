"""Truncated chunks that zarr would take for others: it reads an empty shard as one never written, and numcodecs hands
Blosc (zarr's default in format 2) no length, so that the decoder reads past the end (zarr-developers/numcodecs#228).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import zarr
from zarr.abc.store import ByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

_HEADER = 16  # bytes of a Blosc buffer; the last four are the length of header and data
_METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}


def checked(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return the array with the length of its chunks checked when they are read."""
    store = CheckedStore(array.store, [array.path] if is_blosc(array) else [])
    return zarr.open_array(store, path=array.path, mode="r", zarr_format=array.metadata.zarr_format)


def is_blosc(array: zarr.Array[Any]) -> bool:
    """Return whether each chunk is one Blosc buffer; a shard has an index of its parts."""
    return array.shards is None and type(next(iter(array.compressors[-1:]), None)).__name__ in {"Blosc", "BloscCodec"}


class CheckedStore(WrapperStore[Store]):
    """A store that refuses chunks that are empty, or shorter than asked for or than a Blosc header says."""

    def __init__(self, store: Store, blosc: Iterable[str]) -> None:
        """Check the Blosc headers of the arrays at the paths `blosc`."""
        super().__init__(store)
        self._blosc = tuple(f"{path}/" if path else "" for path in blosc)

    def _with_store(self, store: Store) -> CheckedStore:
        return CheckedStore(store, [prefix.rstrip("/") for prefix in self._blosc])

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return what the key holds; raise ValueError where it is truncated."""
        value = await super().get(key, prototype, byte_range)
        if value is not None and key.rpartition("/")[-1] not in _METADATA:
            expected = self._expected_length(key, value, byte_range)
            if len(value) < expected:
                raise ValueError(f"{key} is truncated: {len(value)} of at least {expected} bytes are there")
        return value

    def _expected_length(self, key: str, value: Buffer, byte_range: ByteRequest | None) -> int:
        if isinstance(byte_range, RangeByteRequest):
            return byte_range.end - byte_range.start
        if byte_range is not None or not key.startswith(self._blosc):
            return 1
        return int.from_bytes(value[_HEADER - 4 : _HEADER].to_bytes(), "little") if len(value) >= _HEADER else _HEADER
