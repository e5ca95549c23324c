"""Types of stored columns: which are numbers, and what holds the values of several without a change."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


def exact_dtype(kind: pa.DataType) -> np.dtype[Any] | None:
    """Return the float dtype that numbers of an arrow type are read as, None for what is no number.

    float32 where it is exact: float16, float32, integers of up to 16 bits, booleans; else float64.
    """
    kind = _value_type(kind)
    if not _is_number(kind):
        return None
    is_small = kind.bit_width <= 16 or str(kind) == "float"
    return np.dtype(np.float32 if is_small else np.float64)


def element_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type of the elements of a list of numbers (fixed in size or not, or a tensor of one axis), or None."""
    import pyarrow as pa

    if isinstance(kind, pa.FixedShapeTensorType):
        kind = kind.storage_type if len(kind.shape) == 1 else pa.null()
    is_list = any(is_it(kind) for is_it in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))
    return kind.value_type if is_list and exact_dtype(kind.value_type) is not None else None


def lengths_of(values: pa.Array) -> NDArray[np.int64]:
    """Return the length of each list (n,), -1 for nulls."""
    import pyarrow.compute as pc

    lengths: NDArray[np.int64] = pc.fill_null(pc.list_value_length(_storage_of(values)), -1).to_numpy(
        zero_copy_only=False
    )
    return lengths


def as_vectors(values: pa.Array, width: int) -> NDArray[Any]:
    """Return lists of `width` numbers as (n, width); nulls, and lists that are null, as NaN."""
    is_there = lengths_of(values) >= 0
    elements = as_numbers(_storage_of(values).flatten())  # without those of lists that are null
    vectors = np.full((len(values), width), np.nan, np.result_type(elements.dtype, np.float32))
    vectors[is_there] = elements.reshape(-1, width)
    return vectors


def _storage_of(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    return values.storage if isinstance(values, pa.ExtensionArray) else values


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
    """Return an arrow array as another type that holds its values."""
    import pyarrow as pa

    if values.type == kind:
        return values
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values.cast(kind)


def common_type(kinds: Collection[pa.DataType]) -> pa.DataType | None:
    """Return a type that holds the values of all unchanged, None where they are of different sorts.

    Numbers, and times, that no type of theirs holds exactly are held as text.
    """
    import pyarrow as pa

    stored = dict.fromkeys(kind for kind in kinds if not pa.types.is_null(kind))
    if len(stored) <= 1:
        return next(iter(stored), pa.null())
    values = list(dict.fromkeys(map(_value_type, stored)))
    if len(values) == 1:
        return values[0]
    sorts = set(map(sort_of, values))
    merged = _MERGE_TYPES.get(sorts.pop()) if len(sorts) == 1 else None
    return None if merged is None else merged(values)


def sort_of(kind: pa.DataType) -> str:
    """Return the kind of an arrow type's values: number, text, time, or the type's name."""
    from pyarrow import types

    kind = _value_type(kind)
    is_text = any(is_it(kind) for is_it in (types.is_string, types.is_large_string, types.is_string_view))
    if _is_number(kind):
        return "number"
    return "text" if is_text else "time" if types.is_temporal(kind) else str(kind)


def _merge_numbers(kinds: Collection[pa.DataType]) -> pa.DataType:
    import pyarrow as pa

    if all(map(pa.types.is_decimal, kinds)):
        return _unify(kinds) or pa.string()
    if any(pa.types.is_decimal(kind) or pa.types.is_boolean(kind) for kind in kinds):
        return pa.string()
    dtype = np.result_type(*(kind.to_pandas_dtype() for kind in kinds))
    has_long = any(pa.types.is_integer(kind) and kind.bit_width == 64 for kind in kinds)
    return pa.string() if has_long and dtype.kind == "f" else pa.from_numpy_dtype(dtype)


def _merge_times(kinds: Collection[pa.DataType]) -> pa.DataType | None:
    """Return the finest of the units; as text in place of nanoseconds, whose range of 292 years others exceed."""
    import pyarrow as pa

    kind = _unify(kinds)
    overflows = kind is not None and not pa.types.is_time(kind) and getattr(kind, "unit", "") == "ns"
    return pa.string() if overflows else kind


def _merge_texts(kinds: Collection[pa.DataType]) -> pa.DataType:
    import pyarrow as pa

    return pa.large_string()


def _unify(kinds: Collection[pa.DataType]) -> pa.DataType | None:
    import pyarrow as pa

    try:
        schemas = [pa.schema([("column", kind)]) for kind in kinds]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def _value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values, which a dictionary holds apart."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    from pyarrow import types

    return any(is_it(kind) for is_it in (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal))


_MERGE_TYPES: dict[str, Callable[[Collection[Any]], Any]] = {
    "number": _merge_numbers,
    "text": _merge_texts,
    "time": _merge_times,
}
