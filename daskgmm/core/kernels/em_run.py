"""EM on few rows as one compiled call: E-step, M-step, floor and stop, without Python between the steps.

In coordinates z, and with components about their own centres, D = z - m_k, a step is

    W_k  = L_k^-1,  L_k L_k^T = S_k                          (Cholesky; W_k holds 1 / deviations where S_k is diagonal)
    l_nk = log w_k - log det S_k / 2 - |W_k D_n|^2 / 2       r_nk = softmax_k l_nk, times the weight of the row
    N_k  = sum_n r_nk      s_k = sum_n r_nk D_n / N_k        C_k = sum_n r_nk D_n D_n^T / N_k - s_k s_k^T
    w_k  = N_k / sum_j N_j m_k = m_k + s_k                   S_k = C_k, raised to the floor

Own centres hold their precision wherever the components lie, and W_k and C_k as triangles take half the arithmetic of
whole matrices. Rows come in tiles (tiles, d, tile), so that inner loops run along contiguous rows.

With a background, r_nk = exp(l_nk) / (sum_j exp(l_nj) + exp(b_n)): EM of some components of a mixture, whose others
stay as they are (Ueda et al. 2000, partial EM). b_n is the logarithm of what the others add to the density of z,
divided by the weight of all those that move and without the factor (2 pi)^(-d/2), as l_nk is.

Where a dense C_k lies below the floor in some direction the run comes back, for `Floor` to raise it, and goes on.

Rows, and what is computed of each of them, are float64 or float32, parameters and sums over tiles always float64. In
float32 twice as many rows are computed at a time; D loses what z rounds, 6e-8 |z|.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import aligned, softmax, weigh
from .decorators import copied, entry_in_place, inlined

GOES_ON, CONVERGED, SINGULAR, BELOW_FLOOR = range(4)  # how a call ends
_SMALLEST_PIVOT = 1e-13  # share of a variance that the features before it leave: below it is rounding
_EMPTY = 1e-12  # share of the row weight; below it a component's moments are rounding errors
_LOG_ZERO = -1e30  # log weight of an empty component
_FLUSH = -69.0  # log responsibilities below it are exactly 0
_ROUNDING = 1e-13  # relative: gains below it are none


class Tiles(NamedTuple):
    """Rows for compiled runs."""

    z: NDArray[np.floating]  # (tiles, d, tile), of the type in which rows are computed
    weights: NDArray[np.float64]  # (tiles, tile), 0 behind the last row
    weight_sum: float
    background: NDArray[np.float64]  # (1, tiles, tile), b_n; (0, tiles, tile) without


class Bound(NamedTuple):
    """What covariances are held to; r is d where they are dense, and 1 where they are diagonal."""

    floor: NDArray[np.float64]  # (r, d), the least
    isotropic: bool  # whether all features of a component have one variance
    pooled: bool  # whether all components have one covariance


class Components(NamedTuple):
    """The parameters of a mixture, which a run changes in place."""

    weights: NDArray[np.float64]  # (k,)
    means: NDArray[np.float64]  # (k, d)
    covariances: NDArray[np.float64]  # (k, r, d)


class Scratch(NamedTuple):
    """What a run computes on the way. NumPy makes it: compiled code that makes arrays takes longer to compile."""

    whitening: NDArray[np.floating]  # (k, r, d), as the four others below of the type of the rows
    centres: NDArray[np.floating]  # (k, d), the means
    constants: NDArray[np.float64]  # (k,), log w_k - log det S_k / 2
    counts: NDArray[np.float64]  # (k,)
    first: NDArray[np.float64]  # (k, d)
    second: NDArray[np.float64]  # (k, r, d)
    square: NDArray[np.float64]  # (r, d), as the next: a matrix (d, d) where there are dense ones
    inverse: NDArray[np.float64]
    difference: NDArray[np.floating]  # (d, tile)
    joint: NDArray[np.floating]  # (k, tile), or (k + 1, tile) with a background
    white: NDArray[np.floating]  # (1, tile), a feature of W D
    of_rows: NDArray[np.float64]  # (2, tile): log-densities, sums over components


class State(NamedTuple):
    """The arrays that a run changes in place."""

    at: Components  # what is evaluated next
    best: Components  # the last that was evaluated
    scratch: Scratch
    levels: NDArray[np.float64]  # mean log-likelihoods of z of what was evaluated, as many as there can be


def make_state(tiles: Tiles, at: Components, most: int) -> State:
    """Return the state of a run that begins with components, whose arrays it changes, for so many levels at most."""
    (k, r, d), tile, own = at.covariances.shape, tiles.z.shape[2], tiles.z.dtype
    sums = (np.zeros(shape) for shape in ((k,), (k,), (k, d), (k, r, d), (r, d), (r, d)))
    of_tile = (aligned(n, tile, own) for n in (d, k + len(tiles.background), 1))
    rounded = (np.zeros(shape, own) for shape in ((k, r, d), (k, d)))
    scratch = Scratch(*(*rounded, *sums, *of_tile, aligned(2, tile, np.float64)))
    return State(at, Components(*(part.copy() for part in at)), scratch, np.empty(most))


@inlined
def factor(matrix: Any, root: Any, inverse: Any) -> Any:
    """Fill `inverse` (d, d) with W, lower triangular, W^T W = matrix^-1; return log det, NaN if that is singular.

    root (d, d) is scratch.
    """
    d, log_det = len(matrix), 0.0
    for j in range(d):
        for i in range(j, d):
            left = matrix[i, j]
            for c in range(j):
                left -= root[i, c] * root[j, c]
            if i == j:
                if not left > _SMALLEST_PIVOT * matrix[j, j] or not left < np.inf:
                    return np.nan
                root[j, j] = np.sqrt(left)
                log_det += np.log(left)
            else:
                root[i, j] = left / root[j, j]
    for j in range(d):
        inverse[j, j] = 1 / root[j, j]
        for i in range(j + 1, d):
            total = 0.0
            for c in range(j, i):
                total += root[i, c] * inverse[c, j]
            inverse[i, j] = -total / root[i, i]
    return log_det


@copied
def prepare_run(mixture: Any, scratch: Any) -> Any:
    """Fill W, the centres and the constants; return whether all covariances are regular.

    Means are rounded to the type of the rows, so that sums about them are about what they are.
    """
    whitening, centres, inverse = scratch.whitening, scratch.centres, scratch.inverse
    k, r, d = whitening.shape
    for c in range(k):
        log_det = 0.0
        if r == d and d > 1:
            log_det = factor(mixture.covariances[c], scratch.square, inverse)
            for i in range(d):
                for j in range(i + 1):
                    whitening[c, i, j] = inverse[i, j]
        else:
            for i in range(d):
                variance = mixture.covariances[c, 0, i]
                log_det += np.log(variance) if 0 < variance < np.inf else np.nan
                whitening[c, 0, i] = 1 / np.sqrt(variance)
        if np.isnan(log_det):
            return False
        for i in range(d):
            centres[c, i] = mixture.means[c, i]
            mixture.means[c, i] = centres[c, i]
        log_weight = np.log(mixture.weights[c]) if mixture.weights[c] > 0 else _LOG_ZERO
        scratch.constants[c] = log_weight - log_det / 2
    return True


@inlined
def whiten_feature(i: int, whitening: Any, difference: Any, white: Any) -> None:
    """Fill white (tile,) with feature i of W D; four columns at a time, so that fewer sums are stored on the way."""
    tile = len(white)
    own = whitening[min(i, len(whitening) - 1), i]
    for b in range(tile):
        white[b] = own * difference[i, b]
    n = i if len(whitening) > 1 else 0
    whole = n - n % 4
    for j in range(0, whole, 4):
        one, two, three, four = whitening[i, j], whitening[i, j + 1], whitening[i, j + 2], whitening[i, j + 3]
        for b in range(tile):
            white[b] += (one * difference[j, b] + two * difference[j + 1, b]) + (
                three * difference[j + 2, b] + four * difference[j + 3, b]
            )
    for j in range(whole, n):
        one = whitening[i, j]
        for b in range(tile):
            white[b] += one * difference[j, b]


@inlined
def tile_joint(z: Any, mean: Any, whitening: Any, constant: Any, difference: Any, white: Any, joint: Any) -> None:
    """Fill joint (tile,) with the joint log-densities of a component; difference (d, tile), white (tile,): scratch."""
    d, tile = z.shape
    for b in range(tile):
        joint[b] = 0.0
    for i in range(d):
        for b in range(tile):
            difference[i, b] = z[i, b] - mean[i]
    for i in range(d):
        whiten_feature(i, whitening, difference, white)
        for b in range(tile):
            joint[b] += white[b] * white[b]
    for b in range(tile):
        joint[b] = constant - 0.5 * joint[b]


@inlined
def add_products(i: int, weighted: Any, difference: Any, second: Any) -> None:
    """Add the products of weighted (tile,) with the features up to i, or with i alone where `second` is a diagonal."""
    tile, zero = len(weighted), weighted.dtype.type(0)
    row = min(i, len(second) - 1)
    j = 0 if len(second) > 1 else i
    while j < i:
        one, two = zero, zero
        for b in range(tile):
            one += weighted[b] * difference[j, b]
            two += weighted[b] * difference[j + 1, b]
        second[row, j] += one
        second[row, j + 1] += two
        j += 2
    if j == i:
        one = zero
        for b in range(tile):
            one += weighted[b] * difference[j, b]
        second[row, j] += one


@inlined
def add_tile(z: Any, mean: Any, resp: Any, difference: Any, weighted: Any, first: Any, second: Any) -> Any:
    """Add the sums of a component to first (d,) and second (r, d), its lower triangle; return that of resp (tile,)."""
    (d, tile), zero = z.shape, z.dtype.type(0)
    count = zero
    for b in range(tile):
        count += resp[b]
    if count == zero:
        return count
    for i in range(d):
        total = zero
        for b in range(tile):
            difference[i, b] = z[i, b] - mean[i]
            weighted[b] = resp[b] * difference[i, b]
            total += weighted[b]
        first[i] += total
        add_products(i, weighted, difference, second)
    return count


@copied
def clear_sums(scratch: Any) -> None:
    """Set the sums to 0; assignments to whole arrays would take longer to compile."""
    k, r, d = scratch.second.shape
    for c in range(k):
        scratch.counts[c] = 0.0
        for i in range(d):
            scratch.first[c, i] = 0.0
        for i in range(r):
            for j in range(d):
                scratch.second[c, i, j] = 0.0


@copied
def expect_run(tiles: Any, scratch: Any) -> Any:
    """Fill the sums N (k,), (k, d) and (k, r, d) about the means; return the mean of the log-densities of z."""
    (n_tiles, d, _), k = tiles.z.shape, len(scratch.constants)
    whitening, centres, difference, joint = scratch.whitening, scratch.centres, scratch.difference, scratch.joint
    white, log_prob, total = scratch.white[0], scratch.of_rows[0], scratch.of_rows[1]
    clear_sums(scratch)
    level = 0.0
    for t in range(n_tiles):
        z = tiles.z[t]
        for c in range(k):
            tile_joint(z, centres[c], whitening[c], scratch.constants[c], difference, white, joint[c])
        for c in range(k, len(joint)):
            for b in range(len(white)):
                joint[c, b] = tiles.background[c - k, t, b]
        softmax(joint, _FLUSH, log_prob, total)
        level += weigh(joint, total, tiles.weights[t], log_prob)
        for c in range(k):
            own = scratch.first[c], scratch.second[c]
            scratch.counts[c] += add_tile(z, centres[c], joint[c], difference, white, own[0], own[1])
    return level / tiles.weight_sum - d * np.log(2 * np.pi) / 2


@copied
def maximize_run(bound: Any, scratch: Any, mixture: Any) -> None:
    """Put the next parameters into the mixture; a component without rows keeps its own, and has the weight 0."""
    (k, d), counts, first, second = mixture.means.shape, scratch.counts, scratch.first, scratch.second
    total, kept = 0.0, 0.0
    for c in range(k):
        total += counts[c]
    if total == 0.0:
        return  # all rows are the background's
    for c in range(k):
        mixture.weights[c] = counts[c] if counts[c] > _EMPTY * total else 0.0
        kept += mixture.weights[c]
        if mixture.weights[c] > 0.0:
            for i in range(d):
                first[c, i] /= counts[c]
                mixture.means[c, i] += first[c, i]
            covariance_run(bound, counts[c], first[c], second[c], mixture.covariances[c])
    for c in range(k):
        mixture.weights[c] /= kept
    if bound.pooled:
        pool(mixture)


@copied
def pool(mixture: Any) -> None:
    """Give all components the mean of their covariances, weighted by their weights."""
    k, r, d = mixture.covariances.shape
    for i in range(r):
        for j in range(d):
            pooled = 0.0
            for c in range(k):
                pooled += mixture.weights[c] * mixture.covariances[c, i, j]
            for c in range(k):
                mixture.covariances[c, i, j] = pooled


@copied
def covariance_run(bound: Any, count: Any, shift: Any, second: Any, covariance: Any) -> None:
    """Fill a covariance (r, d) from sums about a point, from which the mean of the component is `shift` (d,) away."""
    r, d = second.shape
    for i in range(d):
        if r == 1:
            covariance[0, i] = second[0, i] / count - shift[i] ** 2
        else:
            for j in range(i + 1):
                covariance[i, j] = covariance[j, i] = second[i, j] / count - shift[i] * shift[j]
    if bound.isotropic:
        total = 0.0
        for i in range(d):
            total += covariance[0, i]
        for i in range(d):
            covariance[0, i] = total / d


@copied
def hold_to_floor(bound: Any, scratch: Any, mixture: Any) -> Any:
    """Raise variances to the floor; return whether dense covariances are above it in all directions."""
    (k, r, d), above = mixture.covariances.shape, scratch.second[0]
    for c in range(k):
        if r == d and d > 1:
            for i in range(d):
                for j in range(d):
                    above[i, j] = mixture.covariances[c, i, j] - bound.floor[i, j]
            if np.isnan(factor(above, scratch.square, scratch.inverse)):
                return False
        else:
            for i in range(d):
                mixture.covariances[c, 0, i] = max(mixture.covariances[c, 0, i], bound.floor[0, i])
    return True


@copied
def copy_components(source: Any, target: Any) -> None:
    """Copy parameters; assignments of slices would take five times as long to compile."""
    k, r, d = source.covariances.shape
    for c in range(k):
        target.weights[c] = source.weights[c]
        for i in range(d):
            target.means[c, i] = source.means[c, i]
        for i in range(r):
            for j in range(d):
                target.covariances[c, i, j] = source.covariances[c, i, j]


@copied
def remaining(levels: Any, n: Any) -> Any:
    """Return Aitken's estimate of what the first n levels still have to gain, as `loop.remaining_gain` tells it."""
    if n < 2:
        return np.inf
    last = levels[n - 1] - levels[n - 2]
    if last <= _ROUNDING * max(1.0, abs(levels[n - 1])):
        return 0.0
    if n < 4:
        return np.inf
    second, third = levels[n - 2] - levels[n - 3], levels[n - 3] - levels[n - 4]
    if second <= 0 or third <= 0:
        return np.inf
    ratio = max(last / second, second / third)
    return last * ratio / (1 - ratio) if ratio < 1 else np.inf


@entry_in_place
def run(tiles: Any, bound: Any, state: Any, n: Any, until: Any, tol: Any) -> Any:
    """Evaluate mixtures until there are `until` levels; return how many there are, and how it ended.

    There are n levels already.
    """
    mixture, scratch, levels = state.at, state.scratch, state.levels
    while n < until:
        if not prepare_run(mixture, scratch):
            return n, SINGULAR
        level = expect_run(tiles, scratch)
        if not np.isfinite(level):
            return n, SINGULAR
        if n > 0 and level < levels[n - 1]:
            return n, CONVERGED
        levels[n] = level
        n += 1
        copy_components(mixture, state.best)
        if remaining(levels, n) < tol:
            return n, CONVERGED
        maximize_run(bound, scratch, mixture)
        if not hold_to_floor(bound, scratch, mixture):
            return n, BELOW_FLOOR
    return n, GOES_ON
