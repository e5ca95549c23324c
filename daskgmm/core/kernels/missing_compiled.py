"""The compiled kernels for rows with missing values, which are integrated out: the fill form of the E-step.

With z0 the row that has zeros where values are missing (the centre of the kernel), P the precision of a component and
g = -P (z0 - m) the gradient of its log-density there, the log-density of what is observed, o, is

    log w N(z_o) = log w N(z0) + g_m^T y / 2 - log det P_mm / 2 + |m| log(2 pi) / 2,        P_mm y = g_m

and given these the missing values have the mean z0_m + y and the covariance C = P_mm^-1 (Ghahramani and Jordan 1994;
Little and Rubin 2002, chapter 11). So the statistics are those of z0, a matrix product over all components, and

    first_m += r y       second_mo += r y z_o^T       second_mm += r (y y^T + C)

The noise, uniform on a box, is a last component whose P is diagonal, of the variances of the box, and whose gradient is
0: each missing value takes log side from its log-density, by its own constants.

Rows come sorted by how many values they miss, so that P_mm is inverted for all components of some rows at once: the
innermost loops run over these lanes. The gradients, and the sums over y z_o^T, are matrix products over all rows of a
tile that miss the same feature. Diagonal covariances need counts alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .decorators import entry, inlined
from .vector_math import log_normal

_LANES = 128  # components of rows whose matrices are inverted together


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
    """What is missing in a tile, and what the kernels make of it: scratch that each tile fills again.

    A slot is a missing value. Slots are numbered row by row; their places are numbered feature by feature.
    """

    features: NDArray[np.int64]  # (slots,), the missing features, one row after the other
    first: NDArray[np.int64]  # (tile + 1,), row b has the slots first[b] : first[b + 1]
    first_pair: NDArray[np.int64]  # (tile + 1,), and of pairs of slots, the first not before the second, these
    places: NDArray[np.int64]  # (slots,)
    edges: NDArray[np.int64]  # (d + 1,), feature i is missing at the places edges[i] : edges[i + 1]
    rows: NDArray[np.int64]  # (places,), which rows these are
    known: NDArray[np.float64]  # (places, d), what these rows have, else 0
    by_feature: NDArray[np.float64]  # (places, k), the gradients g, then r y
    correction: NDArray[np.float64]  # (k, tile), of the joint log-densities
    y: NDArray[np.float64]  # (slots, k), the missing values less the centre
    inverses: NDArray[np.float64]  # (pairs, k), the lower triangles of P_mm^-1


@inlined
def fill_codes(rows: Any, order: Any, codes: Any) -> None:
    """Set the bits of codes (m, d / 64 rounded up) that say what the first m rows of `order` miss."""
    for a in range(len(codes)):
        row = order[a]
        for i in range(rows.shape[1]):
            codes[a, i // 64] |= np.uint64(np.isnan(rows[row, i])) << np.uint64(i % 64)


@entry
def rows_with_gaps(rows: Any, row_weights: Any) -> Any:
    """Return which rows (n, d) are complete, which are not, and what these miss: bits (m, d / 64 rounded up).

    Rows of weight 0 count as complete; row_weights is (n,), or (0,) for none.
    """
    n, d = rows.shape
    complete, incomplete = np.empty(n, np.int64), np.empty(n, np.int64)
    n_complete, m = 0, 0
    for b in range(n):  # without a branch, which would be mispredicted
        total = 0.0
        for i in range(d):
            total += 0.0 * rows[b, i]  # NaN if a value is, or is infinite
        has_gap = np.isnan(total) and (len(row_weights) == 0 or row_weights[b] != 0.0)
        complete[n_complete], incomplete[m] = b, b
        n_complete += not has_gap
        m += has_gap
    codes = np.zeros((m, (d + 63) // 64), np.uint64)
    fill_codes(rows, incomplete, codes)
    return complete[:n_complete], incomplete[:m], codes


@inlined
def gap_scratch(d: int, k: int, tile: int) -> Any:
    """Return scratch for the gaps of a tile, without place for the inverses."""
    slots = tile * d
    return Gaps(
        np.empty(slots, np.int64),
        np.empty(tile + 1, np.int64),
        np.empty(tile + 1, np.int64),
        np.empty(slots, np.int64),
        np.empty(d + 1, np.int64),
        np.empty(slots, np.int64),
        np.empty((slots, d)),
        np.empty((slots, k)),
        np.zeros((k, tile)),
        np.empty((slots, k)),
        np.empty((0, k)),
    )


@inlined
def scan_gaps(x: Any, n: int, z: Any, gaps: Any) -> Any:
    """List the gaps of n rows of a tile x (d, tile) and set z to 0 there; return gaps with place for the inverses."""
    d, slot, n_pairs = x.shape[0], 0, 0
    gaps.edges[:] = 0
    for b in range(n):
        gaps.first[b], gaps.first_pair[b] = slot, n_pairs
        for i in range(d):
            if np.isnan(x[i, b]):
                gaps.features[slot] = i
                z[i, b] = 0.0
                gaps.edges[i] += 1
                slot += 1
        m = slot - gaps.first[b]
        n_pairs += m * (m + 1) // 2
    gaps.first[n], gaps.first_pair[n] = slot, n_pairs
    sort_slots(n, gaps)
    if len(gaps.inverses) >= n_pairs:
        return gaps
    first = (gaps.features, gaps.first, gaps.first_pair, gaps.places, gaps.edges, gaps.rows, gaps.known)
    return Gaps(*first, gaps.by_feature, gaps.correction, gaps.y, np.empty((2 * n_pairs, gaps.y.shape[1])))


@inlined
def sort_slots(n: int, gaps: Any) -> None:
    """Sort the slots of n rows by feature; the edges hold how often each feature is missing, and become edges."""
    d = len(gaps.edges) - 1
    for i in range(1, d):
        gaps.edges[i] += gaps.edges[i - 1]
    gaps.edges[d] = gaps.first[n]
    for b in range(n - 1, -1, -1):  # backwards from the ends, which become the beginnings
        for slot in range(gaps.first[b], gaps.first[b + 1]):
            i = gaps.features[slot]
            gaps.edges[i] -= 1
            gaps.places[slot] = gaps.edges[i]
            gaps.rows[gaps.edges[i]] = b


@inlined
def invert_lanes(matrices: Any, log_det: Any, work: Any) -> None:  # noqa: C901 # three loops over lanes
    """Replace the lower triangles of matrices (m, m, lanes) by those of their inverses, and fill log_det (lanes,).

    By the Cholesky factors L with inverted diagonals, then L^-1, then L^-T L^-1, each in the place of the one before.
    """
    m, n = len(matrices), len(work)
    log_det[:] = 0.0
    for a in range(m):
        for b in range(a + 1):
            own = matrices[a, b]
            for e in range(b):
                for c in range(n):
                    own[c] -= matrices[a, e, c] * matrices[b, e, c]
            if a == b:
                for c in range(n):
                    log_det[c] += log_normal(own[c])
                    own[c] = 1.0 / np.sqrt(own[c])
            else:
                for c in range(n):
                    own[c] *= matrices[b, b, c]
    for a in range(m):
        for b in range(a):
            work[:] = 0.0
            for e in range(b, a):
                for c in range(n):
                    work[c] += matrices[a, e, c] * matrices[e, b, c]
            for c in range(n):
                matrices[a, b, c] = -work[c] * matrices[a, a, c]
    for a in range(m):
        for b in range(a + 1):
            work[:] = 0.0
            for e in range(a, m):
                for c in range(n):
                    work[c] += matrices[e, a, c] * matrices[e, b, c]
            for c in range(n):
                matrices[a, b, c] = work[c]


@inlined
def gradient(terms: Any, row: Any, own: Any, missing: Any, g: Any) -> None:
    """Fill g (m, k) with -P (z - m) of the missing features of a row (d,), about the own centres.

    `own` are the observed features; the others are at the centres.
    """
    k = terms.gradients.shape[1]
    for a in range(len(missing)):
        i = missing[a]
        g[a, :] = 0.0
        for j in own:
            value = row[j]
            for c in range(k):
                g[a, c] -= terms.precisions[i, j, c] * (value - terms.origins[j, c])


@inlined
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


@inlined
def shared_gradients(z: Any, terms: Any, gaps: Any) -> None:
    """Fill what is observed and the gradients of the gaps of a tile z (d, tile), by a product for each feature."""
    d, k = z.shape[0], terms.gradients.shape[1]
    for i in range(d):
        first, after = gaps.edges[i], gaps.edges[i + 1]
        if after == first:
            continue
        own, g = gaps.known[first:after], gaps.by_feature[first:after]
        if terms.precisions.shape[0] == d:
            for j in range(d):
                for at in range(after - first):
                    own[at, j] = z[j, gaps.rows[first + at]]
            np.dot(own, terms.precisions[i], g)
        else:
            g[:] = 0.0
        for at in range(after - first):
            for c in range(k):
                g[at, c] = terms.gradients[i, c] - g[at, c]


@inlined
def centred_gradients(z: Any, n: int, terms: Any, gaps: Any) -> None:
    """Fill the gradients of the gaps of n rows of a tile z (d, tile), each component with its own centre."""
    d, k = z.shape[0], terms.gradients.shape[1]
    row, own, g = np.empty(d), np.empty(d, np.int64), np.empty((d, k))
    for b in range(n):
        missing = gaps.features[gaps.first[b] : gaps.first[b + 1]]
        if terms.precisions.shape[0] == d:
            observed = own[: observed_of(missing, d, own)]
            for j in observed:
                row[j] = z[j, b]
            gradient(terms, row, observed, missing, g)
        else:
            g[:] = 0.0
        for a in range(len(missing)):  # not g[a] as a whole: the message for other shapes takes two seconds to compile
            place = gaps.places[gaps.first[b] + a]
            for c in range(k):
                gaps.by_feature[place, c] = g[a, c]


@inlined
def fill_tile(n: int, terms: Any, gaps: Any) -> None:
    """Fill y, the inverses and the corrections of the gaps of n rows of a tile, from their gradients."""
    d, k, start = len(gaps.edges) - 1, terms.gradients.shape[1], 0
    most = max(_LANES // k, 1)
    work, log_det = np.empty(most * k), np.empty(most * k)
    matrices, vectors = np.empty(d * d * most * k), np.empty(2 * d * most * k)
    while start < n:
        m, after = gaps.first[start + 1] - gaps.first[start], start + 1
        while after < min(n, start + most) and gaps.first[after + 1] - gaps.first[after] == m:
            after += 1
        lanes = (after - start) * k
        matrix = matrices[: m * m * lanes].reshape(m, m, lanes)
        g = vectors[: m * lanes].reshape(m, lanes)
        y = vectors[m * lanes : 2 * m * lanes].reshape(m, lanes)
        gather_rows(start, after, terms, gaps, matrix, g)
        invert_lanes(matrix, log_det[:lanes], work[:lanes])
        solve_lanes(matrix, g, y)
        for c in range(lanes):
            work[c] = -log_det[c]
        if len(terms.origins) == 0:  # with own centres the distance is taken where the values are filled
            for a in range(m):
                for c in range(lanes):
                    work[c] += y[a, c] * g[a, c]
        scatter_rows(start, after, terms, gaps, matrix, y, work)
        start = after


@inlined
def gather_rows(start: int, after: int, terms: Any, gaps: Any, matrix: Any, g: Any) -> None:
    """Fill matrix (m, m, lanes) with P_mm and g (m, lanes) with the gradients of some rows that miss m values each."""
    m, k, dense = len(g), terms.gradients.shape[1], terms.precisions.shape[0] > 1
    for b in range(start, after):
        at, slots = (b - start) * k, gaps.first[b]
        for a in range(m):
            i, place = gaps.features[slots + a], gaps.places[slots + a]
            for c in range(k):
                g[a, at + c] = gaps.by_feature[place, c]
            for e in range(a + 1):
                j = gaps.features[slots + e]
                for c in range(k):
                    if dense:
                        matrix[a, e, at + c] = terms.precisions[i, j, c]
                    else:
                        matrix[a, e, at + c] = terms.precisions[0, i, c] if i == j else 0.0


@inlined
def solve_lanes(inverse: Any, g: Any, y: Any) -> None:
    """Fill y (m, lanes) with the product of the matrices (m, m, lanes), of which the lower triangles count, and g."""
    m, n = g.shape
    for a in range(m):
        for c in range(n):
            y[a, c] = inverse[a, a, c] * g[a, c]
        for e in range(a):
            for c in range(n):
                y[a, c] += inverse[a, e, c] * g[e, c]
                y[e, c] += inverse[a, e, c] * g[a, c]


@inlined
def scatter_rows(start: int, after: int, terms: Any, gaps: Any, inverse: Any, y: Any, values: Any) -> None:
    """Write what was found for some rows that miss m values each: y, the inverses, and the corrections of `values`."""
    m, k = len(y), terms.gradients.shape[1]
    for b in range(start, after):
        at, slots, pair = (b - start) * k, gaps.first[b], gaps.first_pair[b]
        for a in range(m):
            i = gaps.features[slots + a]
            for c in range(k):
                gaps.y[slots + a, c] = y[a, at + c]
                values[at + c] += 2.0 * terms.constants[i, c]
            for e in range(a + 1):
                for c in range(k):
                    gaps.inverses[pair, c] = inverse[a, e, at + c]
                pair += 1
        for c in range(k):
            gaps.correction[c, b] = 0.5 * values[at + c]


@inlined
def full_column(d: int, i: int, j: int) -> Any:
    """Return the column of phi that holds z_i z_j, i <= j, in the full map."""
    return 1 + d + i * d - i * (i - 1) // 2 + j - i
