"""CSV files: cut at line ends into pieces that are parsed apart. Quoted values must not contain line breaks."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .compressed import COMPRESSED, InMemory, decompress
from .csv_dialect import UNNAMED, CsvOptions, Dialect, check_csv_options, find_dialect, quote
from .csv_values import explain, judge_field
from .files import ByteFile, StoredFile, guard_read
from .row_ranges import find_covering

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = (".csv", ".tsv")
SUFFIXES = (*_KINDS, *(f"{kind}{packed}" for kind in _KINDS for packed in COMPRESSED))

PIECE_BYTES = 2**23
"""Bytes of a piece, up to a line."""
_JUDGED_BYTES = 2**20  # of the first rows of a file: the types of its columns are judged by them
_COUNTED_BYTES = 2**18  # at a time: they stay in a core's cache
_BLOCK_BYTES = 2**30  # that pyarrow parses at a time: it counts them in 32 bits
_SCANS_AT_ONCE = 4  # threads that count lines, each of another file
_LF, _CR = b"\n"[0], b"\r"[0]
_LINE_START = b" \n"  # two bytes that may stand before a line: empty lines are told by them


_PLAIN = CsvOptions()


@dataclass(frozen=True)
class CsvPart:
    """A CSV file with its column names, and pieces [edges[i]:edges[i + 1]) of bytes with pieces[i] rows."""

    file: StoredFile
    names: tuple[str, ...]
    delimiter: str
    options: CsvOptions
    edges: tuple[int, ...]
    pieces: tuple[int, ...]
    notice: str | None = None

    def batches(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows [start:stop) of the columns that a schema names, parsed as its types."""
        pieces, before = find_covering(self.pieces, start, stop)
        with guard_read(self.file.name):
            for piece in pieces:
                rows = self.pieces[piece]
                yield from self._parse_piece(piece, max(start - before, 0), min(stop - before, rows), schema)
                before += rows

    def _parse_piece(self, piece: int, first: int, last: int, schema: pa.Schema) -> list[pa.RecordBatch]:
        """Return the rows [first:last) of a piece."""
        start, stop = self.edges[piece : piece + 2]
        lines = self._content(start, stop)
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

    def _content(self, start: int, stop: int) -> bytes:
        if self.file.ends_with(COMPRESSED):
            return InMemory(self.file.name, decompress(self.file)).read(start, stop)
        return self.file.read(start, stop)


def open_csv(
    files: Sequence[StoredFile], options: CsvOptions = _PLAIN, piece_bytes: int = PIECE_BYTES
) -> list[tuple[CsvPart, pa.Schema]]:
    """Return parts with their columns, from one scan that counts lines and checks their encoding.

    The types of columns are int64, double, bool, null or string. A compressed file is one piece. Raise DataError for a
    file whose first line is not surely the names of its columns.
    """
    check_csv_options(options)
    with ThreadPoolExecutor(_SCANS_AT_ONCE) as threads:
        opened = list(threads.map(partial(_open_part, options=options, piece_bytes=piece_bytes), files))
    return list(zip((part for part, _, _ in opened), _with_empty_as_numbers(opened), strict=True))


def _open_part(file: StoredFile, options: CsvOptions, piece_bytes: int) -> tuple[CsvPart, pa.Schema, bool]:
    """Return a part, its columns, and whether all of its rows have been looked at."""
    with guard_read(file.name):
        if file.ends_with(COMPRESSED):
            content = InMemory(file.name, decompress(file))
            return _scan(file, content, options, max(content.size, 1))
        return _scan(file, file, options, piece_bytes)


def _scan(
    file: StoredFile, content: ByteFile, options: CsvOptions, piece_bytes: int
) -> tuple[CsvPart, pa.Schema, bool]:
    start = content.read(0, min(content.size, _JUDGED_BYTES))
    is_all = content.size == len(start)
    if b"\n" not in start and not is_all:
        raise DataError(f"{file.name} has no line end in its first {len(start)} bytes: it is no CSV")
    whole_lines = start if is_all else start[: start.rfind(b"\n") + 1]
    dialect = find_dialect(file.name, whole_lines, options)
    edges, pieces = _index_rows(content, dialect, piece_bytes, options.encoding)
    part = CsvPart(file, dialect.names, dialect.delimiter, options, edges, pieces)
    schema = _judge_types(part, whole_lines[dialect.first_row :])
    if options.header is None:
        _check_named(file.name, schema)
    return part, schema, is_all


def _check_named(file: str, schema: pa.Schema) -> None:
    """Raise DataError for columns without a name that are neither empty nor the row numbers or names in front."""
    import pyarrow as pa

    for i, field in enumerate(schema):
        is_index = i == 0 and field.type != pa.float64()
        if field.name == f"{UNNAMED}{i}" and field.type != pa.null() and not is_index:
            raise DataError(
                f"{file}: column {i} (from 0) holds values but has no name in the first line: name it there, "
                f"or set data.header: true to call it {field.name!r}"
            )


def _with_empty_as_numbers(opened: Sequence[tuple[CsvPart, pa.Schema, bool]]) -> list[pa.Schema]:
    """Return the schemas, columns as double that show no value in any file and may hold numbers further on."""
    import pyarrow as pa

    shown = {field.name for _, schema, _ in opened for field in schema if field.type != pa.null()}
    has_more = not all(is_all for _, _, is_all in opened)
    gaps = {
        field.name
        for _, schema, _ in opened
        for field in schema
        if field.name not in shown and has_more and not field.name.startswith(UNNAMED)
    }
    return [
        pa.schema([field.with_type(pa.float64()) if field.name in gaps else field for field in schema])
        for _, schema, _ in opened
    ]


