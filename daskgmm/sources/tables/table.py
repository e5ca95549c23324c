"""Tables of parquet or CSV files: rows of chosen columns that are read where they are sliced."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError, DataError
from ...filesystem.location import public
from ..readable import OfShape
from . import arrow as arrow_files
from . import csv as csv_files
from . import fcs as fcs_files
from . import orc as orc_files
from . import parquet as parquet_files
from .arrow_types import as_numbers, as_type, as_vectors, lengths_of
from .columns import Columns
from .compressed import COMPRESSED
from .csv_dialect import CsvOptions
from .files import StoredFile, find_files

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN = CsvOptions()


class Part(Protocol):
    """A file of a table; it can be read in pieces."""

    @property
    def file(self) -> StoredFile: ...

    @property
    def pieces(self) -> tuple[int, ...]: ...

    @property
    def notice(self) -> str | None:
        """What a person should know of how the file is read, None for nothing."""

    def batches(self, start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows [start:stop) of the columns that a schema names; text is parsed as its types."""


@dataclass(frozen=True)
class TableReader(OfShape):
    """Columns of a table as (n, features), or (n,) where flat: numbers of one dtype, nulls as NaN."""

    parts: tuple[Part, ...]
    schema: Any  # pyarrow.Schema of the columns
    widths: tuple[int, ...]  # features of each column: numbers of each of its lists, or 0 where it holds numbers
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, slices: tuple[slice, ...]) -> NDArray[Any]:
        """Return the sliced rows; raise DataError that names the file if they cannot be read."""
        wanted = range(self.shape[0])[slices[0]]
        start, stop = (min(wanted), max(wanted) + 1) if wanted else (0, 0)
        owners = [column for column, width in enumerate(self.widths) for _ in range(max(width, 1))]
        features = range(len(owners))[slices[1] if len(slices) > 1 else slice(None)]
        columns = {owners[feature] for feature in features}
        read = [feature for feature, owner in enumerate(owners) if owner in columns]
        rows = self._read(start, stop, sorted(columns))[:: wanted.step]
        if read != list(features):
            place = {feature: i for i, feature in enumerate(read)}
            rows = rows[:, [place[feature] for feature in features]]
        return rows[:, 0] if self.ndim == 1 else rows

    def _read(self, start: int, stop: int, columns: Sequence[int]) -> NDArray[Any]:
        """Return all features of columns, of the rows [start:stop)."""
        import pyarrow as pa

        schema = pa.schema([self.schema.field(column) for column in columns])
        edges = [0, *accumulate(max(self.widths[column], 1) for column in columns)]
        rows = np.empty((stop - start, edges[-1]), self.dtype)
        done = 0
        for batch in _batches(self.parts, start, stop, schema):
            into = rows[done : done + batch.num_rows]
            for i, column in enumerate(columns):
                self._fill(into[:, edges[i] : edges[i + 1]], batch.column(schema.names[i]), column, start + done)
            done += batch.num_rows
        assert done == len(rows), "every part gives the rows that it is asked for"
        return rows

    def _fill(self, into: NDArray[Any], values: pa.Array, column: int, row: int) -> None:
        """Put a column, whose values begin at a row of the table, into its features (n, width)."""
        width = self.widths[column]
        if not width:
            into[:, 0] = as_numbers(values)
            return
        lengths = lengths_of(values)
        unlike = np.flatnonzero((lengths >= 0) & (lengths != width))
        if len(unlike):
            file, row_of_file = _place(self.parts, row + int(unlike[0]))
            raise DataError(
                f"{file}: row {row_of_file} has {lengths[unlike[0]]} numbers in the column "
                f"{self.schema.field(column).name!r}, others have {width}: a feature needs a number in each row"
            )
        into[:] = as_vectors(values, width)


@dataclass(frozen=True)
class KeyReader:
    """Columns of any types as they are stored, in types that hold those of all files."""

    parts: tuple[Part, ...]
    schema: Any  # pyarrow.Schema of the columns

    def __call__(self, start: int, stop: int) -> pa.Table:
        """Return the rows [start:stop)."""
        import pyarrow as pa

        batches = _batches(self.parts, start, stop, self.schema) if len(self.schema) else ()
        return pa.Table.from_batches((_conform(batch, self.schema) for batch in batches), self.schema)


