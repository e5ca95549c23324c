"""Files of a table on any file system that fsspec knows: found in natural order, read by range, errors in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ...errors import DataError
from ...filesystem.location import check_file_system, is_url
from ...filesystem.retry import denial, is_denied, is_transient
from ..file_names import natural
from .table_logs import METADATA_FILE, Log, LoggedTable, files_of_a_table, log_above, log_among, name_of, read_log

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
        return name_of(self.system, self.path)

    def ends_with(self, suffixes: tuple[str, ...]) -> bool:
        """Return whether its name ends in a suffix, in small or capital letters; the query of a URL is no name."""
        name = urlsplit(self.path).path if _is_web(self.system) else self.path
        return name.lower().endswith(suffixes)

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
def guard_read(name: str) -> Iterator[None]:
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


@contextmanager
def guard_open(name: str, kind: str) -> Iterator[None]:
    """As `guard_read`, for a file that may not be of its kind at all."""
    try:
        with guard_read(name):
            yield
    except DataError as error:
        raise DataError(f"{error}; if it is no {kind} file, convert it to parquet") from None


def _answer(error: FileNotFoundError) -> Exception | None:
    """Return the server's answer, which fsspec reports as a missing file whatever it was."""
    cause = error.__cause__
    return cause if isinstance(cause, Exception) and not isinstance(cause, LookupError) else None


def _raise_refusal(name: str, error: Exception) -> None:
    """Raise an error that may pass as it is, and DataError with the remedy for what is not permitted."""
    if is_transient(error):
        raise error
    if is_denied(error):
        raise DataError(denial(name, "read", error)) from None


@dataclass(frozen=True)
class FoundFiles:
    """The files of a table, and what a person should know of those that are not read."""

    files: tuple[StoredFile, ...]
    others: tuple[str, ...] = ()  # below the folder, but of no suffix that is looked for
    columns: tuple[str, ...] = ()  # that the log of a table names


def find_files(path: str, suffixes: tuple[str, ...], storage_options: Mapping[str, Any]) -> FoundFiles:
    """Return the file at a path or URL, those of a glob, or those of a suffix below a directory, in natural order.

    Names that begin with a dot or an underscore are no data (_SUCCESS, _metadata, .part.crc) and are skipped below a
    directory and by a glob, unless it begins so. Of a table with a log these are the files that the log says. Raise
    DataError where there is nothing, ConfigurationError where a package is missing.
    """
    with _file_system(path, storage_options) as (system, root):
        found = _find_files(system, root, path, suffixes)
    if not found.files:
        raise DataError(f"{path} has no files: names that end in {' or '.join(suffixes[:2])} were looked for")
    if any(file.size < 0 for file in found.files):
        raise DataError(f"{path} is on a server that does not tell its size: copy it to a disk or an object store")
    return found


