"""Parquet files: the row groups of their footers are the pieces that are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import DataError
from .files import StoredFile, guard_read
from .row_ranges import cut_rows, find_covering

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SUFFIXES = (".parquet", ".pq", ".parq", *(f".parquet.{codec}" for codec in ("gzip", "snappy", "zstd", "brotli", "lz4")))
_BATCH_ROWS = 16_384  # decoded at a time: the rows of a batch are transposed while they are in a core's cache
_FOOTERS_AT_ONCE = 8  # threads that wait for footers


@dataclass(frozen=True)
class ParquetPart:
    """A parquet file with `pieces`: the rows of each of its row groups."""

    file: StoredFile
    pieces: tuple[int, ...]
    notice: str | None = None

    def batches(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows [start:stop) of the columns that a schema names, in their stored types."""
        with guard_read(self.file.name), _open_file(self.file) as parquet:
            if _row_groups(parquet) != self.pieces:
                raise DataError(f"{self.file.name} has changed since it was opened: start over")
            groups, before = find_covering(self.pieces, start, stop)
            batches = parquet.iter_batches(_BATCH_ROWS, row_groups=groups, columns=schema.names, use_threads=False)
            yield from cut_rows(batches, start - before, stop - start)


def open_parquet(files: Sequence[StoredFile]) -> list[tuple[ParquetPart, pa.Schema]]:
    """Return parts with their columns, from the footers; raise DataError for a file that is damaged or no parquet."""
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as threads:
        return list(threads.map(_open_part, files))


def _open_part(file: StoredFile) -> tuple[ParquetPart, pa.Schema]:
    with guard_read(file.name), _open_file(file) as parquet:
        _check_own_rows(file, parquet)
        return ParquetPart(file, _row_groups(parquet)), parquet.schema_arrow


def _check_own_rows(file: StoredFile, parquet: pq.ParquetFile) -> None:
    """Raise DataError for a _metadata file, whose row groups are those of other files."""
    footer = parquet.metadata
    if footer.num_row_groups and footer.num_columns and footer.row_group(0).column(0).file_path:
        raise DataError(f"{file.name} describes the row groups of other files: name their folder")


def _row_groups(parquet: pq.ParquetFile) -> tuple[int, ...]:
    footer = parquet.metadata
    return tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups))


@contextmanager
def _open_file(file: StoredFile) -> Iterator[pq.ParquetFile]:
    import pyarrow.parquet as pq

    if file.is_local:
        with pq.ParquetFile(file.path, page_checksum_verification=True) as parquet:
            yield parquet
    else:  # what is needed is known beforehand: fetched in few requests, past fsspec's read-ahead
        with (
            file.system.open(file.path, "rb", cache_type="none") as stream,
            pq.ParquetFile(stream, pre_buffer=True, page_checksum_verification=True) as parquet,
        ):
            yield parquet