@dataclass(frozen=True)
class Table:
    """Files one after the other, of the same columns as far as these are asked for."""

    path: str
    parts: tuple[Part, ...]
    columns: Columns
    is_text: bool  # its types are but judged: what no number is needed of is read as it is written
    others: tuple[str, ...] = ()  # files below its folder that are not read
    logged: tuple[str, ...] = ()  # names of columns that its log has

    @property
    def pieces(self) -> tuple[int, ...]:
        """Rows of each piece that is read by itself (row groups of parquet, stretches of lines of CSV), in order."""
        return tuple(rows for part in self.parts for rows in part.pieces if rows)

    @property
    def files(self) -> tuple[tuple[str, int], ...]:
        """The name of each file, in order, and the number of its rows."""
        return tuple((part.file.name, sum(part.pieces)) for part in self.parts)

    @property
    def n_rows(self) -> int:
        return sum(self.pieces)

    def features(self, patterns: Sequence[str] | None = None, left_out: Collection[str] = ()) -> tuple[str, ...]:
        """Return the names of the columns that names, globs and "!glob" choose.

        With None, these are all but `left_out` and those that pandas and dask wrote as an index. Raise DataError for a
        pattern that matches nothing, and for columns that are not numbers or that not all files have.
        """
        return self.columns.choose(patterns, left_out)

    def notices(self, named: Collection[str]) -> tuple[str, ...]:
        """Return the notices on how the table is read: columns left out unasked, and slow formats."""
        left = [name for name in self.columns.names if name in self.columns.indices and name not in named]
        packed = [part.file.name for part in self.parts if part.file.ends_with(COMPRESSED)]
        told = []
        if left:
            told.append(f"{self.path}: {', '.join(map(repr, left))} of pandas or dask is an index, and no feature")
        if self.columns.folders and not self.logged:
            names = ", ".join(sorted(self.columns.folders))
            told.append(f"{self.path}: folders are named {names}=...: these are no features, write them into the files")
        if lacking := [name for name in self.logged if name not in self.columns.names]:
            told.append(f"{self.path}: {', '.join(lacking)} stand in the log of the table only: these are no features")
        if self.others:
            more = f" and {len(self.others) - 1} more" if len(self.others) > 1 else ""
            told.append(f"{self.others[0]}{more}: not read, as no file of the table")
        if packed:
            more = f" and {len(packed) - 1} more" if len(packed) > 1 else ""
            told.append(f"{packed[0]}{more}: each read of a compressed file decompresses all of it: parquet is faster")
        told += [part.notice for part in self.parts if part.notice is not None]
        return tuple(map(public, told))

    def reader(self, columns: Sequence[str]) -> TableReader:
        """Return numeric columns as an array (n_rows, features): a column of lists is as many as its lists are long.

        Its dtype is float32 where that holds every column exactly (float16 and float32, integers of up to 16 bits,
        booleans), else float64. Values are read as stored, nulls and empty texts as NaN. Raise DataError for a column
        of lists of several lengths.
        """
        widths = tuple(self._width(name) for name in columns)
        return self._reader(columns, widths, (self.n_rows, sum(max(width, 1) for width in widths)))

    def feature_names(self, reader: TableReader) -> tuple[str, ...]:
        """Return the names of a reader's features: those of its columns, for lists with an index."""
        named = zip(reader.schema.names, reader.widths, strict=True)
        return tuple(
            one for name, width in named for one in ([f"{name}[{i}]" for i in range(width)] if width else [name])
        )

    def column(self, name: str) -> TableReader:
        """Return a numeric or boolean column as an array (n_rows,), for weights or a mask."""
        self.columns.number(name)
        if self.columns.is_vector(name):
            raise DataError(f"{self.path}: the column {name!r} holds lists: name a column with a number in each row")
        return self._reader([name], (0,), (self.n_rows,))

    def _reader(self, columns: Sequence[str], widths: tuple[int, ...], shape: tuple[int, ...]) -> TableReader:
        import pyarrow as pa

        dtypes = [self.columns.number(name) for name in columns]
        schema = pa.schema([(name, self._choose_parsed_type(name)) for name in columns])
        return TableReader(self.parts, schema, widths, shape, np.result_type(*dtypes))

    def _width(self, name: str) -> int:
        """Return the length of the first list of a column, 0 where it holds no lists."""
        import pyarrow as pa

        if not self.columns.is_vector(name):
            return 0
        for batch in _batches(self.parts, 0, self.n_rows, pa.schema([(name, pa.null())])):
            lengths = lengths_of(batch.column(name))
            if (lengths >= 0).any():
                return int(lengths[np.argmax(lengths >= 0)]) or self._refuse_empty(name)
        return self._refuse_empty(name)

    def _refuse_empty(self, name: str) -> NoReturn:
        raise DataError(f"{self.path}: the first list of the column {name!r} is empty: leave the column out")

    def _choose_parsed_type(self, name: str) -> pa.DataType:
        """Return the type that text is parsed as: numbers that begin as integers need not go on as such."""
        import pyarrow as pa

        return pa.bool_() if self.columns.is_boolean(name) else pa.float64()

    def keys(self, names: Sequence[str]) -> KeyReader:
        """Return columns that are carried over unchanged: those of text files as the very text.

        Raise DataError where a file lacks one, has it in another sort of type, or in one that parquet cannot hold.
        """
        import pyarrow as pa

        fields = [pa.field(name, self._choose_kept_type(name)) for name in names]
        for field in fields:
            _check_writable(self.path, field)
        return KeyReader(self.parts, pa.schema(fields))

    def _choose_kept_type(self, name: str) -> pa.DataType:
        import pyarrow as pa

        if not self.is_text:
            return self.columns.type(name)
        self.columns.check_complete(name)
        return pa.string()


