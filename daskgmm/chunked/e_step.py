"""The expectation pass: `core.expect` on every block, added up in a fixed tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..core.em.e_step import expect, expect_labelled
from ..core.em.labelled_rows import LabelledRows, with_labelled
from ..core.kernels.natural_parameters import Coefficients, prepare
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.mixture import Mixture
from ..core.mixture.statistics import Statistics
from .labelled_rows import LabelledGaps
from .map_reduce import add_up_each, compute, map_reduce
from .rows import Rows

Parts = tuple[Statistics, ...]


@dataclass(frozen=True, eq=False)
class Expectation:
    """A pass over chunked rows: a tuple of mixtures in, their statistics out, from one read of the data."""

    rows: Rows
    data_summary: DataSummary  # of these rows
    dtype: DTypeLike = np.float64  # of the products
    labelled: LabelledRows | None = None  # other rows, whose components are known; the data summary is of them too
    gappy: LabelledGaps | None = None  # and those of them that have gaps

    def __call__(self, mixtures: tuple[Mixture, ...]) -> Parts:
        some_rows = self.labelled is not None
        coefficients = tuple(
            prepare(mixture, self.data_summary, self.dtype, some_rows=some_rows) for mixture in mixtures
        )
        own = dict.fromkeys(range(len(self.rows.block_sizes)))
        passes = [map_reduce(self.rows, _expect_chunk, add_up_each, coefficients, own, "expect")]
        if self.gappy is not None:
            rows, labels = self.gappy.rows, self.gappy.labels
            passes.append(map_reduce(rows, _expect_labelled, add_up_each, coefficients, labels, "expect-labelled"))
        statistics: Parts = add_up_each(list(compute(*passes)))
        return with_labelled(statistics, coefficients, self.labelled)


def _expect_chunk(
    block: NDArray[Any], weights: NDArray[Any] | None, coefficients: tuple[Coefficients, ...], own: None
) -> Parts:
    return expect(block, weights, coefficients)


def _expect_labelled(
    block: NDArray[Any], weights: NDArray[Any] | None, coefficients: tuple[Coefficients, ...], labels: NDArray[Any]
) -> Parts:
    return expect_labelled(block, weights, labels.reshape(-1), coefficients)
