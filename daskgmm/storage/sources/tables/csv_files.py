"""CSV files: cut at line ends into pieces that are parsed apart. Quoted values must not contain line breaks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....errors import DataError
from .filesystem import StoredFile, reading
from .pieces import covering

if TYPE_CHECKING:
    import pyarrow as pa

_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".br", ".zip")
SUFFIXES = (".csv", ".tsv", *(f"{kind}{packed}" for kind in (".csv", ".tsv") for packed in _COMPRESSED))

PIECE_BYTES = 2**23
"""Bytes of a piece, up to a line."""
_JUDGED_BYTES = 2**20  # of the first rows of a file: the types of its columns are judged by them
_COUNTED_BYTES = 2**18  # at a time: they stay in a core's cache
_SCANS_AT_ONCE = 4  # threads that count lines, each of another file
_LF, _CR = b"\n"[0], b"\r"[0]
_LINE_START = b" \n"  # two bytes that may stand before a line: empty lines are told by them


@dataclass(frozen=True)
class CsvPart:
    """A CSV file with its column names, and pieces [edges[i]:edges[i + 1]) of bytes with pieces[i] rows."""

    file: StoredFile
    names: tuple[str, ...]
    delimiter: str
    edges: tuple[int, ...]
    pieces: tuple[int, ...]

    def batches(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows [start:stop) of the columns that a schema names, parsed as its types."""
        pieces, before = covering(self.pieces, start, stop)
        with reading(self.file.name):
            for piece in pieces:
                rows = self.pieces[piece]
                yield from self._parsed(piece, max(start - before, 0), min(stop - before, rows), schema)
                before += rows

    def _parsed(self, piece: int, first: int, last: int, schema: pa.Schema) -> list[pa.RecordBatch]:
        """Return the rows [first:last) of a piece."""
        start, stop = self.edges[piece : piece + 2]
        lines = self.file.read(start, stop)
        if last - first < self.pieces[piece]:
            lines = _lines(lines, first, last)
        table = _parse(self, lines, schema, sum(self.pieces[:piece]) + first)
        if table.num_rows != last - first:
            raise DataError(
                f"{self.file.name}: {last - first} lines in its bytes {start} to {stop} hold {table.num_rows} rows; "
                "a row must be one line, also where a value is quoted"
            )
        batches: list[pa.RecordBatch] = table.to_batches()
        return batches


def open_csv(files: Sequence[StoredFile], piece_bytes: int = PIECE_BYTES) -> list[tuple[CsvPart, pa.Schema]]:
    """Return parts with their columns, from one scan that counts lines.

    The types of columns are int64, double, bool or string. Raise DataError for a compressed file, and for one without
    a header.
    """
    with ThreadPoolExecutor(_SCANS_AT_ONCE) as threads:
        opened = list(threads.map(partial(_open_part, piece_bytes=piece_bytes), files))
    parts, schemas = zip(*opened, strict=True)
    return list(zip(parts, _with_empty_as_numbers(schemas), strict=True))


def _open_part(file: StoredFile, piece_bytes: int) -> tuple[CsvPart, pa.Schema]:
    if file.name.lower().endswith(_COMPRESSED):
        raise DataError(
            f"{file.name} is compressed and cannot be read from the middle: decompress it or convert it to parquet"
        )
    with reading(file.name):
        start = file.read(0, min(file.size, _JUDGED_BYTES))
        names, delimiter = _header(file, start)
        first_row = start.find(b"\n") + 1 or file.size
        part = CsvPart(file, names, delimiter, *_indexed(file, first_row, piece_bytes))
        whole_lines = start[first_row:] if file.size == len(start) else start[first_row : start.rfind(b"\n") + 1]
        return part, _judged(part, whole_lines)


def _with_empty_as_numbers(schemas: Sequence[pa.Schema]) -> list[pa.Schema]:
    """Return the schemas with columns as double that show no value in any file: they may hold numbers further on."""
    import pyarrow as pa

    shown = {field.name for schema in schemas for field in schema if field.type != pa.null()}
    return [
        pa.schema([field if field.name in shown else field.with_type(pa.float64()) for field in schema])
        for schema in schemas
    ]


def _header(file: StoredFile, start: bytes) -> tuple[tuple[str, ...], str]:
    """Return the column names and the delimiter, from the first bytes of a file."""
    if b"\n" not in start and file.size > len(start):
        raise DataError(f"{file.name} has no line end in its first {len(start)} bytes: it is no CSV")
    line = start.partition(b"\n")[0].decode("utf-8-sig").rstrip("\r")
    delimiter = "\t" if _is_tsv(file, line) else ";" if ";" in line and "," not in line else ","
    names = tuple(name.strip() for name in next(csv.reader([line], delimiter=delimiter), []))
    if not any(names):
        raise DataError(f"{file.name} has no header: its first line is empty")
    if _are_values(names):
        raise DataError(
            f"{file.name} has no header: its first line holds numbers; write the names of the columns there"
        )
    return names, delimiter


