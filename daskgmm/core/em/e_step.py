"""The E-step verbs: the statistics of rows, and predictions for rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...blas import single_threaded
from ...concurrency import map_helped
from ..arrays.blocks import cut, take_block
from ..arrays.types import Array
from ..kernels.batching import batch_by_map, expect_stacked, expect_with_gaps
from ..kernels.low_rank import LowRank
from ..kernels.natural_parameters import Coefficients, FeatureMapParams, prepare
from ..mixture.data_summary import DataSummary
from ..mixture.mixture import Mixture
from ..mixture.statistics import Statistics
from .labelled_rows import UNKNOWN, LabelledRows, with_labelled

Rows = NDArray[np.number]
Expect = Callable[[tuple[Mixture, ...]], tuple[Statistics, ...]]


def expect(rows: Rows, row_weights: Rows | None, coefficients: tuple[Coefficients, ...]) -> tuple[Statistics, ...]:
    """Return the statistics of rows (n, d), one for each mixture; row_weights is (n,) or None."""
    stacks = batch_by_map(coefficients)
    expect_block = expect_stacked if coefficients[0].missing is None else expect_with_gaps
    n_sums = sum(one.theta.size for one in coefficients if isinstance(one, FeatureMapParams))

    def expect_part(part: slice) -> tuple[Statistics, ...]:
        return expect_block(coefficients, stacks, *take_block(rows, row_weights, part))

    with single_threaded():
        parts = cut(rows, n_sums=n_sums)
        # Added as they come: for many features the sums of a block take more than its rows.
        return reduce(_add_each, map_helped(expect_part, parts, work=len(rows) / len(parts) * n_sums))


def _add_each(first: tuple[Statistics, ...], second: tuple[Statistics, ...]) -> tuple[Statistics, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))


def expect_labelled(
    rows: Rows, row_weights: Rows | None, labels: NDArray[np.integer], coefficients: tuple[Coefficients, ...]
) -> tuple[Statistics, ...]:
    """Return the statistics of the rows (n, d) with gaps that are labelled, one for each mixture.

    `labels` (n,) are numbers of components, or UNKNOWN. A row of component c adds log(w_c N(x_o|c)) of what it has to
    the log-likelihood, and its expected sums under c alone.
    """
    with_gaps = np.isnan(rows).any(axis=1) & (labels != UNKNOWN)
    found = tuple(one.zero for one in coefficients if not isinstance(one, LowRank))
    for component in np.unique(labels[with_gaps]).tolist():
        own = with_gaps & (labels == component)
        alone = tuple(one.take(component) for one in coefficients if not isinstance(one, LowRank))
        parts = expect(rows[own], None if row_weights is None else row_weights[own], alone)
        found = tuple(_add_component(before, component, part) for before, part in zip(found, parts, strict=True))
    return found


def _add_component(statistics: Statistics, component: int, part: Statistics) -> Statistics:
    """Return statistics with those of one component added to them."""
    sums = np.zeros_like(statistics.sums)
    sums[component] = part.sums[0]
    return statistics + replace(part, sums=sums)


@dataclass(frozen=True, eq=False)
class Expectation:
    """A pass over rows in memory: mixtures in, statistics out."""

    rows: Rows  # (n, d)
    row_weights: Rows | None  # (n,)
    data_summary: DataSummary  # of these rows
    dtype: DTypeLike = np.float64  # of the products
    some_rows: bool = False  # whether the data summary is of more rows than these
    labelled: LabelledRows | None = None  # other rows, whose components are known

    @property
    def weights(self) -> Array:
        """The weights of the rows in float64, (n,), 1 where they have none."""
        return np.ones(len(self.rows)) if self.row_weights is None else np.asarray(self.row_weights, np.float64)

    def take(self, own: slice | NDArray[np.intp]) -> Expectation:
        """Return the pass over some of the rows, in their order, in the frame of all, with all labelled ones."""
        rows = self.rows[own]
        if len(rows) == len(self.rows):
            return self
        row_weights = None if self.row_weights is None else self.row_weights[own]
        return replace(self, rows=rows, row_weights=row_weights, some_rows=True)

    def __call__(self, mixtures: tuple[Mixture, ...]) -> tuple[Statistics, ...]:
        some_rows = self.some_rows or self.labelled is not None
        coefficients = tuple(
            prepare(mixture, self.data_summary, self.dtype, some_rows=some_rows) for mixture in mixtures
        )
        return with_labelled(expect(self.rows, self.row_weights, coefficients), coefficients, self.labelled)
