"""The data summary: what one look at all rows tells; a mergeable value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from operator import add

import numpy as np
from numpy.typing import NDArray

from ...blas import single_threaded
from ..arrays.blocks import blocks
from ..arrays.naming import KINDS
from ..arrays.types import Array
from .frame import Frame


@dataclass(frozen=True, eq=False)
class DataSummary:
    """Count, weight, mean, scatter, range, resolution and faults of rows; rows of weight 0 are not looked at.

    Merges by the pairwise update of Chan, Golub and LeVeque (1979). The mean is kept as one of the rows plus the small
    difference to it: differences of rows are exact where they are close, so an offset of all rows costs no digits.
    """

    n_rows: int  # rows of positive weight
    weight_sum: float
    origin: Array  # (d,), the first of the rows
    lead: Array  # (d,), mean - origin
    scatter: Array  # (d, d), sum_n weight_n (x_n - mean)(x_n - mean)^T; or its diagonal alone, (d,)
    minimum: Array  # (d,)
    maximum: Array  # (d,)
    steps: Array  # (d,), of which the values of each column are multiples; 0: none, or not looked for
    n_nonfinite: int = 0  # values that are NaN or infinite
    first_nonfinite: tuple[int, int] | None = None  # its row and column
    n_bad_weights: int = 0  # row weights that are negative, NaN or infinite
    first_bad_weight: tuple[int, float] | None = None  # its row and value
    nonfinite_kinds: tuple[str, ...] = ()  # of nan, inf and -inf, those that there are
    n_missing: int = 0  # NaN in rows of weight 0
    n_gaps: tuple[int, ...] = ()  # missing values of each column in rows of positive weight; () if there are none
    value_weights: tuple[float, ...] = ()  # the weight of the other rows

    @classmethod
    def zero(cls, n_features: int, *, by_column: bool = False) -> DataSummary:
        """Return the data summary of no rows; `by_column` one whose scatter is its diagonal alone."""
        d = n_features
        bounds = np.full(d, np.inf), np.full(d, -np.inf)
        return cls(0, 0.0, np.zeros(d), np.zeros(d), np.zeros(d if by_column else (d, d)), *bounds, np.zeros(d))

    @np.errstate(over="ignore", invalid="ignore")  # of squares: the scatter then shows it
    def __add__(self, other: DataSummary) -> DataSummary:
        if self.has_gaps or other.has_gaps:
            return _merge_with_gaps(self, other)
        return self._merge(other)

    def _merge(self, other: DataSummary) -> DataSummary:
        """Return the data summary of the rows of both, if no values are missing."""
        weight_sum = self.weight_sum + other.weight_sum
        share = other.weight_sum / weight_sum if weight_sum > 0 else 0.0
        origin = self.origin if self.n_rows else other.origin
        lead = (other.origin - origin) + other.lead
        shift = lead - self.lead
        return DataSummary(
            self.n_rows + other.n_rows,
            weight_sum,
            origin,
            self.lead + share * shift,
            self._merge_scatter(other, self.weight_sum * share, shift),
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            np.maximum(self.steps, other.steps),
            self.n_nonfinite + other.n_nonfinite,
            self.first_nonfinite or other.first_nonfinite,
            self.n_bad_weights + other.n_bad_weights,
            self.first_bad_weight or other.first_bad_weight,
            tuple(kind for kind in KINDS if kind in self.nonfinite_kinds + other.nonfinite_kinds),
            self.n_missing + other.n_missing,
        )

    def _merge_scatter(self, other: DataSummary, factor: float, shift: Array) -> Array:
        """Return the scatters of both and factor times that of the shift, in two arrays: each may be d x d."""
        total: Array = self.scatter + other.scatter
        between = _squares(shift, total)
        between *= factor
        total += between
        return total

    def scale(self, factor: float) -> DataSummary:
        """Return the data summary of the same rows with `factor` times the weights, above 0."""
        if factor == 1:
            return self
        return replace(
            self,
            weight_sum=factor * self.weight_sum,
            scatter=factor * self.scatter,
            value_weights=tuple(factor * one for one in self.value_weights),
        )

    @property
    def n_features(self) -> int:
        return len(self.origin)

    @property
    def has_gaps(self) -> bool:
        """Whether values of rows of positive weight are missing."""
        return bool(self.n_gaps)

    @property
    def column_weights(self) -> Array:
        """The weight of the rows that have a value in each column, (d,)."""
        return np.array(self.value_weights) if self.has_gaps else np.full(self.n_features, self.weight_sum)

    @property
    def without_value(self) -> tuple[int, ...]:
        """The numbers of the columns in which all values are missing."""
        return tuple(int(i) for i in np.flatnonzero(np.array(self.n_gaps) == self.n_rows)) if self.n_rows else ()

    @property
    def mean(self) -> Array:
        """Mean of each feature, (d,)."""
        return self.origin + self.lead

    @cached_property
    def variance(self) -> Array:
        """Variance of each feature, (d,); exactly 0 for a constant one."""
        weights = np.where(self.column_weights > 0, self.column_weights, 1.0)
        return np.where(self.minimum < self.maximum, _diagonal(self.scatter) / weights, 0.0)

    @cached_property
    def frame(self) -> Frame:
        return Frame.from_variance(self.mean, self.variance)

    @cached_property
    def total_covariance(self) -> Array:
        """Covariance of all rows in the frame's coordinates, (d, d): the correlations."""
        scale = self.frame.scale
        if self.has_gaps:
            root = np.sqrt(self.column_weights) * scale
            return self.scatter / np.outer(root, root)
        return self.scatter / self.weight_sum / np.outer(scale, scale)

    @property
    def constant(self) -> tuple[int, ...]:
        """The numbers of the features that have one value only."""
        return tuple(int(i) for i in np.flatnonzero(self.minimum == self.maximum))

    @property
    def duplicates(self) -> tuple[tuple[int, int], ...]:
        """The pairs of features that are linear copies of each other: |correlation| = 1 to rounding."""
        near_one = np.triu(np.abs(self.total_covariance) > 1 - 1e-12, k=1)
        return tuple((int(i), int(j)) for i, j in zip(*np.nonzero(near_one), strict=True))


