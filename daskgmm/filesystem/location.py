"""Where things are read and written: local paths and fsspec URLs behind pathlib's interface."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from errno import EDQUOT, EFBIG, ELOOP, ENOENT, ENOSPC, EROFS
from pathlib import Path
from stat import S_ISREG
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import fsspec
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from ..errors import ConfigurationError, DaskGMMError, DataError, without_credentials
from .guards import Guard, guard_of
from .retry import denial, is_denied, is_transient, reason, trouble

_FULL = {ENOSPC, EDQUOT, EFBIG, EROFS}


def is_url(path: str | Path) -> bool:
    """Return whether the path is an fsspec URL, such as s3://bucket/run."""
    return "://" in str(path)


PUBLIC_OPTIONS = {"anon", "client_kwargs", "endpoint_url", "region_name", "requester_pays", "use_ssl", "project"}
"""Storage options that hold no secret; those within client_kwargs are looked at one by one."""


def public(path: str) -> str:
    """Return a path or URL without the credentials that may stand in it: user, password and query."""
    return without_credentials(path)


def secrets_of(path: str) -> list[str]:
    """Return the secrets that `public` removes."""
    try:
        url = urlsplit(path if is_url(path) else "")
    except ValueError:  # brackets that hold no address
        return [path.partition("://")[2]]
    return [text for text in (url.netloc.rpartition("@")[0], url.password, url.query) if text]


_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}


def check_file_system(url: str) -> None:
    """Raise ConfigurationError where no installed package reads the URL's protocol."""
    protocol = url.partition("://")[0].rpartition("::")[2]
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"pip install 'daskgmm[{extra}]'" if extra else str(error)
        raise ConfigurationError(f"{url} needs a package that reads {protocol}://: {remedy}") from None
    except ValueError:
        raise ConfigurationError(f"{url}: no file system is known for {protocol}://") from None


def resolve_location(path: str | Path, storage_options: Mapping[str, Any] | None = None) -> Path:
    """Return the path, or for an fsspec URL an object with the same methods; raise ConfigurationError where none is."""
    if not isinstance(path, str):  # it is one already
        return path
    if not is_url(path):
        return Path(path)
    check_file_system(path)
    from upath import UPath  # for URLs only: it is slow to import

    return cast(Path, UPath(path, **(storage_options or {})))


def zarr_store(path: Path) -> dict[str, Any]:
    """Return the arguments by which zarr opens a place."""
    return {"store": str(path) if isinstance(path, Path) else writable_store(path)}


