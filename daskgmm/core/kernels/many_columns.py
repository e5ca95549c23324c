"""The kernel with a shared centre if phi has many columns: a piece of phi at a time, which stays in a core's cache.

Of 1,024 features a row has half a million products, 4 MB. A tile of them whole leaves room for few rows, so that
Theta and the sums (k, F) are read from memory again for every few rows, and phi itself as well. Here a tile has as
many rows as that of narrow data, and its products are computed twice, piece by piece, once for each of

    L += Theta[:, piece] phi[piece]          T[:, piece] += R phi[piece]^T
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import (
    FULL,
    Outputs,
    Setting,
    _compiled,
    add_to,
    emit,
    load_tile,
    load_weights,
    softmax,
    weigh,
)

FEWEST_COLUMNS = 12_000  # of full covariances of 154 features: from there on the columns of a tile leave the cache
TILE = 256  # rows
STEP = 128  # products at a time: 256 KiB of float64


def runs_in_many(setting: Setting, theta: NDArray[np.floating]) -> bool:
    """Return whether this kernel is the quicker one for theta (k, F)."""
    return bool(setting.feature_map == FULL and theta.shape[1] >= FEWEST_COLUMNS)


@_compiled
def build_products(z: Any, i: int, j: int, piece: Any) -> Any:
    """Fill piece (step, tile) with the products of z (d, tile) from z_i z_j on; return which i and j are next."""
    d, tile = z.shape
    for f in range(len(piece)):
        for b in range(tile):
            piece[f, b] = z[i, b] * z[j, b]
        j += 1
        if j == d:
            i += 1
            j = i
    return i, j


@_compiled
def many_joint(theta: Any, phi: Any, piece: Any, part: Any, sums: Any, joint: Any) -> None:
    """Fill joint (k, tile) with Theta phi, Theta as (F, k) and phi (1 + d, tile) being the linear features.

    piece (STEP, tile), part (tile, k) and sums (tile, k) are scratch. BLAS is quicker with the components next to each
    other, as few as they may be.
    """
    n_linear, z = len(phi), phi[1:]
    np.dot(phi.T, theta[:n_linear], sums)
    i, j = 0, 0
    for first in range(n_linear, len(theta), STEP):
        own = theta[first : first + STEP]
        i, j = build_products(z, i, j, piece[: len(own)])
        np.dot(piece[: len(own)].T, own, part)
        add_to(sums, part)
    transpose(sums, joint)


@_compiled
def transpose(source: Any, target: Any) -> None:
    """Copy source (m, n) to target (n, m)."""
    for i in range(target.shape[0]):
        for j in range(target.shape[1]):
            target[i, j] = source[j, i]


@_compiled
def many_moments(phi: Any, resp: Any, piece: Any, linear_part: Any, part: Any, sums: Any) -> None:
    """Add phi R to sums (F, k), R being resp (tile, k); piece, linear_part (1 + d, k), part (STEP, k) are scratch."""
    n_linear, z = len(phi), phi[1:]
    np.dot(phi, resp, linear_part)
    add_to(sums[:n_linear], linear_part)
    i, j = 0, 0
    for first in range(n_linear, len(sums), STEP):
        own = sums[first : first + STEP]
        i, j = build_products(z, i, j, piece[: len(own)])
        np.dot(piece[: len(own)], resp, part[: len(own)])
        add_to(own, part[: len(own)])


@_compiled
def expect_many(rows: Any, row_weights: Any, setting: Any, theta: Any, edges: Any) -> Any:
    """Return what `expect_shared` returns: T (k, F), the log-likelihoods (m,) and the sum of the weights."""
    d, (k, n_columns), tile = rows.shape[1], theta.shape, TILE
    columns = np.ascontiguousarray(theta.T)
    x, phi, piece = (
        np.empty((d, tile), rows.dtype),
        np.ones((1 + d, tile), theta.dtype),
        np.empty((STEP, tile), theta.dtype),
    )
    joint, of_rows, of_rows_part = (
        np.empty((k, tile), theta.dtype),
        np.empty((tile, k), theta.dtype),
        np.empty((tile, k), theta.dtype),
    )
    linear_part, part = np.empty((1 + d, k), theta.dtype), np.empty((STEP, k), theta.dtype)
    weights, log_prob, total = np.empty(tile), np.empty(tile), np.empty(tile)
    sums = np.zeros((n_columns, k))
    log_likelihood, weight_sum = np.zeros(len(edges) - 1), 0.0
    for start in range(0, len(rows), tile):
        n = load_tile(rows, start, setting, x, phi[1:])
        weight_sum += load_weights(row_weights, start, n, phi[1:], weights)
        many_joint(columns, phi, piece, of_rows_part, of_rows, joint)
        for m in range(len(edges) - 1):
            own = joint[edges[m] : edges[m + 1]]
            softmax(own, setting.flush, log_prob, total)
            log_likelihood[m] += weigh(own, total, weights, log_prob)
        transpose(joint, of_rows)
        many_moments(phi, of_rows, piece, linear_part, part, sums)
    return np.ascontiguousarray(sums.T), log_likelihood, weight_sum


@_compiled
def predict_many(rows: Any, setting: Any, theta: Any, outputs: Outputs) -> None:
    """Fill the outputs for rows (n, d), as `predict_shared` does."""
    d, k, tile = rows.shape[1], len(theta), TILE
    columns = np.ascontiguousarray(theta.T)
    x, phi, piece = (
        np.empty((d, tile), rows.dtype),
        np.ones((1 + d, tile), theta.dtype),
        np.empty((STEP, tile), theta.dtype),
    )
    joint, of_rows, part = (
        np.empty((k, tile), theta.dtype),
        np.empty((tile, k), theta.dtype),
        np.empty((tile, k), theta.dtype),
    )
    log_prob, total = np.empty(tile), np.empty(tile)
    for start in range(0, len(rows), tile):
        n = load_tile(rows, start, setting, x, phi[1:])
        many_joint(columns, phi, piece, part, of_rows, joint)
        softmax(joint, setting.flush, log_prob, total)
        emit(start, n, joint, log_prob, total, outputs)