def summarise_rows(
    rows: NDArray[np.number],
    row_weights: NDArray[np.number] | None = None,
    first_row: int = 0,
    *,
    missing: bool = False,
    by_column: bool = False,
) -> DataSummary:
    """Return the data summary of rows (n, d) with weights (n,) or None, the first of which is row number `first_row`.

    NaN is a fault, or with `missing` a missing value. `by_column` leaves out the scatter but for its diagonal; such
    rows have no missing values.
    """
    zero = DataSummary.zero(rows.shape[1], by_column=by_column)
    result = zero
    with single_threaded(), np.errstate(over="ignore", invalid="ignore"):  # of squares: the scatter then shows it
        for block, weights in blocks(rows, row_weights):
            result = result + _summarise_block(block, weights, first_row, missing, zero)
            first_row += len(block)
    return result


def _merge_with_gaps(one: DataSummary, other: DataSummary) -> DataSummary:
    """Return the data summary of the rows of two data summaries, column by column.

    The scatter is that of rows in which missing values are the mean of their column: its diagonal is exact, off it
    the shift of the means counts as if the gaps of both columns were in the same rows.
    """
    merged = one._merge(other)
    weights = one.column_weights, other.column_weights
    total = weights[0] + weights[1]
    share = np.divide(weights[1], total, out=np.zeros_like(total), where=total > 0)
    origin = np.where(weights[0] > 0, one.origin, other.origin)
    lead = (other.origin - origin) + other.lead
    shift = np.where((weights[0] > 0) & (weights[1] > 0), lead - one.lead, 0.0)
    root = np.sqrt(weights[0] * share) * shift
    return replace(
        merged,
        origin=origin,
        lead=np.where(weights[0] > 0, one.lead, lead) + share * shift,
        scatter=one.scatter + other.scatter + np.outer(root, root),
        n_gaps=tuple(map(add, one.n_gaps, other.n_gaps)) if one.n_gaps and other.n_gaps else one.n_gaps or other.n_gaps,
        value_weights=tuple(total.tolist()),
    )


def _squares(vector: Array, scatter: Array) -> Array:
    """Return v v^T, or its diagonal if that is all that a scatter has."""
    return np.outer(vector, vector) if scatter.ndim == 2 else vector * vector


def _diagonal(scatter: Array) -> Array:
    return np.diagonal(scatter) if scatter.ndim == 2 else scatter


