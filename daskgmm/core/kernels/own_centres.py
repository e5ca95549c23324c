"""The compiled kernels of components with their own centres: moments about each mean, from whitened differences.

With D = Z - m_k for each component k, Z being a tile in the frame's coordinates, one pass over it is

    L_k = constant_k - |W_k D|^2 / 2
    R   = softmax over components of L, times the row weights
    T_k += R_k phi(D)

These are as many small products as there are components, and twice the arithmetic of a shared centre; they keep their
precision however far the components are from the frame's centre and however narrow they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import DIAGONAL, FULL, SPHERICAL, add_to, emit, load_tile, load_weights, softmax, weigh
from .decorators import entry, inlined


class Centred(NamedTuple):
    """A mixture for the kernels with own centres."""

    constants: NDArray[Any]  # (k,), log w_k - log det(2 pi Sigma_k) / 2
    means: NDArray[Any]  # (k, d)
    whitening: NDArray[Any]  # (k, d, d), or (k, 1, d) for diagonal covariances: reciprocal standard deviations


@inlined
def subtract(z: Any, mean: Any, difference: Any) -> None:
    """Fill difference (d, tile) with z - mean."""
    for i in range(z.shape[0]):
        for b in range(z.shape[1]):
            difference[i, b] = z[i, b] - mean[i]


@inlined
def centred_joint(z: Any, mixture: Any, difference: Any, white: Any, joint: Any) -> None:
    """Fill joint (k, tile) with constant_k - |W_k (z - m_k)|^2 / 2; `difference` and `white` (d, tile) are scratch."""
    for c in range(len(mixture.constants)):
        subtract(z, mixture.means[c], difference)
        joint_of(mixture, c, difference, white, joint[c])


@inlined
def joint_of(mixture: Any, c: int, difference: Any, white: Any, joint: Any) -> None:
    """Fill joint (tile,) with constant_c - |W_c d|^2 / 2, d being difference (d, tile); `white` is scratch."""
    d, tile = difference.shape
    if mixture.whitening.shape[1] == d:
        np.dot(mixture.whitening[c], difference, white)
    else:
        for i in range(d):
            for b in range(tile):
                white[i, b] = mixture.whitening[c, 0, i] * difference[i, b]
    joint[:] = mixture.constants[c]
    for i in range(d):
        for b in range(tile):
            joint[b] -= 0.5 * white[i, b] * white[i, b]


@inlined
def centred_part(args: Any, difference: Any, resp: Any, white: Any, outer: Any, part: Any) -> None:
    """Fill part (F,) with sum_n resp_n phi(difference_n) of one component; white and outer are scratch."""
    d, tile = difference.shape
    part[:] = 0.0
    for b in range(tile):
        part[0] += resp[b]
    for i in range(d):
        first, second = 0.0, 0.0
        for b in range(tile):
            white[i, b] = resp[b] * difference[i, b]
            first += white[i, b]
            second += white[i, b] * difference[i, b]
        part[1 + i] = first
        if args.feature_map == DIAGONAL:
            part[1 + d + i] = second
        elif args.feature_map == SPHERICAL:
            part[1 + d] += args.isotropy_weights[i] * second
    if args.feature_map == FULL:
        np.dot(white, difference.T, outer)
        f = 1 + d
        for i in range(d):
            for j in range(i, d):
                part[f] = outer[i, j]
                f += 1


@entry
def expect_centred(rows: Any, row_weights: Any, args: Any, mixture: Any, n_columns: int) -> Any:
    """Return the results of `expect_shared`, with T_k = sum_n r_nk phi(z_n - m_k): moments about own means."""
    d, k = rows.shape[1], len(mixture.constants)
    x, z = np.empty((d, args.tile), rows.dtype), np.empty((d, args.tile), mixture.means.dtype)
    difference, white, outer = np.empty_like(z), np.empty_like(z), np.empty((d, d), mixture.means.dtype)
    joint = np.empty((k, args.tile), mixture.means.dtype)
    part = np.empty((k, n_columns))
    weights, log_prob, total = np.empty(args.tile), np.empty(args.tile), np.empty(args.tile)
    sums = np.zeros((k, n_columns))
    log_likelihood, weight_sum = 0.0, 0.0
    for start in range(0, len(rows), args.tile):
        n = load_tile(rows, start, args, x, z)
        weight_sum += load_weights(row_weights, start, n, z, weights)
        centred_joint(z, mixture, difference, white, joint)
        softmax(joint, args.flush, log_prob, total)
        log_likelihood += weigh(joint, total, weights, log_prob)
        for c in range(k):
            subtract(z, mixture.means[c], difference)
            centred_part(args, difference, joint[c], white, outer, part[c])
        add_to(sums, part)
    return sums, log_likelihood, weight_sum


@entry
def predict_centred(rows: Any, args: Any, mixture: Any, outputs: Any) -> None:
    """Fill the outputs for rows (n, d), from the distances to each component's own centre."""
    d, k = rows.shape[1], len(mixture.constants)
    x, z = np.empty((d, args.tile), rows.dtype), np.empty((d, args.tile), mixture.means.dtype)
    difference, white = np.empty_like(z), np.empty_like(z)
    joint = np.empty((k, args.tile), mixture.means.dtype)
    log_prob, total = np.empty(args.tile), np.empty(args.tile)
    for start in range(0, len(rows), args.tile):
        n = load_tile(rows, start, args, x, z)
        centred_joint(z, mixture, difference, white, joint)
        softmax(joint, args.flush, log_prob, total)
        emit(start, n, joint, log_prob, total, outputs)
