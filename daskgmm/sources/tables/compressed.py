"""Compressed files: decompressed whole, since they cannot be read from the middle."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import DataError
from .files import StoredFile


def _unzstd(data: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.input_stream(pa.py_buffer(data), compression="zstd").read())


_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
    ".zst": _unzstd,
}
COMPRESSED = tuple(_DECOMPRESS)
"""Suffixes of compressed files that are read."""


@dataclass(frozen=True)
class InMemory:
    """The content of a file, by ranges of bytes."""

    name: str
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes [start:stop]; raise DataError where they are not there."""
        if stop > self.size:
            raise DataError(f"{self.name} has changed since it was opened: start over")
        return self.content[start:stop]


def decompress(file: StoredFile) -> bytes:
    """Return the content of a compressed file; raise DataError where it is damaged or truncated."""
    suffix = next(suffix for suffix in COMPRESSED if file.ends_with((suffix,)))
    data = file.read(0, file.size)
    try:
        return _DECOMPRESS[suffix](data)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{file.name} cannot be decompressed: {' '.join(str(error).split())}") from None
