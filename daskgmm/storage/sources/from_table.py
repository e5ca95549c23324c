"""Tables of parquet or CSV files as sources: chosen columns are features, others weights, mask or keys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .composed import NonZero
from .data import DataOptions, Source
from .reading import Guard, Reliable
from .tables.table import Table, TableFormat, open_table


def open_table_source(options: DataOptions, guard: Guard, weighted: bool, format: TableFormat) -> Source:  # noqa: A002
    """Return the source in a file, a directory or a pattern of parquet or CSV files; key columns go to its results."""
    table = open_table(options.path, format, options.storage_options)
    besides = [name for name in (options.weights, options.mask_name, *options.keep) if name is not None]
    features = table.features(options.columns, besides)
    source = Source(
        Reliable(table.reader(features), options.path, guard),
        options.path,
        (table.pieces,),
        feature_names=features,
        keys=KeyColumns(table, options.keep, guard),
    )
    table.arrow(0, 0, options.keep)  # refuses names that are not there
    if weighted and options.weights is not None:
        source = replace(source, weights=_column(table, options.weights, guard))
    if options.mask_name is not None:
        mask = NonZero.of(options.mask_name, _column(table, options.mask_name, guard), options.mask_is_inverted)
        source = replace(source, valid=mask)
    return source


def _column(table: Table, name: str, guard: Guard) -> Reliable:
    return Reliable(table.column(name), f"{table.path}, column {name}", guard)


@dataclass(frozen=True)
class KeyColumns:
    """The key columns of a table, read where they are asked for."""

    table: Table
    names: tuple[str, ...]
    guard: Guard

    def __call__(self, start: int, stop: int) -> Any:
        """Return the rows [start:stop) as a pyarrow.Table."""
        name = f"rows {start}:{stop} of {self.table.path}"
        return self.guard(lambda: self.table.arrow(start, stop, self.names), name)
