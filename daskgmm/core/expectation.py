"""The E-step verbs: the statistics of rows, and predictions for rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import DataError
from .blas import single_threaded
from .blocks import blocks
from .coefficients import Coefficients, prepare
from .features import Array
from .kernels import Outputs
from .mixture import Mixture
from .statistics import Statistics
from .survey import Survey

Rows = NDArray[np.number]
Expect = Callable[[tuple[Mixture, ...]], tuple[Statistics, ...]]


def expect(rows: Rows, row_weights: Rows | None, coefficients: tuple[Coefficients, ...]) -> tuple[Statistics, ...]:
    """Return the statistics of rows (n, d), one for each mixture; row_weights is (n,) or None."""
    with single_threaded():
        parts = [
            tuple(one.expect(block, weights) for one in coefficients) for block, weights in blocks(rows, row_weights)
        ]
    return tuple(reduce(add, of_one) for of_one in zip(*parts, strict=True))


@dataclass(frozen=True, eq=False)
class Expectation:
    """A pass over rows in memory: mixtures in, statistics out."""

    rows: Rows  # (n, d)
    row_weights: Rows | None  # (n,)
    survey: Survey  # of these rows
    dtype: DTypeLike = np.float64  # of the products

    def __call__(self, mixtures: tuple[Mixture, ...]) -> tuple[Statistics, ...]:
        coefficients = tuple(prepare(mixture, self.survey, self.dtype) for mixture in mixtures)
        return expect(self.rows, self.row_weights, coefficients)


@dataclass(frozen=True)
class Wanted:
    """Which results a prediction holds beside the labels."""

    probabilities: bool = False
    log_density: bool = False


@dataclass(frozen=True, eq=False)
class Prediction:
    """Results of n rows."""

    labels: NDArray[np.int32]  # (n,), argmax_k r_nk
    probabilities: Array | None  # (n, k), r_nk
    log_density: Array | None  # (n,), log p(x_n) in nats


def predict(
    rows: Rows,
    coefficients: Coefficients,
    n_components: int,
    wanted: Wanted,
    name_row: Callable[[int], str] = "row {}".format,
) -> Prediction:
    """Return the prediction for rows (n, d), with the coefficients that `prepare_prediction` returned.

    Raises DataError at a value that is not finite; `name_row` says there which row that is.
    """
    n = len(rows)
    outputs = Outputs(
        labels=np.empty(n, np.int32),
        resp=np.empty((n if wanted.probabilities else 0, n_components)),
        log_prob=np.empty(n if wanted.log_density else 0),
    )
    at = 0
    with single_threaded():
        for block, _ in blocks(rows, None):
            _refuse_nonfinite(block, at, name_row)
            own = slice(at, at + len(block))
            part = Outputs(outputs.labels[own], outputs.resp[own], outputs.log_prob[own])
            coefficients.predict(block, part)
            at += len(block)
    return Prediction(
        outputs.labels,
        outputs.resp if wanted.probabilities else None,
        outputs.log_prob if wanted.log_density else None,
    )


def _refuse_nonfinite(block: NDArray[np.floating], first_row: int, name_row: Callable[[int], str]) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(block.sum(dtype=np.float64)):  # most often, and much cheaper than to look at each value
            return
    bad = np.argwhere(~np.isfinite(block))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"{name_row(first_row + int(row))}, column {column} is {block[row, column]}: "
            "fill or drop values that are not finite"
        )
