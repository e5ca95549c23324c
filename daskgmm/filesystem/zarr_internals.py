"""What sources and outputs need of zarr that is not documented: all of it is here, each with a test."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import zarr
from zarr.abc.store import Store
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import WrapperStore

__all__ = ["Buffer", "BufferPrototype", "StoreWrapper", "chunk_key", "is_consolidated", "list_keys", "read_key"]


class StoreWrapper(WrapperStore[Store]):
    """A store around another, whose copies (read only, or as a context) are made by `wrap`."""

    @abstractmethod
    def wrap(self, store: Store) -> StoreWrapper:
        """Return the same wrapper around another store."""

    def with_read_only(self, read_only: bool = False) -> StoreWrapper:
        return self.wrap(self._store.with_read_only(read_only))

    def __enter__(self) -> StoreWrapper:
        return self.wrap(self._store.__enter__())


def read_key(store: Store, key: str) -> bytes | None:
    """Return a store's value of a key, None if it has none."""
    value = sync(store.get(key, default_buffer_prototype()))
    return None if value is None else value.to_bytes()


def list_keys(store: Store, prefix: str) -> set[str]:
    """Return the keys of a store that begin with the prefix."""

    async def collect() -> set[str]:
        return {key async for key in store.list_prefix(prefix)}

    return sync(collect())


def chunk_key(array: zarr.Array[Any], index: tuple[int, ...]) -> str:
    """Return the key of a chunk (of a shard, if there are any) within its array, by its index along each axis."""
    return array.metadata.encode_chunk_key(index)


def is_consolidated(group: zarr.Group) -> bool:
    """Return whether the metadata of a group and of all that is in it were read at once."""
    return group.metadata.consolidated_metadata is not None
