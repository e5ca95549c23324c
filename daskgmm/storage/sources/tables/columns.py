"""Columns of a table: which are numbers, how those of several files agree, and how patterns choose them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def exact_dtype(kind: pa.DataType) -> np.dtype[Any] | None:
    """Return the float dtype that numbers of an arrow type are read as, None for what is no number.

    float32 where it is exact: float16, float32, integers of up to 16 bits, booleans; else float64.
    """
    kind = value_type(kind)
    if not _is_number(kind):
        return None
    is_small = kind.bit_width <= 16 or str(kind) == "float"
    return np.dtype(np.float32 if is_small else np.float64)


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values, which a dictionary holds apart."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def as_numbers(values: pa.Array) -> NDArray[Any]:
    """Return the numbers of an arrow array (n,) as NumPy's, nulls as NaN, in a dtype that holds them."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_numbers(values.dictionary_decode())
    if pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    elif pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = values.cast(pa.float64())
    numbers: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return numbers


def as_type(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return an arrow array as another type of the same sort."""
    import pyarrow as pa

    if values.type == kind:
        return values
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(kind)


def merged_schema(schemas: Iterable[tuple[str, pa.Schema]]) -> pa.Schema:
    """Return the columns of the first file with types that hold those of all; each schema comes with its file's name.

    Raise DataError where a file lacks a column of the first, or has it in another sort of type.
    """
    import pyarrow as pa

    (first_name, first), *others = schemas
    _check_distinct(first_name, first.names)
    kinds = dict(zip(first.names, first.types, strict=True))
    for name, schema in others:
        if schema.equals(first):
            continue
        _check_distinct(name, schema.names)
        for column, kind in kinds.items():
            if column not in schema.names:
                raise DataError(f"{name} lacks the column {column!r}, which {first_name} has")
            merged = _merged(kind, schema.field(column).type)
            if merged is None:
                raise DataError(
                    f"{name} has the column {column!r} as {schema.field(column).type}, but {first_name} as {kind}: "
                    "store it as one type"
                )
            kinds[column] = merged
    return pa.schema(list(kinds.items()))


def chosen(schema: pa.Schema, patterns: Sequence[str] | None, left_out: Collection[str], table: str) -> tuple[str, ...]:
    """Return the names that patterns choose, in the order of the patterns and then of the table.

    A pattern is a name, or a glob that respects case; "!pattern" leaves out what it matches. Without a pattern that
    takes, all columns are taken. `left_out` are taken only where a pattern is their very name.
    """
    names: list[str] = schema.names
    taking = [pattern for pattern in patterns or () if not pattern.startswith("!")]
    offered = [name for name in names if name not in left_out]
    taken = [name for pattern in taking for name in _matching(pattern, names, offered, table)] if taking else offered
    leaving = [pattern[1:] for pattern in patterns or () if pattern.startswith("!")]
    left = {name for pattern in leaving for name in _matching(pattern, names, names, table)}
    kept = tuple(dict.fromkeys(name for name in taken if name not in left))
    if not kept:
        raise DataError(f"data.columns leave no column of {table}; it has {_listed(names)}")
    _check_numeric(schema, kept, table)
    return kept


def known(schema: pa.Schema, name: str, table: str) -> str:
    """Return the name of a column; raise DataError with close names where there is none."""
    if name not in schema.names:
        raise DataError(f"{table} has no column {name!r}{_close(name, schema.names)}")
    return name


def _matching(pattern: str, names: Sequence[str], offered: Sequence[str], table: str) -> list[str]:
    if pattern in names:  # a name may hold the characters of a glob
        return [pattern]
    if not any(fnmatchcase(name, pattern) for name in names):
        raise DataError(f"data.columns: no column of {table} matches {pattern!r}{_close(pattern, names)}")
    return [name for name in offered if fnmatchcase(name, pattern)]


def _check_numeric(schema: pa.Schema, names: Sequence[str], table: str) -> None:
    others = [name for name in names if exact_dtype(schema.field(name).type) is None]
    if others:
        listed = _listed([f"{name!r} ({schema.field(name).type})" for name in others])
        remedy = ", ".join(f'"!{name}"' for name in others[:_LISTED])
        raise DataError(
            f"{table} has columns that are not numbers: {listed}; leave them out with data.columns: [{remedy}]"
        )


def _check_distinct(name: str, names: Sequence[str]) -> None:
    twice = sorted({column for column in names if names.count(column) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{name} has several columns with the name {twice[0]!r}: rename them")


def _is_number(kind: pa.DataType) -> bool:
    from pyarrow import types

    return any(is_it(kind) for is_it in (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal))


def _is_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    kind = value_type(kind)
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _merged(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return a type that holds the values of both, None where they are of different sorts."""
    import pyarrow as pa

    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if _is_text(one) and _is_text(other):
        return pa.large_string()
    numeric = [exact_dtype(kind) is not None for kind in (one, other)]
    if all(numeric):
        return pa.from_numpy_dtype(np.promote_types(_numpy_type(one), _numpy_type(other)))
    if any(numeric):
        return None
    try:
        fields = [pa.schema([("column", kind)]) for kind in (one, other)]
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def _numpy_type(kind: pa.DataType) -> np.dtype[Any]:
    import pyarrow as pa

    kind = value_type(kind)
    return np.dtype(np.float64 if pa.types.is_decimal(kind) else kind.to_pandas_dtype())


_LISTED = 8  # names in a message; a table may have thousands


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _close(name: str, names: Sequence[str]) -> str:
    folded = {one.casefold(): one for one in names}
    close = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)]
    return f", did you mean {' or '.join(close)}?" if close else f"; it has {_listed(names)}"
