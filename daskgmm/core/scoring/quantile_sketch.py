"""Quantiles of a value that every row has, from counts that merge: no row is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array

_DROPPED_BITS = 36  # of the 64 bits: sign, exponent and 16 bits of the fraction are left, a step of 2^-16 of the value
_MAGNITUDE = np.int64(2**63 - 1)


@dataclass(frozen=True, eq=False)
class Counts:
    """How much weight of rows lies in each of the narrow bins that were met, in rising order.

    A bin holds the floats that share their leading bits (relative width 2^-16), so that bins need no range to be set
    beforehand, and the quantile of any number of rows is known to 5 digits.
    """

    bins: NDArray[np.int64]  # (m,), rising
    weights: Array  # (m,)

    @classmethod
    def of(cls, values: Array, row_weights: NDArray[np.number] | None = None) -> Counts:
        """Return the counts of values (n,) with weights (n,) or None; rows of weight 0 may hold anything."""
        weights = np.ones(len(values)) if row_weights is None else np.asarray(row_weights, np.float64)
        present = weights > 0
        return cls(*_sum_equal(_bin(values[present]), weights[present]))

    def __add__(self, other: Counts) -> Counts:
        bins = np.concatenate([self.bins, other.bins])
        return Counts(*_sum_equal(bins, np.concatenate([self.weights, other.weights])))

    def quantile(self, share: float) -> float:
        """Return the bound below which the weight is nearest to `share` of the whole."""
        below = np.concatenate([[0.0], np.cumsum(self.weights)])
        nearest = int(np.argmin(np.abs(below - share * below[-1])))
        edges = np.append(self.bins, self.bins[-1] + 1)
        return float(_lower_edges(edges)[nearest])


def _sum_equal(bins: NDArray[np.int64], weights: Array) -> tuple[NDArray[np.int64], Array]:
    distinct, where = np.unique(bins, return_inverse=True)
    return distinct, np.bincount(where, weights, minlength=len(distinct)).astype(np.float64, copy=False)


def _bin(values: Array) -> NDArray[np.int64]:
    """Return the leading bits of floats as integers in the order of the floats (negative ones count backwards)."""
    bits = np.ascontiguousarray(values, np.float64).view(np.int64)
    return np.where(bits < 0, bits ^ _MAGNITUDE, bits) >> _DROPPED_BITS


def _lower_edges(bins: NDArray[np.int64]) -> Array:
    """Return the smallest float of each bin."""
    bits = bins << _DROPPED_BITS
    return np.where(bits < 0, bits ^ _MAGNITUDE, bits).view(np.float64)
