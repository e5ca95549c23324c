"""ORC files: their stripes are the pieces that are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from .files import StoredFile, guard_open, guard_read
from .row_ranges import cut_rows, find_covering

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".orc",)
_OPENED_AT_ONCE = 8


@dataclass(frozen=True)
class OrcPart:
    """An ORC file with `pieces`: the rows of each of its stripes."""

    file: StoredFile
    pieces: tuple[int, ...]
    notice: str | None = None

    def batches(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows [start:stop) of the columns that a schema names, in their stored types."""
        with guard_read(self.file.name), _open_file(self.file) as orc:
            if (orc.nrows, orc.nstripes) != (sum(self.pieces), len(self.pieces)):
                raise DataError(f"{self.file.name} has changed since it was opened: start over")
            stripes, before = find_covering(self.pieces, start, stop)
            read = (orc.read_stripe(stripe, schema.names) for stripe in stripes)
            yield from cut_rows(read, start - before, stop - start)


def open_orc(files: Sequence[StoredFile]) -> list[tuple[OrcPart, pa.Schema]]:
    """Return parts with their columns; raise DataError for a file that is damaged or no ORC."""
    with ThreadPoolExecutor(_OPENED_AT_ONCE) as threads:
        return list(threads.map(_open_part, files))


def _open_part(file: StoredFile) -> tuple[OrcPart, pa.Schema]:
    with guard_open(file.name, "ORC"), _open_file(file) as orc:
        first = orc.schema.names[:1]  # the least that is read to count rows
        pieces = tuple(orc.read_stripe(stripe, first).num_rows for stripe in range(orc.nstripes))
        return OrcPart(file, pieces), orc.schema


@contextmanager
def _open_file(file: StoredFile) -> Iterator[Any]:
    from pyarrow.orc import ORCFile

    with file.system.open(file.path, "rb") as stream:
        yield ORCFile(stream)
