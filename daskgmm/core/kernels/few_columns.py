"""The kernel with a shared centre if phi has few columns: products without BLAS, five columns at a time.

BLAS packs and transposes small matrices for longer than it multiplies them. Here the vectors lie along the rows of
a tile, and ten coefficients or ten sums stay in registers (sixteen of them are there at least):

    L[c, b] += t_0 phi[f, b] + ... + t_4 phi[f + 4, b]
    T[c, f .. f + 4] += sum_b R[c, b] phi[f .. f + 4, b]

both for two components at once, so that each number of phi is loaded half as often.

The first column of phi is 1: it costs no product. Full covariances of 2, 3, 4 features have 5, 9, 14 others.

Passes and prediction are one compiled function, and NumPy makes its scratch: so a first fit compiles less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from .compiled import (
    NO_WEIGHTS,
    KernelArgs,
    OutputBuffers,
    aligned,
    build_features,
    emit,
    load_tile,
    load_weights,
    softmax,
    weigh,
)
from .decorators import entry_in_place, inlined

MAX_COLUMNS = 91  # of full covariances of 12 features: beyond, BLAS of the widest vectors is the quicker one
STEP = 5  # columns

_shared: Callable[..., Any] = register_jitable  # of functions for compiled code and for Python
_NO_OUTPUTS = OutputBuffers(np.empty(0, np.int32), np.empty((0, 0)), np.empty(0))
_NO_SUMS = np.empty((0, 0))


class Scratch(NamedTuple):
    """The coefficients and the tile of a pass, from boundaries of cache lines on."""

    theta: NDArray[Any]  # (height, width), zeros behind its components and columns
    x: NDArray[Any]  # (d, tile), of the type of the rows
    phi: NDArray[Any]  # (width, tile)
    z: NDArray[Any]  # (d, tile), a part of phi
    features: NDArray[Any]  # (F, tile), a part of phi
    joint: NDArray[Any]  # (height, tile)
    of_rows: NDArray[np.float64]  # (3, tile): weights, log-densities, sums over components


def runs_in_few(theta: NDArray[np.floating]) -> bool:
    """Return whether this kernel is the quicker one for theta (k, F)."""
    return bool(theta.shape[1] <= MAX_COLUMNS)


@_shared
def few_width(n_columns: int) -> int:
    """Return the number of columns, with those of zeros that fill the last step."""
    return 1 + (n_columns + STEP - 2) // STEP * STEP


@_shared
def few_height(k: int) -> int:
    """Return the number of components, with one of zeros that makes it even."""
    return k + k % 2


@inlined
def few_joint(theta: Any, phi: Any, joint: Any) -> None:
    """Fill joint (k, tile) with Theta phi; theta (k, F) and phi (F, tile) have 1 + 5 m columns, the last of them 0.

    k is even.
    """
    (k, n_columns), tile = theta.shape, phi.shape[1]
    for f in range(1, n_columns, STEP):
        for c in range(0, k, 2):
            own, other = five_of(theta[c], f), five_of(theta[c + 1], f)
            if f == 1:
                constant, other_constant = theta[c, 0], theta[c + 1, 0]
                for b in range(tile):
                    joint[c, b] = constant + five_terms(own, phi, f, b)
                    joint[c + 1, b] = other_constant + five_terms(other, phi, f, b)
            else:
                for b in range(tile):
                    joint[c, b] += five_terms(own, phi, f, b)
                    joint[c + 1, b] += five_terms(other, phi, f, b)


@inlined
def five_of(coefficients: Any, f: int) -> Any:
    """Return five coefficients from the f-th on."""
    return coefficients[f], coefficients[f + 1], coefficients[f + 2], coefficients[f + 3], coefficients[f + 4]


@inlined
def five_terms(coefficients: Any, phi: Any, f: int, b: int) -> Any:
    """Return the sum of five coefficients times the columns of phi (F, tile) from f on, for row b."""
    one, two, three, four, five = coefficients
    first = one * phi[f, b] + two * phi[f + 1, b] + three * phi[f + 2, b]
    return first + four * phi[f + 3, b] + five * phi[f + 4, b]


@inlined
def few_moments(phi: Any, joint: Any, sums: Any) -> None:
    """Add R phi^T to sums (k, F), R being joint (k, tile); k is even, and F is 1 + 5 m."""
    (k, n_columns), tile = sums.shape, phi.shape[1]
    zero = joint.dtype.type(0)
    for c in range(k):
        weight = zero
        for b in range(tile):
            weight += joint[c, b]
        sums[c, 0] += weight
    for f in range(1, n_columns, STEP):
        for c in range(0, k, 2):
            one, two, three, four, five = zero, zero, zero, zero, zero
            other_one, other_two, other_three, other_four, other_five = zero, zero, zero, zero, zero
            for b in range(tile):
                resp, other = joint[c, b], joint[c + 1, b]
                one += resp * phi[f, b]
                two += resp * phi[f + 1, b]
                three += resp * phi[f + 2, b]
                four += resp * phi[f + 3, b]
                five += resp * phi[f + 4, b]
                other_one += other * phi[f, b]
                other_two += other * phi[f + 1, b]
                other_three += other * phi[f + 2, b]
                other_four += other * phi[f + 3, b]
                other_five += other * phi[f + 4, b]
            add_five(sums[c], f, one, two, three, four, five)
            add_five(sums[c + 1], f, other_one, other_two, other_three, other_four, other_five)


@inlined
def add_five(sums: Any, f: int, one: float, two: float, three: float, four: float, five: float) -> None:
    """Add five numbers to sums (F,) from f on."""
    sums[f] += one
    sums[f + 1] += two
    sums[f + 2] += three
    sums[f + 3] += four
    sums[f + 4] += five


@entry_in_place
def _pass_few(
    rows: Any, row_weights: Any, args: Any, edges: Any, scratch: Any, sums: Any, log_likelihood: Any, outputs: Any
) -> Any:
    """Add to sums (k, width) and log_likelihood (m,), and return the sum of the weights; or fill the outputs if any."""
    phi, joint, of_rows = scratch.phi, scratch.joint, scratch.of_rows
    weights, log_prob, total = of_rows[0], of_rows[1], of_rows[2]
    weight_sum = 0.0
    for start in range(0, len(rows), args.tile):
        n = load_tile(rows, start, args, scratch.x, scratch.z)
        weight_sum += load_weights(row_weights, start, n, scratch.z, weights)
        build_features(args.feature_map, args.isotropy_weights, scratch.z, scratch.features)
        few_joint(scratch.theta, phi, joint)
        for m in range(len(log_likelihood)):
            own = joint[edges[m] : edges[m + 1]]
            softmax(own, args.flush, log_prob, total)
            if len(outputs.labels):
                emit(start, n, own, log_prob, total, outputs)
            else:
                log_likelihood[m] += weigh(own, total, weights, log_prob)
        if len(sums):
            few_moments(phi, joint, sums)
    return weight_sum


def expect_few(
    rows: NDArray[Any], row_weights: NDArray[Any], args: KernelArgs, theta: NDArray[Any], edges: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return T (k, F), the log-likelihoods (m,) and the sum of the weights, as `expect_shared` does."""
    k, n_columns = theta.shape
    scratch = _make_scratch(rows, args, theta)
    sums, log_likelihood = np.zeros((len(scratch.joint), len(scratch.phi))), np.zeros(len(edges) - 1)
    weight_sum = _pass_few(rows, row_weights, args, edges, scratch, sums, log_likelihood, _NO_OUTPUTS)
    return sums[:k, :n_columns].copy(), log_likelihood, weight_sum


def predict_few(rows: NDArray[Any], args: KernelArgs, theta: NDArray[Any], outputs: OutputBuffers) -> None:
    """Fill the outputs for rows (n, d), as `predict_shared` does."""
    scratch, edges = _make_scratch(rows, args, theta), np.array([0, len(theta)])
    _pass_few(rows, NO_WEIGHTS, args, edges, scratch, _NO_SUMS, np.zeros(1), outputs)


def _make_scratch(rows: NDArray[Any], args: KernelArgs, theta: NDArray[Any]) -> Scratch:
    """Return scratch for rows (n, d), and theta (k, F) in it."""
    (k, n_columns), d, tile = theta.shape, rows.shape[1], args.tile
    width, height = few_width(n_columns), few_height(k)
    filled, space = np.zeros((height, width), theta.dtype), aligned(width + height, tile, theta.dtype)
    filled[:k, :n_columns] = theta
    phi, joint = space[:width], space[width:]
    x, of_rows = aligned(d, tile, rows.dtype), aligned(3, tile, np.float64)
    return Scratch(filled, x, phi, phi[1 : 1 + d], phi[:n_columns], joint, of_rows)
