"""Tables as sources: chosen columns are features, others weights, mask or keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from ..base import Source
from ..composite import NonZero
from ..guarded import Guard, Reliable
from ..result_columns import is_result_column
from ..source_format import OF_CSV, OF_TABLES, SourceFormat
from .table import TABLE_FORMATS, KeyReader, Table, open_table
from .table_logs import METADATA_FILE

if TYPE_CHECKING:
    from ..options import DataOptions


def open_table_source(options: DataOptions, guard: Guard, weighted: bool, format: str) -> Source:  # noqa: A002
    """Return the source in a file, a directory or a pattern of files of a table; key columns go to its results."""
    _check_keys(options.keep)
    table = open_table(options.path, format, options.storage_options, options.csv)
    keys = KeyColumns(table.keys(options.keep), options.path, guard)
    others = (options.weights, options.labels, options.mask_name, *options.keep)
    besides = [name for name in others if name is not None]
    features = table.features(options.columns, besides)
    _check_no_key(features, options.keep)
    reader = table.reader(features)
    source = Source(
        Reliable(reader, options.path, guard),
        options.path,
        (table.pieces,),
        feature_names=table.feature_names(reader),
        files=table.files,
        keys=keys,
        notices=table.notices((*features, *besides)),
    )
    if weighted and options.weights is not None:
        source = replace(source, weights=_column(table, options.weights, guard))
    if weighted and options.labels is not None:
        source = replace(source, labels=_column(table, options.labels, guard))
    if options.mask_name is not None:
        mask = NonZero.of(options.mask_name, _column(table, options.mask_name, guard), options.mask_is_inverted)
        source = replace(source, valid=mask)
    return source


def _check_keys(keep: Sequence[str]) -> None:
    """Raise ConfigurationError for keys that would not all stand in a table of results."""
    twice = next((name for name in keep if keep.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"data.keep names {twice!r} twice: name each key column once")
    overwritten = next((name for name in keep if is_result_column(name)), None)
    if overwritten is not None:
        raise ConfigurationError(
            f"data.keep: the results have a column {overwritten!r} of their own: rename that of the data"
        )


def _check_no_key(features: Sequence[str], keep: Sequence[str]) -> None:
    both = next((name for name in keep if name in features), None)
    if both is not None:
        raise ConfigurationError(f"data.keep and data.columns both name {both!r}: a key is no feature; name it in one")


def _column(table: Table, name: str, guard: Guard) -> Reliable:
    return Reliable(table.column(name), f"{table.path}, column {name}", guard)


@dataclass(frozen=True)
class KeyColumns:
    """The key columns of a table, read where they are asked for."""

    read: KeyReader
    path: str
    guard: Guard

    def __call__(self, start: int, stop: int) -> Any:
        """Return the rows [start:stop) as a pyarrow.Table."""
        return self.guard(lambda: self.read(start, stop), f"rows {start}:{stop} of {self.path}")


TABLES = tuple(
    SourceFormat(
        name,
        partial(open_table_source, format=name),
        (*suffixes, METADATA_FILE) if name == "parquet" else suffixes,
        takes=OF_TABLES | OF_CSV if name == "csv" else OF_TABLES,
        from_url=True,
        from_many=True,
    )
    for name, (suffixes, _) in TABLE_FORMATS.items()
)
