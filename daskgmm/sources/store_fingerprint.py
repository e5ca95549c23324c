"""Proof at each read that a zarr store is the one that was opened: zarr reads chunks of a store that is gone, or that
this machine does not see, as fill values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from socket import gethostname
from typing import Any

import zarr
from zarr.abc.store import Store

from ..errors import DataError
from ..filesystem.retry import is_denied, is_transient
from ..filesystem.zarr_internals import read_key
from .readable import Readable, Slices, Wrapped

_METADATA_KEYS = {2: (".zarray", ".zattrs"), 3: ("zarr.json",)}  # of an array, by the format of zarr

Fingerprint = Mapping[str, str | None]  # digest of what the store holds under a key, None where it holds nothing


def refuse_changes(reader: Readable, stored: zarr.Array[Any], name: str) -> Unchanged:
    """Return the reader of a stored array with the array's metadata compared at each read with those of now."""
    keys = (f"{stored.path}/{key}".lstrip("/") for key in _METADATA_KEYS[stored.metadata.zarr_format])
    return Unchanged(reader, stored.store, name, _fingerprint(stored.store, keys))


@dataclass(frozen=True, eq=False)
class Unchanged(Wrapped):
    """An array in a zarr store, whose reads fail once the store no longer holds the metadata of its opening."""

    array: Readable
    store: Store
    name: str  # what a message calls it
    fingerprint: Fingerprint

    def __getitem__(self, slices: Slices) -> Any:
        try:
            values = self.array[slices]
        except Exception as error:  # stores and codecs raise errors of many classes
            if not (is_transient(error) or is_denied(error)):
                self._check()
            raise
        self._check()  # after the read: a store that was gone during the read is gone now
        return values

    def _check(self) -> None:
        found = _fingerprint(self.store, self.fingerprint)
        for key, digest in self.fingerprint.items():
            if found[key] != digest:
                what = "is not there" if found[key] is None else "is not what it was when the job began"
                raise DataError(
                    f"{self.name} cannot be read on {gethostname()}: {key} {what}; let every machine that computes see "
                    "the same store (on a file system that all share, or by a URL), and leave it as it is meanwhile"
                )


def _fingerprint(store: Store, keys: Iterable[str]) -> Fingerprint:
    return {key: _digest(store, key) for key in keys}


def _digest(store: Store, key: str) -> str | None:
    value = read_key(store, key)
    return None if value is None else sha256(value).hexdigest()