def _summarise_block(
    block: NDArray[np.floating], weights: Array | None, first_row: int, missing: bool, zero: DataSummary
) -> DataSummary:
    """Return the data summary of a block; its scatter is of the kind of that of `zero`."""
    faults = _faults(block, weights, first_row, missing, zero)
    if faults is not None:
        return faults
    n_missing = 0
    if weights is not None and not weights.all():
        n_missing = int(np.count_nonzero(np.isnan(block[weights == 0])))
        block, weights = block[weights > 0], weights[weights > 0]
    if not len(block):
        return replace(zero, n_missing=n_missing)
    if missing and np.isnan(block).any():
        return replace(_summarise_with_gaps(block, weights), n_missing=n_missing)
    origin = block[0].astype(np.float64)
    values = block - origin
    weight_sum = float(len(values) if weights is None else weights.sum())
    lead = values.mean(axis=0) if weights is None else weights @ values / weight_sum
    minimum, maximum = block.min(axis=0).astype(np.float64), block.max(axis=0).astype(np.float64)
    values -= lead
    scatter = _scatter(values, weights, zero)
    moments = weight_sum, origin, lead, scatter, minimum, maximum
    return DataSummary(len(block), *moments, np.zeros(block.shape[1]), n_missing=n_missing)


def _scatter(values: Array, weights: Array | None, zero: DataSummary) -> Array:
    """Return sum_n weight_n v_n v_n^T of the centred values (n, d), or its diagonal."""
    if zero.scatter.ndim == 1:
        return np.asarray((values**2).sum(axis=0) if weights is None else weights @ values**2)
    return (values.T if weights is None else values.T * weights) @ values


def _summarise_with_gaps(block: NDArray[np.floating], weights: Array | None) -> DataSummary:
    """Return the data summary of rows of which values are missing; a column without any has the origin 0."""
    weights, gaps = np.ones(len(block)) if weights is None else weights, np.isnan(block)
    column_weights = weights @ ~gaps
    safe = np.where(column_weights > 0, column_weights, 1.0)
    first = block[np.argmin(gaps, axis=0), np.arange(block.shape[1])].astype(np.float64)
    origin = np.where(np.isnan(first), 0.0, first)
    values = np.where(gaps, 0.0, block - origin)
    lead = weights @ values / safe
    values = np.where(gaps, 0.0, values - lead)
    minimum = np.where(gaps, np.inf, block).min(axis=0).astype(np.float64)
    maximum = np.where(gaps, -np.inf, block).max(axis=0).astype(np.float64)
    moments = float(weights.sum()), origin, lead, (values.T * weights) @ values, minimum, maximum
    steps, n_gaps, value_weights = np.zeros(block.shape[1]), tuple(gaps.sum(axis=0).tolist()), column_weights.tolist()
    return DataSummary(len(block), *moments, steps, n_gaps=n_gaps, value_weights=tuple(value_weights))


def _faults(
    block: NDArray[np.floating], weights: Array | None, first_row: int, missing: bool, zero: DataSummary
) -> DataSummary | None:
    """Return a data summary with the block's faults and none of its rows; None if there is no fault."""
    bad_values, bad_weights = np.isinf(block) if missing else ~np.isfinite(block), np.zeros(0, dtype=bool)
    if weights is not None:
        bad_values &= (weights != 0)[:, None]
        bad_weights = ~((weights >= 0) & np.isfinite(weights))
    if not bad_values.any() and not bad_weights.any():
        return None
    where, rows_at = np.argwhere(bad_values), np.flatnonzero(bad_weights)
    return replace(
        zero,
        n_nonfinite=len(where),
        first_nonfinite=(first_row + int(where[0, 0]), int(where[0, 1])) if len(where) else None,
        n_bad_weights=len(rows_at),
        first_bad_weight=_bad_weight(weights, rows_at, first_row),
        nonfinite_kinds=_kinds(block[bad_values]),
    )


def _kinds(values: NDArray[np.floating]) -> tuple[str, ...]:
    met = (np.isnan(values).any(), (values == np.inf).any(), (values == -np.inf).any())
    return tuple(kind for kind, is_met in zip(KINDS, met, strict=True) if is_met)


def _bad_weight(weights: Array | None, rows_at: NDArray[np.intp], first_row: int) -> tuple[int, float] | None:
    if weights is None or not len(rows_at):
        return None
    return first_row + int(rows_at[0]), float(weights[rows_at[0]])
