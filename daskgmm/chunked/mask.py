"""Which rows count, and how much: weights and masks as one array of weights, 0 for a row that is left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def presence(
    rows: NDArray[Any], weights: NDArray[Any] | None, valid: NDArray[np.bool_] | None, fill_values: Iterable[float] = ()
) -> NDArray[Any]:
    """Return the weights (*grid) of rows (*grid, d): those given, or True, and 0 or False where a row is masked.

    A row is masked where `valid` (*grid) is False, or where any of its features equals one of
    `fill_values` (NaN: is NaN).
    """
    counts = np.ones(rows.shape[:-1], bool) if valid is None else valid
    for fill_value in fill_values:
        counts = counts & ~_equal(rows, fill_value).any(axis=-1)
    return counts if weights is None else np.where(counts, weights, 0)


def _equal(rows: NDArray[Any], fill_value: float) -> NDArray[Any]:
    """Mark values that are the fill value, or its rounding to float32: 1e20 is another number there.

    Columns of both types come together as float64, so both are looked for in either.
    """
    if np.isnan(fill_value):
        return np.asarray(np.isnan(rows))
    equal = np.asarray(rows == fill_value)
    if rows.dtype.kind == "f":
        with np.errstate(over="ignore"):
            equal |= rows == np.float32(fill_value).astype(rows.dtype)
    return equal