def _index_rows(
    file: ByteFile, dialect: Dialect, piece_bytes: int, encoding: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the edges of the pieces in bytes, and the rows of each, from one scan of a file.

    Raise DataError that names row and column of a byte that is not of the encoding.
    """
    edges, rows, open_line = [dialect.first_row], 0, False
    pieces: list[int] = []
    decoder = codecs.getincrementaldecoder(encoding)()
    before, alone, blank = _LINE_START, len(dialect.names) == 1, None
    for start in range(dialect.first_row, file.size, piece_bytes):
        stop = min(start + piece_bytes, file.size)
        block = before + file.read(start, stop)
        try:
            decoder.decode(block[2:], final=stop == file.size)
        except UnicodeDecodeError as error:
            raise _undecodable(file.name, block, error, sum(pieces) + rows, dialect, encoding) from None
        if alone and blank is None and (within := _rows_before_blank(block)) is not None:
            blank = sum(pieces) + rows + within
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
    if blank is not None and blank < sum(pieces):
        raise DataError(
            f"{file.name}: an empty line is before row {blank} of its only column, which may be a missing value: write "
            "it as NaN, or take it out"
        )
    return tuple(edges), tuple(pieces)


def _undecodable(
    file: str, block: bytes, error: UnicodeDecodeError, rows: int, dialect: Dialect, encoding: str
) -> DataError:
    """Return the error that names row and column of a byte in block[2:], before which there are so many rows."""
    row = rows + _count_rows(block[: error.start + 2])
    line_start = block.rfind(b"\n", 0, error.start + 2) + 1
    before = block[line_start : error.start + 2].decode("latin-1")
    column = len(next(csv.reader([before], delimiter=dialect.delimiter), [""])) - 1
    name = f" in the column {dialect.names[column]!r}" if column < len(dialect.names) else ""
    line = block[line_start : block.find(b"\n", error.start + 2) % (len(block) + 1)].decode("latin-1")
    encoded, remedy = ("UTF-8", "set data.encoding") if encoding == "utf-8" else (encoding, "set another data.encoding")
    return DataError(
        f"{file} is not {encoded} text: row {row}{name} holds {quote(line.strip())} if it is latin-1: {remedy}, "
        "such as latin-1 or cp1252"
    )


def _rows_before_blank(block: bytes) -> int | None:
    """Return the number of rows that end before the first empty line that ends in block[2:], None without."""
    values = np.frombuffer(block, np.uint8)
    row_ends = _row_ends(values)
    blanks = np.flatnonzero((values[2:] == _LF) & ~row_ends)
    return int(np.count_nonzero(row_ends[: blanks[0]])) if len(blanks) else None


def _count_rows(block: bytes) -> int:
    """Return the number of rows that end in block[2:]; its first two bytes are context."""
    values = np.frombuffer(block, np.uint8)
    starts = range(0, len(values) - 2, _COUNTED_BYTES)
    return sum(int(np.count_nonzero(_row_ends(values[start : start + _COUNTED_BYTES + 2]))) for start in starts)


def _row_ends(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return a mask of the bytes values[2:]: whether a line ends there that is not empty."""
    ends = values == _LF
    empty = ends[1:-1] | ((values[1:-1] == _CR) & ends[:-2])
    row_ends: NDArray[np.bool_] = ends[2:] & ~empty
    return row_ends


def _lines(lines: bytes, first: int, last: int) -> bytes:
    """Return the lines [first:last) of whole lines, empty ones not counted."""
    ends = np.flatnonzero(_row_ends(np.frombuffer(_LINE_START + lines, np.uint8))) + 1
    return lines[int(ends[first - 1]) if first else 0 : int(ends[last - 1]) if last <= len(ends) else None]


def _judge_types(part: CsvPart, lines: bytes) -> pa.Schema:
    """Return the types of the columns as whole lines show them."""
    import pyarrow as pa

    if not lines.strip():
        return pa.schema([(name, pa.null()) for name in part.names])
    table = _parse(part, lines, None, 0)
    is_alone = len(part.names) == 1
    return pa.schema(
        [
            judge_field(name, table.column(i), part.options, part.file.name, is_alone)
            for i, name in enumerate(part.names)
        ]
    )


def _parse(part: CsvPart, lines: bytes, schema: pa.Schema | None, row: int) -> pa.Table:
    """Return whole lines as a table of the columns of a schema, or of all with types judged by the lines.

    `row` is the number of the first of them in the file, for messages.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    options = part.options
    chosen: dict[str, Any] = {"column_types": schema, "include_columns": schema.names} if schema is not None else {}
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(lines if options.is_utf8 else lines.decode(options.encoding).encode()),
            arrow_csv.ReadOptions(
                use_threads=False, block_size=min(2 * len(lines) + 1, _BLOCK_BYTES), column_names=part.names
            ),
            arrow_csv.ParseOptions(delimiter=part.delimiter),
            arrow_csv.ConvertOptions(null_values=options.missing, decimal_point=options.decimal, **chosen),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{part.file.name}: {explain(str(error), part.names, row)}") from None
    return _set_nulls(table, options.missing_numbers) if options.missing_numbers else table


def _set_nulls(table: pa.Table, missing: Sequence[float]) -> pa.Table:
    """Return a table with nulls for those numbers of its columns that mean a missing value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, column in enumerate(table.columns):
        if column.type == pa.float64():
            is_missing = pc.is_in(column, pa.array(missing, pa.float64()))
            table = table.set_column(i, table.field(i), pc.if_else(is_missing, pa.scalar(None, pa.float64()), column))
    return table
