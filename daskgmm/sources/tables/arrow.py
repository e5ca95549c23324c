"""Arrow IPC (Feather) files and streams: their record batches are the pieces that are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from .files import StoredFile, guard_open, guard_read
from .row_ranges import cut_rows, find_covering

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".arrow", ".feather", ".ipc", ".arrows")
_FILE, _FEATHER_1 = b"ARROW1", b"FEA1"  # what a file begins with; a stream has no such mark
_OPENED_AT_ONCE = 8


@dataclass(frozen=True)
class ArrowPart:
    """An Arrow file or stream with `pieces`: the rows of each of its record batches."""

    file: StoredFile
    pieces: tuple[int, ...]
    notice: str | None = None

    def batches(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows [start:stop) of the columns that a schema names, in their stored types."""
        wanted, before = find_covering(self.pieces, start, stop)
        with guard_read(self.file.name), _open_stream(self.file) as source:
            read = islice(_record_batches(source, schema.names, wanted.start), len(wanted))
            done = 0
            for batch in cut_rows(
                _of_sizes(self.file, read, [self.pieces[piece] for piece in wanted]), start - before, stop - start
            ):
                done += batch.num_rows
                yield batch
            if done < stop - start:
                raise DataError(f"{self.file.name} has changed since it was opened: start over")


def open_arrow(files: Sequence[StoredFile]) -> list[tuple[ArrowPart, pa.Schema]]:
    """Return parts with their columns; raise DataError for a file that is damaged or no Arrow file."""
    with ThreadPoolExecutor(_OPENED_AT_ONCE) as threads:
        return list(threads.map(_open_part, files))


def _open_part(file: StoredFile) -> tuple[ArrowPart, pa.Schema]:
    with guard_open(file.name, "Arrow"):
        if file.size == 0:
            raise DataError(f"{file.name} is empty")
        _check_kind(file)
        with _open_stream(file) as source:
            schema = _reader(source, None).schema
            first = schema.names[:1]  # the least that is read to count rows
            pieces = tuple(batch.num_rows for batch in _record_batches(source, first, 0))
    return ArrowPart(file, pieces), schema


_STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream, which pyarrow does not miss


def _check_kind(file: StoredFile) -> None:
    """Raise DataError for Feather of version 1, and for a stream that is cut between two record batches."""
    start = file.read(0, min(len(_FILE), file.size))
    if start.startswith(_FEATHER_1):
        raise DataError(f"{file.name} is Feather of version 1, which is not read")
    if start != _FILE and file.read(max(file.size - len(_STREAM_END), 0), file.size) != _STREAM_END:
        raise DataError(f"{file.name} is truncated: the mark that ends a stream is missing")


@contextmanager
def _open_stream(file: StoredFile) -> Iterator[Any]:
    import pyarrow as pa

    if file.is_local:
        with pa.memory_map(file.path) as source:
            yield source
    else:
        with file.system.open(file.path, "rb") as stream, pa.PythonFile(stream, "r") as source:
            yield source


def _reader(source: Any, columns: Sequence[str] | None) -> Any:
    """Return pyarrow's reader of a file or stream, for columns, or for all."""
    from pyarrow import ipc

    source.seek(0)
    start = source.read(len(_FILE))
    source.seek(0)
    open_reader = ipc.open_file if start == _FILE else ipc.open_stream
    if columns is None:
        return open_reader(source)
    names = _reader(source, None).schema.names
    source.seek(0)
    return open_reader(source, options=ipc.IpcReadOptions(included_fields=sorted(map(names.index, columns))))


def _record_batches(source: Any, columns: Sequence[str], first: int) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of columns from the batch `first` on."""
    reader = _reader(source, columns)
    if hasattr(reader, "num_record_batches"):
        return (reader.get_batch(i) for i in range(first, reader.num_record_batches))
    return islice(iter(reader), first, None)


def _of_sizes(file: StoredFile, batches: Iterator[pa.RecordBatch], sizes: Sequence[int]) -> Iterator[pa.RecordBatch]:
    for batch, size in zip(batches, sizes, strict=False):
        if batch.num_rows != size:
            raise DataError(f"{file.name} has changed since it was opened: start over")
        yield batch
