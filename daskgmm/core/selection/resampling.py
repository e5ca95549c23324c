"""Resamples of rows by random weights: fits of one mixture to many of them tell how sure its parameters are.

A weight is a function of the seed, the number of the resample and the number of the row, so that no resample is ever
stored, and chunks and schedulers change none of its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...blas import single_threaded
from ..arrays.types import Array
from ..em.e_step import Rows, expect
from ..em.loop import EMOptions, State, Trial, advance
from ..kernels.natural_parameters import Coefficients
from ..mixture.data_summary import DataSummary
from ..mixture.mixture import Mixture
from ..mixture.statistics import Statistics

ResamplingKind = Literal["bayesian", "poisson"]
ResamplingPass = Callable[[tuple[Mixture, ...], tuple[int, ...]], tuple[Statistics, ...]]  # and resamples' numbers

_OUTPUTS = 4  # of 64 bits, of each count of Philox
_MAX_MULTIPLICITY = 20  # rows that a resample takes a row as: of Poisson weights one in 1e19 is more


@dataclass(frozen=True)
class Resampling:
    """How resamples weigh the rows.

    "bayesian": by exponential weights of mean 1, the Bayesian bootstrap (Rubin 1981; weighted likelihood bootstrap,
    Newton and Raftery 1994). "poisson": by Poisson counts of mean 1, which is to draw rows with replacement if there
    are many (Hanley and MacGibbon 2006).
    """

    kind: ResamplingKind = "bayesian"
    seed: int = 0

    def weights(self, resample: int, first_row: int, n_rows: int) -> Array:
        """Return the weights of n rows, the first of which has the number `first_row`, in a resample, (n,)."""
        uniform = _uniform(self.seed, resample, first_row, n_rows)
        return np.asarray(_DRAW_WEIGHTS[self.kind](uniform), dtype=np.float64)


def _uniform(seed: int, resample: int, first_row: int, n_rows: int) -> Array:
    """Return numbers between 0 and 1, neither included, of n rows: Philox (Salmon et al. 2011), counted by rows."""
    skipped = first_row % _OUTPUTS
    stream = np.random.Philox(key=np.array([seed, resample], dtype=np.uint64))
    stream.advance(first_row // _OUTPUTS)
    bits = stream.random_raw(n_rows + skipped)[skipped:]
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _exponential(uniform: Array) -> Array:
    return -np.log(uniform)


def _poisson(uniform: Array) -> NDArray[np.intp]:
    return np.searchsorted(_POISSON, uniform)


_POISSON = np.cumsum(
    np.exp(-1.0) / np.cumprod(np.maximum(np.arange(_MAX_MULTIPLICITY), 1.0))
)  # P(count <= 0, 1, 2, ...)
_DRAW_WEIGHTS: dict[ResamplingKind, Callable[[Array], NDArray[np.number]]] = {
    "bayesian": _exponential,
    "poisson": _poisson,
}


def expect_resampled(
    rows: Rows,
    row_weights: Rows | None,
    coefficients: Sequence[Coefficients],
    resamples: Sequence[int],
    first_row: int,
    resampling: Resampling,
) -> tuple[Statistics, ...]:
    """Return the statistics of rows (n, d), from number `first_row` on, for each mixture in its resample.

    The row weights (n,), if there are any, are multiplied by those of the resample.
    """
    found: list[Statistics] = []
    for own, resample in zip(coefficients, resamples, strict=True):
        weights = resampling.weights(resample, first_row, len(rows))
        found += expect(rows, weights if row_weights is None else weights * row_weights, (own,))
    return tuple(found)


def fit_resamples(
    mixture: Mixture,
    data_summary: DataSummary,
    n_resamples: int,
    expect_pass: ResamplingPass,
    options: EMOptions,
    listen: Callable[[int], None] = lambda n_live: None,
) -> tuple[Trial, ...]:
    """Return the trials of EM from the mixture on each resample of all rows; passes are shared.

    `listen` hears after each pass how many of them go on.
    """
    states = [State(data_summary, (Trial(mixture),)) for _ in range(n_resamples)]
    with single_threaded():
        while live := tuple(number for number, state in enumerate(states) if state.live):
            targets = tuple(options.inference.natural_parameters(states[number].targets[0]) for number in live)
            for number, statistics in zip(live, expect_pass(targets, live), strict=True):
                states[number] = advance(states[number], (statistics,), options)
            listen(sum(1 for state in states if state.live))
    return tuple(state.best for state in states)
