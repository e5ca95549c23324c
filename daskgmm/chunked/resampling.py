"""The expectation pass of a bootstrap: many mixtures, each with its own resampling weights, from one read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..core.kernels.natural_parameters import Coefficients, prepare
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.mixture import Mixture
from ..core.mixture.statistics import Statistics
from ..core.selection.resampling import Resampling, expect_resampled
from .map_reduce import add_up_each, compute, map_reduce
from .rows import Rows
from .sweep import batches, bytes_in_pass

Parts = tuple[Statistics, ...]
Shared = tuple[tuple[Coefficients, ...], tuple[int, ...], Resampling]


@dataclass(frozen=True, eq=False)
class ResampledExpectation:
    """A pass over chunked rows: mixtures and the numbers of their resamples in, their statistics out.

    Mixtures whose statistics and coefficients exceed `batch_bytes` go in several reads of the rows.
    """

    rows: Rows
    data_summary: DataSummary  # of these rows
    resampling: Resampling
    batch_bytes: int = 64 * 2**20

    def __call__(self, mixtures: tuple[Mixture, ...], resamples: tuple[int, ...]) -> Parts:
        k, d = mixtures[0].means.shape
        size = bytes_in_pass(k, d, mixtures[0].covariance_type, some_rows=True)
        found: list[Statistics] = []
        for batch in batches([size] * len(mixtures), self.batch_bytes):
            found += self._pass(mixtures[batch], resamples[batch])
        return tuple(found)

    def _pass(self, mixtures: tuple[Mixture, ...], resamples: tuple[int, ...]) -> Parts:
        coefficients = tuple(prepare(one, self.data_summary, some_rows=True) for one in mixtures)
        shared = coefficients, resamples, self.resampling
        first_rows = self.rows.first_rows
        (total,) = compute(map_reduce(self.rows, _expect_chunk, add_up_each, shared, first_rows, "bootstrap"))
        parts: Parts = total
        return parts


def _expect_chunk(block: NDArray[Any], weights: NDArray[Any] | None, shared: Shared, first_row: int) -> Parts:
    coefficients, resamples, resampling = shared
    return expect_resampled(block, weights, coefficients, resamples, first_row, resampling)
