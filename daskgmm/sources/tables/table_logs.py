"""Tables with a log (Delta, Iceberg, Hudi, Spark): only the log says which of the files in their folder count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from ...errors import DaskGMMError, DataError
from ..guarded import optional

METADATA_FILE = ".metadata.json"
"""What the name of a file ends in that describes one version of an Iceberg table."""
_MARKS = {"_delta_log": "Delta", ".hoodie": "Hudi", "_spark_metadata": "Spark streaming"}
_REMEDIES = {
    "Hudi": "export it with Hudi, or write the paths of its latest files into a folder of their own",
    "Spark streaming": "read it with Spark and write it as parquet to another folder",
}


@dataclass(frozen=True)
class Log:
    """A table with a log: where it is, and the name of its kind."""

    root: str
    kind: str


def name_of(system: Any, path: str) -> str:
    """Return the path of a local file, or the URL of a remote one, for messages."""
    return path if isinstance(system, LocalFileSystem) else str(system.unstrip_protocol(path))


@dataclass(frozen=True)
class LoggedTable:
    """What a log says of a table now: its files, and its columns, some of which may be in the log only."""

    files: tuple[str, ...]
    columns: tuple[str, ...]


def log_among(top: str, names: Iterable[str]) -> Log | None:
    """Return the log that is among the files below a folder, if any."""
    for name in names:
        *folders, file = name[len(top) :].strip("/").split("/")
        for i, folder in enumerate(folders):
            is_iceberg = folder == "metadata" and i == len(folders) - 1 and file.endswith(METADATA_FILE)
            if folder in _MARKS or is_iceberg:
                return Log("/".join([top.rstrip("/"), *folders[:i]]), _MARKS.get(folder, "Iceberg"))
    return None


def log_above(system: Any, folders: Iterable[str]) -> Log | None:
    """Return the log of a table that folders are of, if any: beside them, or above."""
    seen: set[str] = set()
    for folder in folders:
        for root in _ancestors(folder):
            if root not in seen:
                seen.add(root)
                kind = _kind_of(system, root)
                if kind is not None:
                    return Log(root, kind)
    return None


def _ancestors(folder: str) -> Iterator[str]:
    """Yield a folder and those above it; folders that are named value=... are none of a table."""
    parts = folder.rstrip("/").split("/")
    for n in range(len(parts), 0, -1):
        if parts[n - 1] and "=" not in parts[n - 1]:
            yield "/".join(parts[:n])


def _kind_of(system: Any, root: str) -> str | None:
    with suppress(PermissionError, FileNotFoundError, NotADirectoryError):  # what may not be seen is not looked for
        for mark, kind in _MARKS.items():
            if system.isdir(f"{root}/{mark}"):
                return kind
        if system.isdir(f"{root}/metadata") and system.glob(f"{root}/metadata/*{METADATA_FILE}"):
            return "Iceberg"
    return None


def files_of_a_table(system: Any, path: str, log: Log) -> DataError:
    """Return the error for files that are named without the log of their table."""
    return DataError(
        f"{path} names files of the {log.kind} table {name_of(system, log.root)}, whose log says which of them count: "
        "name the table itself"
    )


def read_log(system: Any, log: Log, metadata: str | None = None) -> LoggedTable:
    """Return the files of a table by its log; `metadata` is the requested version of an Iceberg table.

    Raise DataError for a log that is damaged, and for tables whose files do not hold their rows as they are.
    """
    if log.kind in _REMEDIES:
        raise DataError(f"{name_of(system, log.root)} is a {log.kind} table, which is not read: {_REMEDIES[log.kind]}")
    try:
        return _read_delta(system, log.root) if log.kind == "Delta" else _read_iceberg(system, log.root, metadata)
    except (DaskGMMError, OSError):
        raise
    except Exception as error:  # the libraries raise errors of many classes
        raise DataError(
            f"the log of the {log.kind} table {name_of(system, log.root)} cannot be read: {_one_line(error)}"
        ) from None


_READ_FEATURES = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "columnMapping"}


def _read_delta(system: Any, root: str) -> LoggedTable:
    deltalake = optional("deltalake", "delta", f"{root}, a Delta table,")
    with TemporaryDirectory() as folder:
        _copy(system, f"{root}/_delta_log", Path(folder) / "_delta_log")
        table = deltalake.DeltaTable(folder)
        _check_delta(name_of(system, root), table)
        files = [str(uri).removeprefix("file://").removeprefix(folder) for uri in table.file_uris()]
        columns = tuple(field.name for field in table.schema().fields)
    return LoggedTable(tuple(f"{root}/{file.lstrip('/')}" for file in files), columns)


def _check_delta(name: str, table: Any) -> None:
    protocol = table.protocol()
    unknown = sorted(set(protocol.reader_features or ()) - _READ_FEATURES)
    if table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none":
        unknown.append("columnMapping")
    if unknown:
        raise DataError(
            f"{name} is a Delta table with {', '.join(unknown)}, whose files do not hold its rows as they are: "
            "write it as parquet, with deltalake or Spark"
        )


def _copy(system: Any, source: str, target: Path) -> None:
    """Copy the files of a folder, without those in folders below but of checkpoints, to a local one."""
    for name in system.find(source):
        copy = target / name[len(source) :].lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(system.cat_file(name))


@dataclass(frozen=True)
class _Files:
    """The files of an Iceberg table as pyiceberg opens them, on the file system that is already there."""

    system: Any

    def new_input(self, location: str) -> Any:
        """Return a file to be read."""
        return optional("pyiceberg.io.fsspec", "iceberg", location).FsspecInputFile(
            location=_path(self.system, location), fs=self.system
        )


def _path(system: Any, location: str) -> str:
    """Return the path of an absolute location on a file system."""
    return str(system._strip_protocol(location.replace("s3a://", "s3://", 1).replace("s3n://", "s3://", 1)))


def _read_iceberg(system: Any, root: str, metadata: str | None) -> LoggedTable:
    table_module = optional("pyiceberg.table", "iceberg", f"{root}, an Iceberg table,")
    serializers = optional("pyiceberg.serializers", "iceberg", root)
    catalogs = optional("pyiceberg.catalog.noop", "iceberg", root)
    location, files = metadata or _current_metadata(system, root), _Files(system)
    described = serializers.FromInputFile.table_metadata(files.new_input(location))
    table = table_module.StaticTable(
        identifier=("table", location),
        metadata=described,
        metadata_location=location,
        io=files,
        catalog=catalogs.NoopCatalog("none"),
    )
    _check_names(name_of(system, root), described.schemas)
    tasks = list(table.scan().plan_files())
    if any(task.delete_files for task in tasks):
        raise DataError(
            f"{name_of(system, root)} is an Iceberg table with deleted rows in its files: "
            "rewrite its data files (compaction)"
        )
    paths = tuple(_path(system, task.file.file_path) for task in tasks)
    return LoggedTable(paths, tuple(field.name for field in table.schema().fields))


def _current_metadata(system: Any, root: str) -> str:
    """Return the metadata file of an Iceberg table's current version; raise DataError where only a catalog knows it."""
    hint = f"{root}/metadata/version-hint.text"
    if not system.exists(hint):
        newest = max(system.glob(f"{root}/metadata/*{METADATA_FILE}"))
        raise DataError(
            f"{name_of(system, root)} is an Iceberg table without version-hint.text, whose current version only its "
            f"catalog knows: set data.path to the metadata file of that version, such as {name_of(system, newest)}"
        )
    version = system.cat_file(hint).decode().strip()
    name = version if version.endswith(METADATA_FILE) else f"{'v' * version.isdigit()}{version}{METADATA_FILE}"
    return f"{root}/metadata/{name}"


def _check_names(name: str, schemas: Iterable[Any]) -> None:
    """Raise DataError where a column has been renamed: its files then have it by the old name."""
    pairs = {(field.field_id, field.name) for schema in schemas for field in schema.fields}
    if len({number for number, _ in pairs}) < len(pairs) or len({name for _, name in pairs}) < len(pairs):
        raise DataError(
            f"{name} is an Iceberg table with renamed columns: write it as parquet, with pyiceberg or Spark"
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
