"""The compiled kernels: E-step and statistics of a block of rows, without the GIL, one tile of rows at a time.

A tile is held transposed, features x rows, so that every inner loop runs along contiguous rows and vectorises.
With Z the tile in the frame's coordinates, one pass over it is

    L  = Theta phi(Z)^T
    R  = softmax over components of L, times the row weights
    T += R phi(Z)

Both are matrix products over all components. Where components lie too far from the frame's centre, or are too narrow,
for their precision, the kernels of `own_centres.py` take over (`natural_parameters.py` chooses).

Tiles depend on the shape alone, so that the same rows always give the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .decorators import entry, inlined
from .vector_math import exp_coefficients, exp_flushed, log_normal

LINEAR, SPHERICAL, DIAGONAL, FULL = range(4)  # FeatureMap, as the constants that compiled code sees

NO_WEIGHTS = np.empty(0)  # of rows that have none
_CACHE_BYTES = 2**20  # of a core's own cache, as processors have them
_TILE_BYTES = 12 * 2**20  # phi of one tile at most, for very wide data
_SMALL_PRODUCT = 10**6  # multiplications up to which OpenBLAS takes matrices as they lie; above, it packs them first
_FEW_COLUMNS = 48  # for so few, sums along the rows of both matrices are faster than a transposition
_PACKED_STEP = 256  # columns at a time where packing pays
STRIP = 16  # rows that are transposed together: a loop of known length becomes shuffles, 3 times faster
_BOUNDARY = 64  # bytes, of a cache line and of the widest vectors
Z_LIMIT = 1e70  # squares and products of z stay finite


class KernelArgs(NamedTuple):
    """The arguments of a kernel besides rows and mixture: the frame, the map, the tile and the flush bound."""

    centre: NDArray[np.float64]  # (d,)
    inverse_scale: NDArray[np.float64]  # (d,); LLVM would move a quotient of the scale into the loop over the rows
    isotropy_weights: NDArray[np.float64]  # (d,), of the spherical map
    feature_map: int
    tile: int  # rows
    flush: float  # log responsibilities (relative to the largest) below it are exactly 0


class OutputBuffers(NamedTuple):
    """Where prediction writes; an array without rows is not wanted."""

    labels: NDArray[np.int32]  # (n,)
    resp: NDArray[np.float64]  # (n, k) or (0, k)
    log_prob: NDArray[np.float64]  # (n,) or (0,)


def tile_rows(n_columns: int) -> int:
    """Return the rows of a tile, in number: 256 while phi stays in a core's own cache, at least 64 unless very wide."""
    tile = 256
    while tile > 64 and tile * n_columns * 8 > _CACHE_BYTES:
        tile //= 2
    while tile > 16 and tile * n_columns * 8 > _TILE_BYTES:
        tile //= 2
    return tile


