"""Columns of a table: how those of several files agree where they are asked for, and how patterns choose them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DataError
from .arrow_types import common_type, element_type, exact_dtype, sort_of
from .csv_dialect import UNNAMED
from .csv_values import EXAMPLE, PROBLEM

if TYPE_CHECKING:
    import pyarrow as pa

_INDEX = re.compile(
    rf"__index_level_\d+__|__null_dask_index__|{UNNAMED}0[.\d]*"
)  # as pandas and dask call what has no name
_FOLDER = re.compile(r"([^/=]+)=[^/]*/")


@dataclass(frozen=True)
class Columns:
    """The columns of the files of a table; files may differ in those that nobody asks for."""

    table: str
    files: tuple[tuple[str, Any], ...]  # each pyarrow.Schema that differs, with the first file that has it
    names: tuple[str, ...]  # of all files
    indices: frozenset[str]  # names of columns that pandas or dask wrote as an index
    folders: frozenset[str]  # names in folders that are called name=value

    @classmethod
    def of(cls, table: str, schemas: Iterable[tuple[str, pa.Schema]]) -> Columns:
        """Return the columns of files by their names; raise DataError where a file has several of one name."""
        different: list[tuple[str, pa.Schema]] = []
        indices: set[str] = set()
        folders: set[str] = set()
        for file, schema in schemas:
            folders.update(_FOLDER.findall(file))
            if not any(one.equals(schema) for _, one in reversed(different)):
                _check_distinct(file, schema.names)
                different.append((file, schema.remove_metadata()))
                indices.update(_index_names(schema))
        names = tuple(dict.fromkeys(name for _, schema in different for name in schema.names))
        return cls(table, tuple(different), names, frozenset(indices), frozenset(folders))

    def choose(self, patterns: Sequence[str] | None, left_out: Collection[str]) -> tuple[str, ...]:
        """Return the names that patterns choose, in the order of the patterns and then of the table.

        A pattern is a name, or a glob that respects case; "!pattern" leaves out what it matches. Without a pattern that
        takes, all columns are taken. `left_out` and indices are taken only where a pattern is their very name.
        """
        taking = [pattern for pattern in patterns or () if not pattern.startswith("!")]
        offered = [name for name in self.names if name not in self.indices.union(left_out)]
        taken = [name for pattern in taking for name in self._match(pattern, offered)] if taking else offered
        leaving = [pattern[1:] for pattern in patterns or () if pattern.startswith("!")]
        left = {name for pattern in leaving for name in self._match(pattern, self.names)}
        kept = tuple(dict.fromkeys(name for name in taken if name not in left))
        if not kept:
            raise DataError(f"data.columns leave no column of {self.table}; it has {_list_names(self.names)}")
        self._check_numeric(kept)
        return kept

    def number(self, name: str) -> np.dtype[Any]:
        """Return the float dtype that holds a column, or its lists, of all files; raise DataError for no numbers."""
        dtype = self._number(name)
        if dtype is None:
            file, problem = self._find_metadata(name, PROBLEM)
            if problem:
                raise DataError(f"{file}: the column {name!r} is not numbers: {problem}")
            kind = self._name_type(name)
            raise DataError(f"{self.table}: the column {name!r} is {kind}, not numbers: name a numeric column")
        return dtype

    def is_vector(self, name: str) -> bool:
        """Return whether a column holds lists of numbers in some file."""
        return any(element_type(kind) is not None for kind in self._kinds(name).values())

    def is_boolean(self, name: str) -> bool:
        """Return whether a column holds true and false in all files that show values of it."""
        import pyarrow as pa

        return set(self._kinds(name).values()) == {pa.bool_()}

    def type(self, name: str) -> pa.DataType:
        """Return an arrow type that holds the values of a column of all files unchanged.

        Raise DataError where a file lacks it, or has it in another sort of type.
        """
        kind = common_type(self._kinds(name).values())
        if kind is None:
            raise self._disagreement(name)
        return kind

    def check_complete(self, name: str) -> None:
        """Raise DataError where a file lacks a column, with close names where all do."""
        if name not in self.names:
            raise DataError(f"{self.table} has no column {name!r}{self._hint(name)}")
        lacking = [file for file, schema in self.files if schema.get_field_index(name) < 0]
        if lacking:
            having = next(file for file, schema in self.files if schema.get_field_index(name) >= 0)
            raise DataError(
                f"{lacking[0]} lacks the column {name!r}, which {having} has: leave it out, or write it to every file"
            )

    def _kinds(self, name: str) -> dict[str, pa.DataType]:
        """Return the types of a column by files that differ, without those that show no value.

        Raise DataError where a file lacks it.
        """
        import pyarrow as pa

        self.check_complete(name)
        kinds = {file: schema.field(name).type for file, schema in self.files}
        return {file: kind for file, kind in kinds.items() if not pa.types.is_null(kind)}

    def _number(self, name: str) -> np.dtype[Any] | None:
        dtypes = [exact_dtype(element_type(kind) or kind) for kind in self._kinds(name).values()]
        numeric = [dtype for dtype in dtypes if dtype is not None]
        if not numeric:
            return None
        n_vectors = sum(element_type(kind) is not None for kind in self._kinds(name).values())
        if len(numeric) < len(dtypes) or 0 < n_vectors < len(dtypes):
            raise self._disagreement(name)
        return np.result_type(*numeric)

    def _name_type(self, name: str) -> str:
        kind = str(next(iter(self._kinds(name).values()), "empty"))
        _, example = self._find_metadata(name, EXAMPLE)
        return f"{kind}, {example}" if example else kind

    def _find_metadata(self, name: str, key: bytes) -> tuple[str, str]:
        """Return the first file whose metadata of a column have a key, with their text; empty texts where none has."""
        for file, schema in self.files:
            metadata = schema.field(name).metadata if schema.get_field_index(name) >= 0 else None
            if metadata and key in metadata:
                return file, metadata[key].decode()
        return "", ""

    def _disagreement(self, name: str) -> DataError:
        """Return the error that names the first file, and the first that has another sort of type or else another."""
        (first, kind), *others = self._kinds(name).items()
        unlike = [one for one in others if sort_of(one[1]) != sort_of(kind)] or [
            one for one in others if one[1] != kind
        ]
        other, other_kind = unlike[0]
        types = f"{other} has the column {name!r} as {other_kind}, but {first} as {kind}"
        file, problem = self._find_metadata(name, PROBLEM)
        return DataError(f"{types}: " + (f"{file}: {problem}" if problem else "store it as one type, or leave it out"))

    def _match(self, pattern: str, offered: Sequence[str]) -> list[str]:
        if pattern in self.names:  # a name may hold the characters of a glob
            return [pattern]
        if not any(fnmatchcase(name, pattern) for name in self.names):
            raise DataError(f"data.columns: no column of {self.table} matches {pattern!r}{self._hint(pattern)}")
        return [name for name in offered if fnmatchcase(name, pattern)]

    def _check_numeric(self, names: Sequence[str]) -> None:
        others = [name for name in names if self._number(name) is None]
        for name in others:
            if self._find_metadata(name, PROBLEM)[1]:
                self.number(name)
        if others:
            listed = _list_names([f"{name!r} ({self._name_type(name)})" for name in others])
            remedy = ", ".join(f'"!{name}"' for name in others[:_MAX_NAMES])
            raise DataError(
                f"{self.table} has columns that are not numbers: {listed}; leave them out with data.columns: [{remedy}]"
            )

    def _hint(self, name: str) -> str:
        if name in self.folders:
            return f": folders that are named {name}=... are no columns; write it into the files"
        folded = {one.casefold(): one for one in self.names}
        close = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]
        return f", did you mean {' or '.join(close)}?" if close else f"; it has {_list_names(self.names)}"


def _index_names(schema: pa.Schema) -> set[str]:
    """Return which columns of a file pandas or dask wrote as an index."""
    described = (schema.pandas_metadata or {}).get("index_columns", ())
    named = {name for name in described if isinstance(name, str)}  # a range is described by a mapping, and no column
    unnamed = {name for name in schema.names if _INDEX.fullmatch(name)}
    return named | unnamed


def _check_distinct(file: str, names: Sequence[str]) -> None:
    twice = sorted({column for column in names if names.count(column) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{file} has several columns with the name {twice[0]!r}: rename them")


_MAX_NAMES = 8  # names in a message; a table may have thousands


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