@contextmanager
def _file_system(path: str, storage_options: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """Give the file system of a path or URL, and what it calls it; tell its errors in one line."""
    if is_url(path):
        check_file_system(path)
    try:
        with guard_read(path):
            system, root = fsspec.url_to_fs(path, **storage_options)
            yield system, str(root).rstrip("/")
    except (DataError, OSError):
        raise
    except Exception as error:  # file systems raise errors of many classes of their own
        _raise_refusal(path, error)
        raise DataError(f"{path} cannot be opened: {_one_line(error)}") from None


def find_names(path: str, storage_options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the files below a folder, or of those that a glob matches or that are below its matches.

    Names that begin with a dot or an underscore are left out; those of a zarr store are one, that of its zarr.json or
    .zgroup. Of a web server, which lists nothing, these are none. Raise DataError where there is nothing.
    """
    with _file_system(path, storage_options) as (system, root):
        for name in _ZARR:
            with suppress(FileNotFoundError, NotADirectoryError):
                return (str(system.info(f"{root}/{name}")["name"]),)
        if _is_web(system):
            return ()
        matches, _ = _matches(system, root)
        listed = {info["name"].rstrip("/"): _list_files(system, info) for info in matches}
        return tuple(_visible(root, listed))


PIPE = "{} is a pipe or a device, which cannot be read twice: write it to a file"
_ZARR = ("zarr.json", ".zarray", ".zgroup", ".zmetadata")


def _find_files(system: Any, root: str, path: str, suffixes: tuple[str, ...]) -> FoundFiles:
    if root.endswith(METADATA_FILE):
        table = root.rpartition("/")[0].rpartition("/")[0]
        return _list_logged(system, read_log(system, Log(table, "Iceberg"), root))
    matches, is_glob = _matches(system, root)
    if any(info["type"] == "other" for info in matches):
        raise DataError(PIPE.format(path))
    if not is_glob and matches[0]["type"] != "directory":
        return FoundFiles(_describe_stored(system, matches))
    listed = {info["name"].rstrip("/"): _list_files(system, info) for info in matches}
    log = _log_of(system, path, listed, is_glob)
    return (
        _list_logged(system, read_log(system, log)) if log is not None else _data(system, root, path, listed, suffixes)
    )


def _log_of(system: Any, path: str, listed: Mapping[str, list[dict[str, Any]]], is_glob: bool) -> Log | None:
    """Return the log of the table that a path is; raise DataError where it names files of a table otherwise."""
    logs = [log_among(top, (info["name"] for info in infos)) for top, infos in listed.items()]
    is_file = {top: [info["name"].rstrip("/") for info in infos] == [top] for top, infos in listed.items()}
    folders = {top.rpartition("/")[0] if is_file[top] else top for top in listed}
    log = next(filter(None, logs), None) or (None if _is_web(system) else log_above(system, sorted(folders)))
    if log is not None and (is_glob or log.root not in listed):
        raise files_of_a_table(system, path, log)
    return log


def _data(
    system: Any, root: str, path: str, listed: Mapping[str, list[dict[str, Any]]], suffixes: tuple[str, ...]
) -> FoundFiles:
    """Return the files that are data: those that a glob matches itself, and those of a suffix below its folders."""
    infos = _visible(root, listed)
    data = [info for name, info in infos.items() if name in listed or name.lower().endswith(suffixes)]
    others = sorted(infos.keys() - {info["name"] for info in data})
    links = [name for name in others if infos[name].get("islink") and system.isdir(name)]
    if links:
        raise DataError(f"{path} has links to folders, which are not followed, such as {links[0]}: name that folder")
    packed = [name for name in others if _is_packed(name, suffixes)]
    if packed:
        raise DataError(f"{path} has files that cannot be read, such as {packed[0]}: unpack them, or leave them out")
    return FoundFiles(_describe_stored(system, data), tuple(others))


def _visible(root: str, listed: Mapping[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return by their names the files whose names, as far as the root does not give them, are not hidden."""
    prefix = root if root in listed else _MAGIC.split(root)[0].rpartition("/")[0]
    infos = (info for infos in listed.values() for info in infos)
    return {info["name"]: info for info in infos if not _is_hidden(info["name"], prefix, root)}


def _describe_stored(system: Any, infos: Iterable[Mapping[str, Any]]) -> tuple[StoredFile, ...]:
    files = {StoredFile(system, info["name"], -1 if info["size"] is None else int(info["size"])) for info in infos}
    return tuple(sorted(files, key=lambda file: natural(file.path)))


def _list_logged(system: Any, table: LoggedTable) -> FoundFiles:
    return FoundFiles(_describe_stored(system, map(system.info, table.files)), columns=table.columns)


def _is_web(system: Any) -> bool:
    protocol = system.protocol
    return "http" in ((protocol,) if isinstance(protocol, str) else protocol)


def _matches(system: Any, root: str) -> tuple[list[dict[str, Any]], bool]:
    """Return fsspec's description of what is at a path, or of what a glob matches, and whether it is a glob."""
    try:
        return [system.info(root)], False
    except FileNotFoundError as error:
        answer = _answer(error) or error
        if not _MAGIC.search(root) or is_transient(answer) or is_denied(answer):
            raise
        return list(system.glob(root, detail=True).values()), True


def _list_files(system: Any, info: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the files below a directory, or the file."""
    if info["type"] != "directory":
        return [info]
    return list(system.find(info["name"].rstrip("/"), detail=True).values())


def _is_hidden(name: str, prefix: str, root: str) -> bool:
    """Return whether a name below a prefix begins with a dot or an underscore, as no name in the root does there."""
    hidden = {part for part in name[len(prefix) :].split("/") if part.startswith((".", "_"))}
    return bool(hidden) and not any(part.startswith((".", "_")) for part in root[len(prefix) :].split("/"))


PACKED = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".lz4", ".br", ".zip", ".7z", ".tar", ".tgz", ".z", ".lzo", ".snappy")


def _is_packed(name: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether a file is one of the table that is packed in a way that is not read."""
    stem, _, suffix = name.lower().rpartition(".")
    return f".{suffix}" in PACKED and stem.endswith(suffixes)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
