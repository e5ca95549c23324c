"""Files of a table on any file system that fsspec knows: found in natural order, read by range, errors in one line."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from ..errors import ConfigurationError, DataError

_TRANSIENT = {
    *(errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.EPIPE, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH),
}
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class StoredFile:
    """A file and the file system that holds it."""

    system: Any  # fsspec's AbstractFileSystem: untyped, and picklable
    path: str  # as the file system calls it
    size: int  # bytes when it was found

    @property
    def is_local(self) -> bool:
        return isinstance(self.system, LocalFileSystem)

    @property
    def name(self) -> str:
        """What a person calls it: a path, or a URL where it is remote."""
        return self.path if self.is_local else str(self.system.unstrip_protocol(self.path))

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes [start:stop] in one request; raise DataError where the file no longer has them."""
        data: bytes = self.system.cat_file(self.path, start=start, end=stop) if stop > start else b""
        if len(data) != stop - start:
            raise DataError(
                f"{self.name} gave {len(data)} bytes where {stop - start} were asked for: "
                "it has changed since it was opened, or its server ignores byte ranges"
            )
        return data


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Raise DataError that names the file for what is wrong with it; errors that may pass stay as they are."""
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        cause = f": {_one_line(error.__cause__)}" if error.__cause__ else ""
        raise DataError(f"{name} does not exist{cause}") from None
    except OSError as error:
        if isinstance(error, ConnectionError | TimeoutError) or error.errno in _TRANSIENT:
            raise
        raise DataError(f"{name} cannot be read: {error.strerror or _one_line(error)}") from None
    except (ValueError, NotImplementedError) as error:  # pyarrow's errors of format are of these classes
        raise DataError(f"{name} cannot be read: {_one_line(error)}") from None


def find_files(path: str, suffixes: tuple[str, ...], storage_options: Mapping[str, Any]) -> tuple[StoredFile, ...]:
    """Return the file at a path or URL, those of a glob, or those of a suffix below a directory, in natural order.

    Names that begin with a dot or an underscore are no data (_SUCCESS, _metadata, .part.crc) and are skipped below a
    directory. Raise DataError where there is nothing, ConfigurationError where a package is missing.
    """
    system, root = _file_system(path, storage_options)
    with reading(path):
        found = [info for match in _matches(system, root) for info in _below(system, match, suffixes)]
    if not found:
        raise DataError(f"{path} holds no file that ends in {' or '.join(suffixes[:2])}: correct data.path")
    if any(info["size"] is None for info in found):
        raise DataError(f"{path} is on a server that does not tell its size: copy it to a disk or an object store")
    files = {info["name"]: StoredFile(system, info["name"], int(info["size"])) for info in found}
    return tuple(files[name] for name in sorted(files, key=_natural))


def _file_system(path: str, storage_options: Mapping[str, Any]) -> tuple[Any, str]:
    try:
        system, root = fsspec.url_to_fs(path, **storage_options)
    except ImportError as error:
        missing = error if error.name else error.__cause__
        package = getattr(missing, "name", None) or get_protocol(path)
        raise ConfigurationError(
            f"{get_protocol(path)}:// paths need the package {package}: pip install {package}"
        ) from None
    except TypeError as error:
        raise ConfigurationError(f"data.storage_options do not suit {path}: {_one_line(error)}") from None
    except ValueError as error:
        raise DataError(f"{path} cannot be opened: {_one_line(error)}") from None
    return system, str(root)


def _matches(system: Any, root: str) -> list[dict[str, Any]]:
    """Return fsspec's description of what is at a path, or of what a glob matches."""
    try:
        return [system.info(root)]
    except FileNotFoundError:
        if not _MAGIC.search(root):
            raise
        return list(system.glob(root, detail=True).values())


def _below(system: Any, info: dict[str, Any], suffixes: tuple[str, ...]) -> list[dict[str, Any]]:
    if info["type"] != "directory":
        return [info]
    top = info["name"].rstrip("/")
    found = system.find(top, detail=True)
    return [one for name, one in found.items() if _is_data(name[len(top) :], suffixes)]


def _is_data(name: str, suffixes: tuple[str, ...]) -> bool:
    hidden = any(part.startswith((".", "_")) for part in name.split("/"))
    return not hidden and name.lower().endswith(suffixes)


def _natural(name: str) -> list[str | int]:
    """Return a key that puts part.9 before part.10; texts and numbers alternate in it."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
