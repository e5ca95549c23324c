"""Tables of parquet or CSV files: rows of chosen columns that are read where they are sliced."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ....errors import ConfigurationError, DataError
from . import csv_files, parquet_files
from .columns import Columns
from .filesystem import StoredFile, find_files
from .kinds import as_numbers, as_type

if TYPE_CHECKING:
    import pyarrow as pa

TableFormat = Literal["parquet", "csv"]


class Part(Protocol):
    """A file of a table; it can be read in pieces."""

    @property
    def file(self) -> StoredFile: ...

    @property
    def pieces(self) -> tuple[int, ...]: ...

    def batches(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows [start:stop) of the columns that a schema names; text is parsed as its types."""


@dataclass(frozen=True)
class TableReader:
    """Columns of a table as (n, len(columns)), or (n,) where flat: numbers of one dtype, nulls as NaN."""

    parts: tuple[Part, ...]
    schema: Any  # pyarrow.Schema of the columns
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: tuple[slice, ...]) -> NDArray[Any]:
        """Return what is sliced; raise DataError that names the file whose rows cannot be read."""
        import pyarrow as pa

        wanted = range(self.shape[0])[slices[0]]
        columns = list(self.schema)[slices[1]] if len(slices) > 1 else list(self.schema)
        start, stop = (min(wanted), max(wanted) + 1) if wanted else (0, 0)
        rows = self._read(start, stop, pa.schema(columns))[:: wanted.step]
        return rows[:, 0] if self.ndim == 1 else rows

    def _read(self, start: int, stop: int, schema: pa.Schema) -> NDArray[Any]:
        rows = np.empty((stop - start, len(schema)), self.dtype)
        done = 0
        for batch in _batches(self.parts, start, stop, schema):
            into = rows[done : done + batch.num_rows]
            for column, name in enumerate(schema.names):
                into[:, column] = as_numbers(batch.column(name))
            done += batch.num_rows
        assert done == len(rows), "every part gives the rows that it is asked for"
        return rows


@dataclass(frozen=True)
class KeyReader:
    """Columns of any types as they are stored, in types that hold those of all files."""

    parts: tuple[Part, ...]
    schema: Any  # pyarrow.Schema of the columns

    def __call__(self, start: int, stop: int) -> pa.Table:
        """Return the rows [start:stop)."""
        import pyarrow as pa

        batches = _batches(self.parts, start, stop, self.schema) if len(self.schema) else ()
        return pa.Table.from_batches((_conformed(batch, self.schema) for batch in batches), self.schema)


@dataclass(frozen=True)
class Table:
    """Files one after the other, of the same columns as far as these are asked for."""

    path: str
    parts: tuple[Part, ...]
    columns: Columns
    is_text: bool  # its types are but judged: what no number is needed of is read as it is written

    @property
    def pieces(self) -> tuple[int, ...]:
        """Rows of each piece that is read by itself (row groups of parquet, stretches of lines of CSV), in order."""
        return tuple(rows for part in self.parts for rows in part.pieces if rows)

    @property
    def n_rows(self) -> int:
        return sum(self.pieces)

    def features(self, patterns: Sequence[str] | None = None, left_out: Collection[str] = ()) -> tuple[str, ...]:
        """Return the names of the columns that names, globs and "!glob" choose.

        With None, these are all but `left_out` and those that pandas and dask wrote as an index. Raise DataError for a
        pattern that matches nothing, and for columns that are not numbers or that not all files have.
        """
        return self.columns.chosen(patterns, left_out)

    def reader(self, columns: Sequence[str]) -> TableReader:
        """Return numeric columns as an array (n_rows, len(columns)).

        Its dtype is float32 where that holds every column exactly (float16 and float32, integers of up to 16 bits,
        booleans), else float64. Values are read as stored, nulls and empty texts as NaN.
        """
        return self._reader(columns, (self.n_rows, len(columns)))

    def column(self, name: str) -> TableReader:
        """Return a numeric or boolean column as an array (n_rows,), for weights or a mask."""
        return self._reader([name], (self.n_rows,))

    def _reader(self, columns: Sequence[str], shape: tuple[int, ...]) -> TableReader:
        import pyarrow as pa

        dtypes = [self.columns.number(name) for name in columns]
        schema = pa.schema([(name, self._parsed_as(name)) for name in columns])
        return TableReader(self.parts, schema, shape, np.result_type(*dtypes))

    def _parsed_as(self, name: str) -> pa.DataType:
        """Return what text is parsed as: numbers whose first rows are whole need not be whole further on."""
        import pyarrow as pa

        return pa.bool_() if self.columns.is_boolean(name) else pa.float64()

    def keys(self, names: Sequence[str]) -> KeyReader:
        """Return columns that are carried over unchanged: those of text files as the very text.

        Raise DataError where a file lacks one, or has it in another sort of type.
        """
        import pyarrow as pa

        return KeyReader(self.parts, pa.schema([(name, self._kept_as(name)) for name in names]))

    def _kept_as(self, name: str) -> pa.DataType:
        import pyarrow as pa

        if not self.is_text:
            return self.columns.type(name)
        self.columns.check_complete(name)
        return pa.string()


def open_table(path: str, format: TableFormat, storage_options: Mapping[str, Any] | None = None) -> Table:  # noqa: A002
    """Return the table in a file, in the files of that format below a directory, or in those that a glob matches.

    The path is local or a URL that fsspec knows (s3://, gs://, https://), opened with `storage_options`. Files come in
    natural order; they must agree in the columns that are asked for. Folders named column=value add no column. Raise
    DataError in one line where nothing is there, a file is damaged, or there is no row.
    """
    _require_pyarrow()
    suffixes, open_parts = _FORMATS[format]
    opened = open_parts(find_files(path, suffixes, storage_options or {}))
    columns = Columns.of(path, ((part.file.name, schema) for part, schema in opened))
    table = Table(path, tuple(part for part, _ in opened), columns, is_text=format == "csv")
    if not table.n_rows:
        raise DataError(f"{path} holds no rows")
    return table


_FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Sequence[StoredFile]], Sequence[tuple[Part, Any]]]]] = {
    "parquet": (parquet_files.SUFFIXES, parquet_files.open_parquet),
    "csv": (csv_files.SUFFIXES, csv_files.open_csv),
}


def _require_pyarrow() -> None:
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError:
        raise ConfigurationError("parquet and CSV are read with pyarrow: pip install 'daskgmm[tables]'") from None


def _batches(parts: Iterable[Part], start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows [start:stop) of parts that follow one another."""
    before = 0
    for part in parts:
        rows = sum(part.pieces)
        first, last = max(start - before, 0), min(stop - before, rows)
        if first < last:
            yield from part.batches(first, last, schema)
        before += rows


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [as_type(batch.column(field.name), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