def writable_store(path: Path) -> Store:
    """Return the zarr store at a place, which is made where there is none."""
    if isinstance(path, Path):
        return LocalStore(path)
    return FsspecStore.from_url(str(path), storage_options=dict(path.storage_options))


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path`; rename it to `path` at the end, or remove it after an error."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        replace_path(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def write_durably(path: Path, data: bytes) -> None:
    """Write a file of which there is all or nothing, also after a power failure; an object store gives that itself."""
    if not isinstance(path, Path):
        path.write_bytes(data)
        return
    with write_whole(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    with suppress(OSError):  # not every system can do that with a directory
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def write_at_once(path: Path) -> AbstractContextManager[Path]:
    """Return a context that gives where to write a file so that it is never seen in part: stores put whole objects."""
    return write_whole(path) if isinstance(path, Path) else nullcontext(path)


def replace_path(source: Path, target: Path) -> None:
    """Rename a file or directory over what may be at the target; an object store copies and deletes instead."""
    if isinstance(source, Path):
        if target.is_dir():
            remove(target)
        os.replace(source, target)
    else:
        copy_over(source, target)
        remove(source)


def copy_over(source: Path, target: Path) -> None:
    """Put a copy of a file or directory of an object store over what may be at the target."""
    store: Any = source
    remove(target)
    files = store.fs.find(store.path)
    store.fs.copy(files, [cast(Any, target).path + one.removeprefix(store.path) for one in files])


def link_or_copy(source: Path, target: Path) -> None:
    """Put the file at `source` to a `target` where none is, without a second copy where the file system can."""
    make_directory(target.parent)
    if isinstance(source, Path):
        with suppress(OSError):  # a file system without links
            os.link(source, target)
            return
    write_first(target, read_file(source))


def files_in(folder: Path, name: str) -> list[str]:
    """Return the paths, from the folder, of the file of that name, or of all files below the directory of that name."""
    if not isinstance(folder, Path):
        store: Any = folder
        return [one.removeprefix(store.path).lstrip("/") for one in store.fs.find((store / name).path)]
    found = [folder / name] if (folder / name).is_file() else (folder / name).rglob("*")
    return [one.relative_to(folder).as_posix() for one in found if one.is_file()]


_BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "az", "memory"}  # they have no directories; to make one makes a bucket


def make_directory(path: Path) -> None:
    """Make a directory with those above it, where the store has any."""
    if isinstance(path, Path) or path.protocol not in _BUCKETS:
        path.mkdir(parents=True, exist_ok=True)


def remove_if_empty(path: Path) -> None:
    """Remove a directory unless something is in it, which may be another job's and just come; buckets stay."""
    with suppress(OSError):
        if isinstance(path, Path):
            path.rmdir()
        elif path.protocol not in _BUCKETS:  # UPath.rmdir would remove what is in it
            path.fs.rmdir(path.path)


_MAX_TRIES = 10  # each needs another job that removes the directory in just that moment


def write_first(path: Path, content: bytes) -> None:
    """Write a small file with the directory around it, which another job that ends may remove meanwhile."""
    for left in reversed(range(_MAX_TRIES)):
        try:
            make_directory(path.parent)
            path.write_bytes(content)
            return
        except (FileNotFoundError, FileExistsError) as error:
            if not left or not (isinstance(error, FileNotFoundError) or _is_gone_by_now(error)):
                raise


def remove(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if not isinstance(path, Path):
        if path.exists():
            path.fs.rm(path.path, recursive=True)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def read_file(path: Path) -> bytes:
    """Return the content of a file; raise FileNotFoundError where there is none, or what is there might never end."""
    if not isinstance(path, Path):
        return cast(bytes, path.read_bytes())
    with open(path, "rb", opener=_open_at_once) as file:
        return file.read()


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the writer of a pipe; raise FileNotFoundError for what is no regular file."""
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(ENOENT, "not a regular file", path)


def size_of_file(path: Path) -> int | None:
    """Return the bytes of a file, None where there is none; raise what a store raises that does not say."""
    try:
        status = path.stat()
    except OSError as error:
        if means_no_file(error):
            return None
        raise
    return int(status.st_size) if S_ISREG(status.st_mode) else None  # a pipe or a device might never end


def means_no_file(error: OSError) -> bool:
    """Return whether an error says that no file is at a path: nothing, a directory, or a link that leads to itself."""
    return isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError) or error.errno == ELOOP


def leads_elsewhere(path: Path, folder: Path) -> bool:
    """Return whether links lead from a path in the folder to a place outside of it; no store but the disk has any."""
    return isinstance(path, Path) and not path.resolve().is_relative_to(folder.resolve())


@contextmanager
def guard_read(path: Path) -> Iterator[None]:
    """Turn the errors of a store that cannot be reached, or not by us, into a DataError of one line."""
    try:
        yield
    except DaskGMMError:
        raise
    except Exception as error:  # stores raise errors of many classes
        if (why := trouble(public(str(path)), "read", error)) is None:
            raise
        raise DataError(why) from error


@contextmanager
def guard_write(path: Path, guard: Guard | None = None) -> Iterator[None]:
    """Ask the guard of the path, then turn the errors of a store that takes no more, or not from us, into one line.

    Raises DataError, and what the guard raises: the given one, which a worker needs, else the one of this process.
    """
    try:
        if (own := guard or guard_of(path)) is not None:
            own.check()
        yield
    except DaskGMMError:
        raise
    except Exception as error:  # stores raise errors of many classes
        if is_denied(error):
            raise DataError(denial(str(path), "written", error)) from error
        if isinstance(error, FileNotFoundError) or _is_gone_by_now(error):
            raise DataError(
                f"{public(str(path))} cannot be written: it has been removed since the job began"
            ) from error
        if isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError):
            where = error.filename2 or error.filename or path
            raise DataError(f"{where} cannot be written: remove what is in the way there") from error
        if not is_transient(error) and getattr(error, "errno", None) not in _FULL:
            raise
        if is_url(path) and (why := trouble(public(str(path)), "written", error)):
            raise DataError(f"{why} (earlier results are untouched)") from error
        raise DataError(
            f"{path} cannot be written: {getattr(error, 'strerror', None) or reason(error)}; make room, or choose "
            "another output.directory (earlier results are untouched)"
        ) from error


def _is_gone_by_now(error: Exception) -> bool:
    """Return whether a directory was moved away while `Path.mkdir` looked at it, and so nothing is in the way."""
    if not isinstance(error, FileExistsError) or error.filename is None:
        return False
    return not os.path.lexists(error.filename) or os.path.isdir(error.filename)