def open_table(
    path: str,
    format: str,  # noqa: A002
    storage_options: Mapping[str, Any] | None = None,
    csv_options: CsvOptions = _PLAIN,
) -> Table:
    """Return the table in a file, in the files of that format below a directory, or in those that a glob matches.

    The path is local or a URL that fsspec knows (s3://, gs://, https://), opened with `storage_options`. Files come in
    natural order; they must agree in the columns that are asked for. Folders named column=value add no column. Raise
    DataError in one line where nothing is there, a file is damaged, or there is no row.
    """
    _require_pyarrow()
    suffixes, open_parts = TABLE_FORMATS[format]
    found = find_files(path, suffixes, storage_options or {})
    opened = open_parts(found.files, csv_options)
    columns = Columns.of(path, ((part.file.name, schema) for part, schema in opened))
    table = Table(path, tuple(part for part, _ in opened), columns, format == "csv", found.others, found.columns)
    if not table.n_rows:
        raise DataError(f"{path} holds no rows")
    return table


Parts = Sequence[tuple[Part, Any]]  # with the pyarrow.Schema of each
TABLE_FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Sequence[StoredFile], CsvOptions], Parts]]]
TABLE_FORMATS = {
    "parquet": (parquet_files.SUFFIXES, lambda files, _: parquet_files.open_parquet(files)),
    "csv": (csv_files.SUFFIXES, csv_files.open_csv),
    "arrow": (arrow_files.SUFFIXES, lambda files, _: arrow_files.open_arrow(files)),
    "orc": (orc_files.SUFFIXES, lambda files, _: orc_files.open_orc(files)),
    "fcs": (fcs_files.SUFFIXES, lambda files, _: fcs_files.open_fcs(files)),
}


def _require_pyarrow() -> None:
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError:
        raise ConfigurationError("tables are read with pyarrow: pip install 'daskgmm[tables]'") from None


def _batches(parts: Iterable[Part], start: int, stop: int, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows [start:stop) of parts that follow one another."""
    before = 0
    for part in parts:
        rows = sum(part.pieces)
        first, last = max(start - before, 0), min(stop - before, rows)
        if first < last:
            yield from part.batches(first, last, schema)
        before += rows


def _place(parts: Iterable[Part], row: int) -> tuple[str, int]:
    """Return the file that holds a row of the table, and the row's number in it."""
    for part in parts:
        if row < sum(part.pieces):
            return part.file.name, row
        row -= sum(part.pieces)
    raise AssertionError("the row is one of the table")


def _check_writable(path: str, field: pa.Field) -> None:
    """Raise DataError for a key that no parquet file of results can hold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.write_table(pa.schema([field]).empty_table(), pa.BufferOutputStream())
    except (pa.ArrowException, NotImplementedError, ValueError) as error:
        raise DataError(
            f"{path}: data.keep names {field.name!r}, which is {field.type} and cannot be written to parquet "
            f"({' '.join(str(error).split())}): leave it out, or store it as another type"
        ) from None


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [as_type(batch.column(field.name), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