def aligned(m: int, n: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return zeros (m, n) from a boundary of 64 bytes on: vectors off it take twice as long."""
    own = np.dtype(dtype)
    flat = np.zeros(m * n + _BOUNDARY // own.itemsize, own)
    first = -flat.__array_interface__["data"][0] % _BOUNDARY // own.itemsize
    return flat[first : first + m * n].reshape(m, n)


@inlined
def load_tile(rows: Any, start: int, args: Any, x: Any, z: Any) -> Any:
    """Fill z (d, tile) with the rows from `start` on, zeros behind the last; return how many rows there were.

    x (d, tile), of the type of the rows, is scratch: z may be of a type that does not hold them.
    """
    d, tile = z.shape
    n = min(tile, rows.shape[0] - start)
    own = rows[start : start + n]
    whole = n - n % STRIP
    for first in range(0, whole, STRIP):
        for i in range(d):
            for b in range(STRIP):
                x[i, first + b] = own[first + b, i]
    for i in range(d):
        centre, inverse_scale = args.centre[i], args.inverse_scale[i]
        for b in range(whole, n):
            x[i, b] = own[b, i]
        for b in range(n):
            z[i, b] = min(max((x[i, b] - centre) * inverse_scale, -Z_LIMIT), Z_LIMIT)
        for b in range(n, tile):
            z[i, b] = 0.0
    return n


@inlined
def load_weights(row_weights: Any, start: int, n: int, z: Any, weights: Any) -> Any:
    """Fill weights (tile,), 1 where none are given and 0 behind the last row; return their sum.

    A row of weight 0 is absent: it becomes z = 0, so that it may hold anything, NaN too.
    """
    for b in range(n):
        weights[b] = row_weights[start + b] if len(row_weights) else 1.0
    for b in range(n, len(weights)):
        weights[b] = 0.0
    if len(row_weights):
        for b in range(n):
            if weights[b] == 0.0:
                for i in range(z.shape[0]):
                    z[i, b] = 0.0
    weight_sum = 0.0
    for b in range(len(weights)):
        weight_sum += weights[b]
    return weight_sum


@inlined
def build_features(feature_map: int, isotropy_weights: Any, z: Any, phi: Any) -> None:  # noqa: C901 # four maps, one branch each
    """Fill the rows of phi (F, tile) behind its first 1 + d: the ones and z (d, tile), which the caller has filled."""
    d, tile = z.shape
    f = 1 + d
    if feature_map == FULL:
        for i in range(d):
            for j in range(i, d):
                for b in range(tile):
                    phi[f, b] = z[i, b] * z[j, b]
                f += 1
    elif feature_map == DIAGONAL:
        for i in range(d):
            for b in range(tile):
                phi[f + i, b] = z[i, b] * z[i, b]
    elif feature_map == SPHERICAL:
        phi[f, :] = 0.0
        for i in range(d):
            for b in range(tile):
                phi[f, b] += isotropy_weights[i] * z[i, b] * z[i, b]


@inlined
def softmax(joint: Any, flush: float, log_prob: Any, total: Any) -> None:
    """Turn joint_log_prob (k, tile) into exp(joint - max), with its sums in `total`, and fill log_prob (tile,)."""
    k, tile = joint.shape
    coefficients = exp_coefficients(flush)
    for b in range(tile):
        log_prob[b] = joint[0, b]
        total[b] = 0.0
    for c in range(1, k):
        for b in range(tile):
            log_prob[b] = max(log_prob[b], joint[c, b])
    for c in range(k):
        for b in range(tile):
            e = exp_flushed(joint[c, b] - log_prob[b], flush, coefficients)
            joint[c, b] = e
            total[b] += e
    for b in range(tile):
        log_prob[b] += log_normal(total[b])


@inlined
def weigh(joint: Any, total: Any, weights: Any, log_prob: Any) -> Any:
    """Turn the output of `softmax` into weighted responsibilities; return sum_n weight_n log p(x_n)."""
    k, tile = joint.shape
    log_likelihood = 0.0
    for b in range(tile):
        log_likelihood += weights[b] * log_prob[b]
        total[b] = weights[b] / total[b]
    for c in range(k):
        for b in range(tile):
            joint[c, b] *= total[b]
    return log_likelihood


@inlined
def add_to(sums: Any, part: Any) -> None:
    """Add part to sums, matrices of one shape; sums are float64 whatever the tile was computed in."""
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            sums[i, j] += part[i, j]


@inlined
def transpose(source: Any, target: Any) -> None:
    """Copy source (m, n) to target (n, m)."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] = source[j, i]


@inlined
def columns_at_once(k: int, n_columns: int, tile: int) -> Any:
    """Return the number of columns of phi in a product: so few that none is packed, or many if those were too few."""
    step = _SMALL_PRODUCT // (k * tile) // 8 * 8
    return min(step if step >= 48 else _PACKED_STEP, n_columns)


@inlined
def in_blocks(theta: Any, step: int) -> Any:
    """Return theta (k, F) as (k F,): its blocks of `step` columns, each contiguous, one after the other."""
    k, n_columns = theta.shape
    blocks = np.empty(theta.size, theta.dtype)
    at = 0
    for first in range(0, n_columns, step):
        for c in range(k):
            for f in range(first, min(first + step, n_columns)):
                blocks[at] = theta[c, f]
                at += 1
    return blocks


@inlined
def shared_joint(theta_blocks: Any, step: int, phi: Any, part: Any, joint: Any) -> None:
    """Fill joint (k, tile) with Theta phi, block by block of columns; `part` (k, tile) is scratch."""
    k, n_columns = joint.shape[0], phi.shape[0]
    np.dot(theta_blocks[: k * step].reshape(k, step), phi[:step], joint)
    for first in range(step, n_columns, step):
        block = theta_blocks[k * first : k * (first + step)]
        np.dot(block.reshape(k, len(block) // k), phi[first : first + step], part)
        add_to(joint, part)


@inlined
def add_moments(phi: Any, joint: Any, step: int, resp: Any, part: Any, sums: Any) -> None:
    """Add phi R^T to sums (F, k), R being joint (k, tile); resp (tile, k) and part (step, k) are scratch.

    R is transposed first, so that BLAS finds the components next to each other, unless phi has few columns.
    """
    n_columns = len(phi)
    if n_columns <= _FEW_COLUMNS:
        np.dot(phi, joint.T, part)
        add_to(sums, part)
        return
    transpose(joint, resp)
    for first in range(0, n_columns, step):
        own = sums[first : first + step]
        np.dot(phi[first : first + step], resp, part[: len(own)])
        add_to(own, part[: len(own)])


@entry
def expect_shared(rows: Any, row_weights: Any, args: Any, theta: Any, edges: Any) -> Any:
    """Return T (k, F), sum_n weight_n log p(x_n) and sum_n weight_n of rows (n, d), by the shared centre.

    theta (k, F) holds the components of several mixtures one after the other: mixture m has those from edges[m] to
    edges[m + 1], and the log-likelihood is one for each, (m,). row_weights is (n,), or (0,) for none. The products
    are computed in the precision of theta.
    """
    d, (k, n_columns) = rows.shape[1], theta.shape
    step = columns_at_once(k, n_columns, args.tile)
    theta_blocks = in_blocks(theta, step)
    x, phi = np.empty((d, args.tile), rows.dtype), np.ones((n_columns, args.tile), theta.dtype)
    z = phi[1 : 1 + d]
    joint, joint_part = np.empty((k, args.tile), theta.dtype), np.empty((k, args.tile), theta.dtype)
    resp, part = np.empty((args.tile, k), theta.dtype), np.empty((step, k), theta.dtype)
    weights, log_prob, total = np.empty(args.tile), np.empty(args.tile), np.empty(args.tile)
    sums = np.zeros((n_columns, k))
    log_likelihood, weight_sum = np.zeros(len(edges) - 1), 0.0
    for start in range(0, len(rows), args.tile):
        n = load_tile(rows, start, args, x, z)
        weight_sum += load_weights(row_weights, start, n, z, weights)
        build_features(args.feature_map, args.isotropy_weights, z, phi)
        shared_joint(theta_blocks, step, phi, joint_part, joint)
        for m in range(len(edges) - 1):
            own = joint[edges[m] : edges[m + 1]]
            softmax(own, args.flush, log_prob, total)
            log_likelihood[m] += weigh(own, total, weights, log_prob)
        add_moments(phi, joint, step, resp, part, sums)
    return np.ascontiguousarray(sums.T), log_likelihood, weight_sum


@inlined
def emit(start: int, n: int, joint: Any, log_prob: Any, total: Any, outputs: Any) -> None:
    """Write the results of a tile of n rows from the output of `softmax`."""
    k, labels = joint.shape[0], outputs.labels[start : start + n]
    for b in range(n):
        labels[b] = 0
    for c in range(k - 1, -1, -1):  # the largest is exp(0) = 1; neither a search for it nor a choice would vectorise
        for b in range(n):
            labels[b] += np.int32(joint[c, b] == 1.0) * (np.int32(c) - labels[b])
    if len(outputs.resp):
        for b in range(n):
            for c in range(k):
                outputs.resp[start + b, c] = joint[c, b] / total[b]
    if len(outputs.log_prob):
        for b in range(n):
            outputs.log_prob[start + b] = log_prob[b]


@entry
def predict_shared(rows: Any, args: Any, theta: Any, outputs: Any) -> None:
    """Fill the outputs for rows (n, d), by the shared centre."""
    d, (k, n_columns) = rows.shape[1], theta.shape
    x, phi = np.empty((d, args.tile), rows.dtype), np.ones((n_columns, args.tile), theta.dtype)
    z = phi[1 : 1 + d]
    step = columns_at_once(k, n_columns, args.tile)
    theta_blocks = in_blocks(theta, step)
    joint, part = np.empty((k, args.tile), theta.dtype), np.empty((k, args.tile), theta.dtype)
    log_prob, total = np.empty(args.tile), np.empty(args.tile)
    for start in range(0, len(rows), args.tile):
        n = load_tile(rows, start, args, x, z)
        build_features(args.feature_map, args.isotropy_weights, z, phi)
        shared_joint(theta_blocks, step, phi, part, joint)
        softmax(joint, args.flush, log_prob, total)
        emit(start, n, joint, log_prob, total, outputs)
