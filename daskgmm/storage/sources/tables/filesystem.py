"""Files of a table on any file system that fsspec knows: found in natural order, read by range, errors in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ....errors import DataError
from ...faults import denial, is_denied, is_transient
from ...places import check_file_system, is_url
from ..naming import natural

_MAGIC = re.compile(r"[*?\[]")


class ByteFile(Protocol):
    """A file that is read by ranges of bytes."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes [start:stop]."""


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
        answer = _answer(error)
        if answer is None:
            raise DataError(f"{name} does not exist") from None
        _raise_refusal(name, answer)
        raise DataError(f"{name} cannot be opened: {_one_line(answer)}") from None
    except OSError as error:
        _raise_refusal(name, error)
        raise DataError(f"{name} cannot be read: {error.strerror or _one_line(error)}") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{name} is not UTF-8 text: set data.encoding, such as latin-1 or cp1252, or convert it"
        ) from None
    except (ValueError, NotImplementedError) as error:  # pyarrow's errors of format are of these classes
        raise DataError(f"{name} cannot be read: {_one_line(error)}") from None


def _answer(error: FileNotFoundError) -> Exception | None:
    """Return what a server answered, which fsspec tells as a missing file whatever it was."""
    cause = error.__cause__
    return cause if isinstance(cause, Exception) and not isinstance(cause, LookupError) else None


def _raise_refusal(name: str, error: Exception) -> None:
    """Raise an error that may pass as it is, and DataError with the remedy for what is not permitted."""
    if is_transient(error):
        raise error
    if is_denied(error):
        raise DataError(denial(name, "read", error)) from None


def find_files(path: str, suffixes: tuple[str, ...], storage_options: Mapping[str, Any]) -> tuple[StoredFile, ...]:
    """Return the file at a path or URL, those of a glob, or those of a suffix below a directory, in natural order.

    Names that begin with a dot or an underscore are no data (_SUCCESS, _metadata, .part.crc) and are skipped below a
    directory. Raise DataError where there is nothing, ConfigurationError where a package is missing.
    """
    found = _found(path, suffixes, storage_options)
    if not found:
        raise DataError(f"{path} has no files: names that end in {' or '.join(suffixes[:2])} were looked for")
    if any(file.size < 0 for file in found):
        raise DataError(f"{path} is on a server that does not tell its size: copy it to a disk or an object store")
    return tuple(sorted(found, key=lambda file: natural(file.path)))


def _found(path: str, suffixes: tuple[str, ...], storage_options: Mapping[str, Any]) -> set[StoredFile]:
    if is_url(path):
        check_file_system(path)
    try:
        with reading(path):
            system, root = fsspec.url_to_fs(path, **storage_options)
            found = [info for match in _matches(system, str(root)) for info in _below(system, match, suffixes)]
    except (DataError, OSError):
        raise
    except Exception as error:  # file systems raise errors of many classes of their own
        _raise_refusal(path, error)
        raise DataError(f"{path} cannot be opened: {_one_line(error)}") from None
    return {StoredFile(system, info["name"], -1 if info["size"] is None else int(info["size"])) for info in found}


def _matches(system: Any, root: str) -> list[dict[str, Any]]:
    """Return fsspec's description of what is at a path, or of what a glob matches."""
    try:
        return [system.info(root)]
    except FileNotFoundError as error:
        answer = _answer(error) or error
        if not _MAGIC.search(root) or is_transient(answer) or is_denied(answer):
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


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
