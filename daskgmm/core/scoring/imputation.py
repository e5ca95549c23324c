"""Imputation: the means of missing values given those that are observed, and their standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...blas import single_threaded
from ..arrays.blocks import blocks
from ..arrays.naming import NotFiniteError
from ..arrays.types import Array
from ..kernels.compiled import OutputBuffers
from ..kernels.missing import pattern
from ..kernels.missing_compiled import Filled
from ..kernels.natural_parameters import Coefficients


@dataclass(frozen=True, eq=False)
class Imputed:
    """Rows without gaps."""

    values: NDArray[np.number]  # (n, d), E[x_m | x_o] where values are missing, else those of the rows, bit for bit
    errors: Array | None = None  # (n, d), standard deviation given what is observed; 0 where values are observed


def impute(rows: NDArray[np.number], coefficients: Coefficients, n_components: int, *, errors: bool = False) -> Imputed:
    """Return rows (n, d) with their missing values filled, with coefficients that are for missing values.

    A row without any value gets the mean of the mixture. The values keep the type of the rows.
    """
    values = rows.copy()
    _refuse_infinite(rows)
    found, at = np.zeros(rows.shape) if errors else None, 0
    with single_threaded():
        for block, _ in blocks(rows, None):
            own = slice(at, at + len(block))
            _impute_block(block, coefficients, n_components, values[own], None if found is None else found[own])
            at += len(block)
    return Imputed(values, found)


def _refuse_infinite(rows: NDArray[np.number]) -> None:
    bad = np.argwhere(np.isinf(rows))
    if len(bad):
        row, column = map(int, bad[0])
        raise NotFiniteError((row,), column, float(rows[row, column]))


def _impute_block(
    block: NDArray[np.floating],
    coefficients: Coefficients,
    n_components: int,
    values: NDArray[np.number],
    errors: Array | None,
) -> None:
    """Write the missing values of a block, and their standard errors if there is a place for them."""
    gaps = pattern(block, None)
    if gaps is None:
        return
    rows = np.concatenate([gaps.by_number, gaps.empty])
    n, d = len(rows), block.shape[1]
    filled = Filled(np.zeros((n, d)), np.zeros((0 if errors is None else n, d)))
    nothing = OutputBuffers(np.empty(n, np.int32), np.empty((0, n_components)), np.empty(0))
    coefficients.predict_missing(block[rows], nothing, filled)
    row, column = np.nonzero(np.isnan(block[rows]))
    frame = coefficients.frame
    values[rows[row], column] = frame.to_x(filled.values)[row, column]
    if errors is not None:
        errors[rows[row], column] = np.sqrt(filled.variances[row, column]) * frame.scale[column]
