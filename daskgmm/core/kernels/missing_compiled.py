"""The compiled kernels for rows with missing values, which are integrated out: the fill form of the E-step.

With z0 the row that has zeros where values are missing (the centre of the kernel), P the precision of a component and
g = -P (z0 - m) the gradient of its log-density there, the log-density of what is observed, o, is

    log w N(z_o) = log w N(z0) + g_m^T y / 2 - log det P_mm / 2 + |m| log(2 pi) / 2,        P_mm y = g_m

and given these the missing values have the mean z0_m + y and the covariance C = P_mm^-1 (Ghahramani and Jordan 1994;
Little and Rubin 2002, chapter 11). So the statistics are those of z0, a matrix product over all components, and

    first_m += r y       second_mo += r y z_o^T       second_mm += r (y y^T + C)

The noise, uniform on a box, is a last component whose P is diagonal, of the variances of the box, and whose gradient is
0: each missing value takes log side from its log-density, by its own constants.

All components miss the same values of a row: the innermost loops run over the components. Rows come sorted by what is
missing, so that P_mm is inverted once for rows of one pattern. Diagonal covariances need counts alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import (
    DIAGONAL,
    FULL,
    _compiled,
    add_moments,
    add_to,
    build_features,
    centred_part,
    columns_at_once,
    in_blocks,
    joint_of,
    load_tile,
    load_weights,
    shared_joint,
    softmax,
    weigh,
)


class MissingTerms(NamedTuple):
    """What the kernels need of the components for missing values; components last."""

    precisions: NDArray[np.float64]  # (d, d, k), or (1, d, k) if they are diagonal
    gradients: NDArray[np.float64]  # (d, k), P m if the centre is shared, else 0
    origins: NDArray[np.float64]  # (d, k), the own centres; (0, k) if it is shared
    constants: NDArray[np.float64]  # (d, k), log(2 pi) / 2 + log scale, for each missing value
    centres: NDArray[np.float64]  # (d, k), to which y is added: the own centres, or 0


class Filled(NamedTuple):
    """Where imputation writes; an array without rows is not wanted."""

    values: NDArray[np.float64]  # (n, d), E[z_m | z_o] where values are missing
    variances: NDArray[np.float64]  # (n, d), their variances


class Gaps(NamedTuple):
    """What is missing in a tile, row by row, and what the kernels make of it: scratch that each tile fills again."""

    features: NDArray[np.int64]  # (slots,), the missing features, one row after the other
    first: NDArray[np.int64]  # (tile + 1,), row b has the slots first[b] : first[b + 1]
    is_new: NDArray[np.bool_]  # (tile,), whether a row misses other features than the row before
    correction: NDArray[np.float64]  # (k, tile), of the joint log-densities
    y: NDArray[np.float64]  # (slots, k), the missing values less the centre
    inverses: NDArray[np.float64]  # (m^2 of each pattern, one after the other, k), P_mm^-1


@_compiled
def rows_with_gaps(rows: Any, row_weights: Any) -> Any:
    """Return which rows (n, d) are complete, which are not, and what these miss: bits (m, d / 64 rounded up).

    Rows of weight 0 count as complete; row_weights is (n,), or (0,) for none.
    """
    n, d = rows.shape
    complete, incomplete = np.empty(n, np.int64), np.empty(n, np.int64)
    codes, n_complete, m = np.zeros((n, (d + 63) // 64), np.uint64), 0, 0
    for b in range(n):
        total = 0.0
        for i in range(d):
            total += 0.0 * rows[b, i]  # NaN if a value is, or is infinite
        if np.isnan(total) and (len(row_weights) == 0 or row_weights[b] != 0.0):
            for i in range(d):  # without a branch, which would be mispredicted
                codes[m, i // 64] |= np.uint64(np.isnan(rows[b, i])) << np.uint64(i % 64)
            incomplete[m] = b
            m += 1
        else:
            complete[n_complete] = b
            n_complete += 1
    return complete[:n_complete], incomplete[:m], codes[:m]


@_compiled
def scan_tile(x: Any, n: int, z: Any, features: Any, first: Any, is_new: Any) -> Any:
    """List the missing features of each row of a tile x (d, tile), and set z to 0 there.

    Row b misses features[first[b] : first[b + 1]]; is_new[b] says whether these are others than those of the row
    before. Returns how many numbers the inverses of the patterns have.
    """
    d, slot, n_squares = x.shape[0], 0, 0
    for b in range(n):
        first[b] = slot
        for i in range(d):
            if np.isnan(x[i, b]):
                features[slot] = i
                z[i, b] = 0.0
                slot += 1
        m = slot - first[b]
        same = b > 0 and first[b] - first[b - 1] == m
        if same:
            for a in range(m):
                same = same and features[first[b] + a] == features[first[b - 1] + a]
        is_new[b] = not same
        if not same:
            n_squares += m * m
    first[n] = slot
    return n_squares


@_compiled
def invert(precisions: Any, missing: Any, lower: Any, work: Any, inverse: Any, log_det: Any) -> None:
    """Fill inverse (m, m, k) with P_mm^-1 and log_det (k,) with log det P_mm; lower (d, d, k), work (k,) are scratch.

    By the Cholesky factors L of all components at once, then L^-1 in their place, then L^-T L^-1.
    """
    factor(precisions, missing, lower, work, log_det)
    invert_factor(lower[: len(missing)], work, inverse)


@_compiled
def factor(precisions: Any, missing: Any, lower: Any, work: Any, log_det: Any) -> None:
    """Fill lower (d, d, k) with the Cholesky factors of P_mm, their diagonals inverted, and log_det (k,)."""
    m, k = len(missing), len(work)
    log_det[:] = 0.0
    for a in range(m):
        for b in range(a + 1):
            own = precisions[missing[a], missing[b]]
            for c in range(k):
                work[c] = own[c]
            for e in range(b):
                for c in range(k):
                    work[c] -= lower[a, e, c] * lower[b, e, c]
            if a == b:
                for c in range(k):
                    log_det[c] += np.log(work[c])
                    lower[a, a, c] = 1.0 / np.sqrt(work[c])
            else:
                for c in range(k):
                    lower[a, b, c] = work[c] * lower[b, b, c]


@_compiled
def invert_factor(lower: Any, work: Any, inverse: Any) -> None:  # noqa: C901 # three loops over components
    """Fill inverse (m, m, k) from Cholesky factors with inverted diagonals, which are inverted in their place."""
    m, k = len(inverse), len(work)
    for a in range(m):  # row by row: entries of L in a row are read before they are replaced
        for b in range(a):
            work[:] = 0.0
            for e in range(b, a):
                for c in range(k):
                    work[c] += lower[a, e, c] * lower[e, b, c]
            for c in range(k):
                inverse[a, b, c] = -work[c] * lower[a, a, c]
        for b in range(a):
            for c in range(k):
                lower[a, b, c] = inverse[a, b, c]
    for a in range(m):
        for b in range(a + 1):
            work[:] = 0.0
            for e in range(a, m):
                for c in range(k):
                    work[c] += lower[e, a, c] * lower[e, b, c]
            for c in range(k):
                inverse[a, b, c] = work[c]
                inverse[b, a, c] = work[c]


@_compiled
def gradient(terms: Any, row: Any, own: Any, missing: Any, g: Any) -> None:
    """Fill g (m, k) with -P (z0 - m) of the missing features of a row (d,), whose observed features are `own`."""
    k = terms.gradients.shape[1]
    for a in range(len(missing)):
        i = missing[a]
        for c in range(k):
            g[a, c] = terms.gradients[i, c]
        for j in own:
            value = row[j]
            if len(terms.origins):
                for c in range(k):
                    g[a, c] -= terms.precisions[i, j, c] * (value - terms.origins[j, c])
            else:
                for c in range(k):
                    g[a, c] -= terms.precisions[i, j, c] * value


@_compiled
def observed_of(missing: Any, d: int, own: Any) -> Any:
    """Fill `own` (d,) with the features that are not missing; return how many there are."""
    n_own, a = 0, 0
    for i in range(d):
        if a < len(missing) and missing[a] == i:
            a += 1
        else:
            own[n_own] = i
            n_own += 1
    return n_own


@_compiled
def fill_tile(z: Any, n: int, terms: Any, gaps: Any) -> None:  # noqa: C901 # dense and diagonal
    """Fill y, the inverses and the corrections of the gaps of a tile z (d, tile) of n rows."""
    features, first, is_new, correction, y, inverses = gaps
    d, k = z.shape[0], terms.gradients.shape[1]
    dense = terms.precisions.shape[0] == d and d > 1
    lower, work, log_det = np.empty((d, d, k)) if dense else np.empty((1, 1, k)), np.empty(k), np.zeros(k)
    row, g, own = np.empty(d), np.empty((d, k)), np.empty(d, np.int64)
    at, after, n_own = 0, 0, 0
    correction[:] = 0.0
    for b in range(n):
        missing = features[first[b] : first[b + 1]]
        m = len(missing)
        if is_new[b]:
            at, after = after, after + m * m
            inverse = inverses[at:after].reshape(m, m, k)
            n_own = observed_of(missing, d, own)
            if dense:
                invert(terms.precisions, missing, lower, work, inverse, log_det)
            else:
                log_det[:] = 0.0
                inverse[:] = 0.0
                for a in range(m):
                    for c in range(k):
                        inverse[a, a, c] = 1.0 / terms.precisions[0, missing[a], c]
                        log_det[c] += np.log(terms.precisions[0, missing[a], c])
        inverse, filled = inverses[at:after].reshape(m, m, k), y[first[b] : first[b + 1]]
        if dense:
            for j in own[:n_own]:
                row[j] = z[j, b]
            gradient(terms, row, own[:n_own], missing, g)
        else:
            for a in range(m):
                g[a, :] = terms.gradients[missing[a]]
        for c in range(k):
            work[c] = -log_det[c]
        for a in range(m):
            for c in range(k):
                work[c] += 2.0 * terms.constants[missing[a], c]
        for a in range(m):
            filled[a, :] = 0.0
            for e in range(m) if dense else range(a, a + 1):
                for c in range(k):
                    filled[a, c] += inverse[a, e, c] * g[e, c]
            if len(terms.origins) == 0:  # with own centres the distance is taken where the values are filled
                for c in range(k):
                    work[c] += filled[a, c] * g[a, c]
        for c in range(k):
            correction[c, b] = 0.5 * work[c]


@_compiled
def fill_sums(  # noqa: C901 # three maps
    setting: Any, z: Any, n: int, terms: Any, gaps: Any, joint: Any, sums: Any
) -> None:
    """Add to sums (F, k) what missing values have in them, of responsibilities joint (k, tile)."""
    features, first, is_new, _, y, inverses = gaps
    d, k = z.shape[0], terms.gradients.shape[1]
    own, resp, total, part = np.empty(d, np.int64), np.empty(k), np.empty(k), np.empty(k)
    at, after, n_own, f = 0, 0, 0, 1 + d
    for b in range(n):
        missing, filled = features[first[b] : first[b + 1]], y[first[b] : first[b + 1]]
        m = len(missing)
        if is_new[b]:
            at, after, n_own = after, after + m * m, observed_of(missing, d, own)
            total[:] = 0.0
        for c in range(k):
            resp[c] = joint[c, b]
            total[c] += resp[c]
        if setting.feature_map == FULL:
            for a in range(m):
                i = missing[a]
                for c in range(k):
                    part[c] = resp[c] * filled[a, c]
                    sums[1 + i, c] += part[c]
                for j in own[:n_own]:
                    value = z[j, b]
                    f = full_column(d, min(i, j), max(i, j))
                    if len(terms.origins):
                        for c in range(k):
                            sums[f, c] += part[c] * (value - terms.origins[j, c])
                    else:
                        for c in range(k):
                            sums[f, c] += part[c] * value
                for e in range(a + 1):
                    f = full_column(d, missing[e], i)
                    for c in range(k):
                        sums[f, c] += part[c] * filled[e, c]
        if b + 1 < n and not is_new[b + 1]:
            continue
        inverse = inverses[at:after].reshape(m, m, k)
        for a in range(m):  # of all rows of the pattern together
            i = missing[a]
            if setting.feature_map == FULL:
                for e in range(a + 1):
                    f = full_column(d, missing[e], i)
                    for c in range(k):
                        sums[f, c] += total[c] * inverse[a, e, c]
            else:
                f, factor = 1 + d, setting.metric[i]
                if setting.feature_map == DIAGONAL:
                    f, factor = 1 + d + i, 1.0
                for c in range(k):
                    sums[1 + i, c] += total[c] * filled[a, c]
                    sums[f, c] += total[c] * factor * (filled[a, c] * filled[a, c] + inverse[a, a, c])


@_compiled
def full_column(d: int, i: int, j: int) -> Any:
    """Return the column of phi that holds z_i z_j, i <= j, in the full map."""
    return 1 + d + i * d - i * (i - 1) // 2 + j - i


@_compiled
def add_correction(joint: Any, correction: Any, n: int) -> None:
    """Add the correction to the joint log-densities (k, tile) of n rows."""
    for c in range(joint.shape[0]):
        for b in range(n):
            joint[c, b] += correction[c, b]


@_compiled
def expected_correction(joint: Any, correction: Any, n: int) -> Any:
    """Return the sum of the correction times responsibilities (k, tile) of n rows."""
    total = 0.0
    for c in range(joint.shape[0]):
        for b in range(n):
            total += joint[c, b] * correction[c, b]
    return total


@_compiled
def gap_scratch(d: int, k: int, tile: int) -> Any:
    """Return scratch for the gaps of a tile."""
    features, first, is_new = np.empty(tile * d, np.int64), np.empty(tile + 1, np.int64), np.empty(tile, np.bool_)
    return Gaps(features, first, is_new, np.zeros((k, tile)), np.empty((tile * d, k)), np.empty((d * d, k)))


@_compiled
def scan_gaps(x: Any, n: int, z: Any, gaps: Any) -> Any:
    """Return the gaps of a tile, listed by `scan_tile`, with more scratch for inverses if theirs is too small."""
    features, first, is_new, correction, y, inverses = gaps
    n_squares = scan_tile(x, n, z, features, first, is_new)
    if len(inverses) >= n_squares:
        return gaps
    return Gaps(features, first, is_new, correction, y, np.empty((2 * n_squares, inverses.shape[1])))


@_compiled
def expect_shared_missing(rows: Any, row_weights: Any, setting: Any, theta: Any, terms: Any) -> Any:
    """Return the sums (k, F) of z0 and of what is missing, the log-likelihood, its correction and the weight.

    The rows (n, d) are sorted by what they miss. The correction is sum_n sum_k r_nk of what it adds to the joint
    log-densities, which are linear in the sums of z0 but for that.
    """
    d, (k, n_columns), tile = rows.shape[1], theta.shape, setting.tile
    step = columns_at_once(k, n_columns, tile)
    theta_blocks = in_blocks(theta, step)
    x, phi = np.empty((d, tile), rows.dtype), np.ones((n_columns, tile), theta.dtype)
    z = phi[1 : 1 + d]
    joint, joint_part = np.empty((k, tile), theta.dtype), np.empty((k, tile), theta.dtype)
    resp, part = np.empty((tile, k), theta.dtype), np.empty((step, k), theta.dtype)
    weights, log_prob, total = np.empty(tile), np.empty(tile), np.empty(tile)
    gaps = gap_scratch(d, k, tile)
    sums, missing_sums = np.zeros((n_columns, k)), np.zeros((n_columns, k))
    log_likelihood, expected, weight_sum = 0.0, 0.0, 0.0
    for start in range(0, len(rows), tile):
        n = load_tile(rows, start, setting, x, z)
        gaps = scan_gaps(x, n, z, gaps)
        weight_sum += load_weights(row_weights, start, n, z, weights)
        build_features(setting.feature_map, setting.metric, z, phi)
        shared_joint(theta_blocks, step, phi, joint_part, joint)
        fill_tile(z, n, terms, gaps)
        add_correction(joint, gaps.correction, n)
        softmax(joint, setting.flush, log_prob, total)
        log_likelihood += weigh(joint, total, weights, log_prob)
        expected += expected_correction(joint, gaps.correction, n)
        add_moments(phi, joint, step, resp, part, sums)
        fill_sums(setting, z, n, terms, gaps, joint, missing_sums)
    return np.ascontiguousarray(sums.T), np.ascontiguousarray(missing_sums.T), log_likelihood, expected, weight_sum


@_compiled
def subtract_observed(z: Any, mean: Any, x: Any, n: int, difference: Any) -> None:
    """Fill difference (d, tile) with z - mean, and 0 where values are missing."""
    for i in range(z.shape[0]):
        for b in range(z.shape[1]):
            difference[i, b] = z[i, b] - mean[i]
        for b in range(n):
            if np.isnan(x[i, b]):
                difference[i, b] = 0.0


@_compiled
def filled_joint(z: Any, x: Any, n: int, mixture: Any, gaps: Any, difference: Any, white: Any, joint: Any) -> None:
    """Fill joint (k, tile) with constant_k - |W_k d|^2 / 2, d being z - m_k, and y where values are missing.

    There the distance is least, so that it is exact to second order in the errors of y, however narrow a component is.
    """
    for c in range(len(mixture.constants)):
        subtract_observed(z, mixture.means[c], x, n, difference)
        for b in range(n):
            for slot in range(gaps.first[b], gaps.first[b + 1]):
                difference[gaps.features[slot], b] = gaps.y[slot, c]
        joint_of(mixture, c, difference, white, joint[c])


@_compiled
def expect_centred_missing(rows: Any, row_weights: Any, setting: Any, mixture: Any, n_columns: int, terms: Any) -> Any:
    """Return what `expect_shared_missing` returns, with moments about each own mean; the correction is all of it."""
    d, k, tile = rows.shape[1], len(mixture.constants), setting.tile
    x, z = np.empty((d, tile), rows.dtype), np.empty((d, tile), mixture.means.dtype)
    difference, white, outer = np.empty_like(z), np.empty_like(z), np.empty((d, d), mixture.means.dtype)
    joint, part = np.empty((k, tile), mixture.means.dtype), np.empty((k, n_columns))
    weights, log_prob, total = np.empty(tile), np.empty(tile), np.empty(tile)
    gaps = gap_scratch(d, k, tile)
    sums, missing_sums = np.zeros((k, n_columns)), np.zeros((n_columns, k))
    log_likelihood, expected, weight_sum = 0.0, 0.0, 0.0
    for start in range(0, len(rows), tile):
        n = load_tile(rows, start, setting, x, z)
        gaps = scan_gaps(x, n, z, gaps)
        weight_sum += load_weights(row_weights, start, n, z, weights)
        fill_tile(z, n, terms, gaps)
        filled_joint(z, x, n, mixture, gaps, difference, white, joint)
        add_correction(joint, gaps.correction, n)
        gaps.correction[:] = joint
        softmax(joint, setting.flush, log_prob, total)
        log_likelihood += weigh(joint, total, weights, log_prob)
        expected += expected_correction(joint, gaps.correction, n)
        for c in range(k):
            subtract_observed(z, mixture.means[c], x, n, difference)
            centred_part(setting, difference, joint[c], white, outer, part[c])
        add_to(sums, part)
        fill_sums(setting, z, n, terms, gaps, joint, missing_sums)
    return sums, np.ascontiguousarray(missing_sums.T), log_likelihood, expected, weight_sum
