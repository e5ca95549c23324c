"""Checksums of files as they are stored: what was torn, emptied, swapped or removed is not taken for whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b, sha256
from pathlib import Path

from pydantic.dataclasses import dataclass as checked

from ..errors import DataError
from .location import read_file, size_of_file
from .retry import reason, retry


@checked(frozen=True)
class Checksum:
    """The size and digest of a file's bytes."""

    size: int
    digest: str

    @classmethod
    def of(cls, data: bytes) -> Checksum:
        """Return the checksum of the bytes."""
        return cls(len(data), blake2b(data, digest_size=16).hexdigest())


Checksums = dict[str, Checksum | None]  # by path within a folder; None: there must be no file


def fit_together(locate: Callable[[str], Path], checksums: Mapping[str, Checksum | None]) -> bool:
    """Return whether files, by what `locate` makes of their names, are as they were when their checksums were taken."""
    return all(_fits(locate(name), expected) for name, expected in checksums.items())


def _fits(path: Path, expected: Checksum | None) -> bool:
    size = retry(lambda: size_of_file(path))
    if expected is None:
        return size is None and not path.exists()
    return size == expected.size and Checksum.of(retry(lambda: read_file(path))) == expected


def seal(kind: str, content: bytes) -> bytes:
    """Return the bytes of a file that says what it is, and the SHA-256 of its content, in its first line."""
    return f"daskgmm {kind} {sha256(content).hexdigest()}\n".encode() + content


def unseal(kind: str, data: bytes, path: Path) -> bytes:
    """Return the content of a sealed file; raise DataError, naming it, unless all of it is as it was written."""
    _, _, content = data.partition(b"\n")
    if data != seal(kind, content):
        raise DataError(f"{path} is damaged: its content and its checksum differ")
    return content


def read_sealed(kind: str, path: Path) -> bytes:
    """Return the content of the sealed file at `path`; raise DataError where it is damaged or cannot be read."""
    try:
        data = retry(lambda: read_file(path))
    except Exception as error:  # stores raise errors of many classes
        raise DataError(f"{path} cannot be read: {reason(error)}") from None
    return unseal(kind, data, path)
