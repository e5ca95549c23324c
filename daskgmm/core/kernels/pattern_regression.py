"""The regression of what rows of one pattern miss on what they have: the coefficients and the sums that follow.

The equations are those of `pattern_compiled`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .decorators import inlined
from .missing_compiled import full_column, invert_lanes


class Regression(NamedTuple):
    """The missing values m of a pattern given the observed ones o, of each component."""

    inverse: NDArray[np.float64]  # (m, m, k), C
    log_det: NDArray[np.float64]  # (k,), log det P_mm
    coupling: NDArray[np.float64]  # (m, |o|, k), P_mo
    slopes: NDArray[np.float64]  # (m, |o|, k), A
    offsets: NDArray[np.float64]  # (m, k), b


@inlined
def regress(terms: Any, missing: Any, own: Any) -> Any:  # noqa: C901 # matrix products, each a loop over components
    """Return the regression of the missing features on the observed features `own`."""
    m, n_own, k = len(missing), len(own), terms.gradients.shape[1]
    inverse, log_det, work = np.empty((m, m, k)), np.empty(k), np.empty(k)
    coupling, slopes, offsets = np.empty((m, n_own, k)), np.zeros((m, n_own, k)), np.zeros((m, k))
    for a in range(m):
        for e in range(m):
            for c in range(k):
                inverse[a, e, c] = terms.precisions[missing[a], missing[e], c]
        for j in range(n_own):
            for c in range(k):
                coupling[a, j, c] = terms.precisions[missing[a], own[j], c]
    invert_lanes(inverse, log_det, work)
    for a in range(m):
        for e in range(m):
            lane = inverse[max(a, e), min(a, e)]
            for c in range(k):
                offsets[a, c] += lane[c] * terms.gradients[missing[e], c]
            for j in range(n_own):
                for c in range(k):
                    slopes[a, j, c] -= lane[c] * coupling[e, j, c]
    return Regression(inverse, log_det, coupling, slopes, offsets)


@inlined
def columns_of(d: int, own: Any, columns: Any) -> Any:
    """Fill `columns` with those of the full map that hold the features `own`, in the order of a map of these alone."""
    columns[0] = 0
    f = 1 + len(own)
    for i in range(len(own)):
        columns[1 + i] = 1 + own[i]
        for j in range(i, len(own)):
            columns[f] = full_column(d, own[i], own[j])
            f += 1
    return f


@inlined
def marginal_theta(  # noqa: C901 # three orders of phi, each a loop over components
    whole: Any, columns: Any, terms: Any, missing: Any, regression: Any, theta: Any
) -> None:
    """Fill theta (F, k), the coefficients of phi of the observed features, from those of all features, whole (F, k).

    Column f of it is column columns[f] of the whole.
    """
    coupling, slopes, offsets = regression.coupling, regression.slopes, regression.offsets
    m, n_own, k = slopes.shape
    for c in range(k):
        theta[0, c] = whole[0, c] - 0.5 * regression.log_det[c]
    for a in range(m):
        for c in range(k):
            theta[0, c] += terms.constants[missing[a], c] + 0.5 * offsets[a, c] * terms.gradients[missing[a], c]
    for j in range(n_own):
        for c in range(k):
            theta[1 + j, c] = whole[columns[1 + j], c]
        for a in range(m):
            for c in range(k):
                theta[1 + j, c] += slopes[a, j, c] * terms.gradients[missing[a], c]
    f = 1 + n_own
    for j in range(n_own):
        for e in range(j, n_own):
            factor, column = 0.5 if e == j else 1.0, columns[f]
            for c in range(k):
                theta[f, c] = whole[column, c] - factor * coupling[0, e, c] * slopes[0, j, c]
            for a in range(1, m):
                for c in range(k):
                    theta[f, c] -= factor * coupling[a, e, c] * slopes[a, j, c]
            f += 1


@inlined
def add_missing_sums(  # noqa: C901 # three blocks, each a loop over components
    missing: Any, own: Any, regression: Any, own_sums: Any, sums: Any, d: int
) -> None:
    """Add to sums (F, k) those of missing features, of own_sums of the observed features `own` of one pattern."""
    slopes, offsets = regression.slopes, regression.offsets
    m, n_own, k = len(missing), len(own), sums.shape[1]
    first, cross = np.empty((m, k)), np.empty((m, n_own, k))
    for a in range(m):
        for c in range(k):
            first[a, c] = offsets[a, c] * own_sums[0, c]
        for j in range(n_own):
            for c in range(k):
                first[a, c] += slopes[a, j, c] * own_sums[1 + j, c]
                cross[a, j, c] = offsets[a, c] * own_sums[1 + j, c]
        f = 1 + n_own
        for j in range(n_own):
            for c in range(k):
                cross[a, j, c] += slopes[a, j, c] * own_sums[f, c]
            f += 1
            for e in range(j + 1, n_own):
                for c in range(k):
                    cross[a, j, c] += slopes[a, e, c] * own_sums[f, c]
                    cross[a, e, c] += slopes[a, j, c] * own_sums[f, c]
                f += 1
    for a in range(m):
        i = missing[a]
        for c in range(k):
            sums[1 + i, c] += first[a, c]
        for j in range(n_own):
            f = full_column(d, min(i, own[j]), max(i, own[j]))
            for c in range(k):
                sums[f, c] += cross[a, j, c]
        for e in range(a + 1):
            f = full_column(d, missing[e], i)
            for c in range(k):
                sums[f, c] += first[a, c] * offsets[e, c] + own_sums[0, c] * regression.inverse[a, e, c]
            for j in range(n_own):
                for c in range(k):
                    sums[f, c] += cross[a, j, c] * slopes[e, j, c]