def _is_tsv(file: StoredFile, line: str) -> bool:
    return file.name.lower().endswith(".tsv") or ("\t" in line and "," not in line and ";" not in line)


def _are_values(names: Sequence[str]) -> bool:
    """Whether a first line is a row: numbers, other than consecutive integers, as pandas numbers columns."""
    written = [name for name in names if name]
    try:
        numbers = [float(name) for name in written]
    except ValueError:
        return False
    consecutive = [str(int(numbers[0]) + i) for i in range(len(numbers))] if np.isfinite(numbers[0]) else []
    return len(numbers) < 2 or written != consecutive


def _indexed(file: StoredFile, first_row: int, piece_bytes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the edges of the pieces in bytes, and the rows of each, from one scan of a file."""
    edges, pieces, rows, open_line = [first_row], [], 0, False
    before = _LINE_START
    for start in range(first_row, file.size, piece_bytes):
        block = before + file.read(start, min(start + piece_bytes, file.size))
        rows += _count_rows(block)
        line_end = block.rfind(b"\n", 2)
        if line_end >= 0 and rows:
            edges.append(start + line_end - 1)
            pieces.append(rows)
            rows = 0
        open_line = block.rstrip(b"\r")[-1:] != b"\n"
        before = block[-2:]
    if open_line:  # the last line need not end
        pieces = [*pieces[:-1], pieces[-1] + 1] if pieces else [1]
        edges = [*edges[: len(pieces)], file.size]
    return tuple(edges), tuple(pieces)


def _count_rows(block: bytes) -> int:
    """Return the number of rows that end in block[2:]; its first two bytes are context."""
    values = np.frombuffer(block, np.uint8)
    starts = range(0, len(values) - 2, _COUNTED_BYTES)
    return sum(int(np.count_nonzero(_row_ends(values[start : start + _COUNTED_BYTES + 2]))) for start in starts)


def _row_ends(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where among the bytes values[2:] a line ends that is not empty."""
    ends = values == _LF
    empty = ends[1:-1] | ((values[1:-1] == _CR) & ends[:-2])
    row_ends: NDArray[np.bool_] = ends[2:] & ~empty
    return row_ends


def _lines(lines: bytes, first: int, last: int) -> bytes:
    """Return the lines [first:last) of whole lines, empty ones not counted."""
    ends = np.flatnonzero(_row_ends(np.frombuffer(_LINE_START + lines, np.uint8))) + 1
    return lines[int(ends[first - 1]) if first else 0 : int(ends[last - 1]) if last <= len(ends) else None]


def _judged(part: CsvPart, lines: bytes) -> pa.Schema:
    """Return the types of the columns as whole lines show them: int64, double, bool, null, or text."""
    import pyarrow as pa

    kept = {pa.int64(), pa.float64(), pa.bool_(), pa.null()}
    if not lines:
        return pa.schema([(name, pa.null()) for name in part.names])
    table = _parse(part, lines, None, 0)
    return pa.schema([(field.name, field.type if field.type in kept else pa.string()) for field in table.schema])


def _parse(part: CsvPart, lines: bytes, schema: pa.Schema | None, row: int) -> pa.Table:
    """Return whole lines as a table of the columns of a schema, or of all with types judged by the lines.

    `row` is the number of the first of them in the file, for messages.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    chosen: dict[str, Any] = {"column_types": schema, "include_columns": schema.names} if schema is not None else {}
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(lines),
            arrow_csv.ReadOptions(use_threads=False, block_size=len(lines), column_names=part.names),
            arrow_csv.ParseOptions(delimiter=part.delimiter),
            arrow_csv.ConvertOptions(**chosen),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{part.file.name}: {_explained(str(error), part.names, row)}") from None


_ROW = re.compile(r"Row #(\d+)")
_BAD_VALUE = re.compile(r"In CSV column #(\d+): (.*?): CSV conversion error to (\w+): invalid value '(.*)'", re.DOTALL)


def _explained(message: str, names: Sequence[str], row: int) -> str:
    """Return pyarrow's message with the row's number in the file (rows from 0, without the header) and column names."""
    message = _ROW.sub(lambda found: f"row {row + int(found[1]) - 1}", message)
    found = _BAD_VALUE.search(message)
    if found is None:
        return " ".join(message.split())
    column, where, kind, value = found.groups()
    return (
        f"{where} holds {value!r} in the column {names[int(column)]!r}, which is no {kind} as the first rows are: "
        "correct it, or leave the column out"
    )
