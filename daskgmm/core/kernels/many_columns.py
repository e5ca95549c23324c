"""The kernel with a shared centre if phi has many columns: a piece of phi at a time, which stays in a core's cache.

Of 1,024 features a row has half a million products, 4 MB. A tile of them whole leaves room for few rows, so that
Theta and the sums (k, F) are read from memory again for every few rows, and phi itself as well. Here a tile has as
many rows as that of narrow data, and its products are computed twice, piece by piece, once for each of

    L += Theta[:, piece] phi[piece]          T[:, piece] += R phi[piece]^T
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import (
    FULL,
    KernelArgs,
    OutputBuffers,
    add_to,
    emit,
    load_tile,
    load_weights,
    softmax,
    transpose,
    weigh,
)
from .decorators import entry, inlined

MIN_COLUMNS = 12_000  # of full covariances of 154 features: from there on the columns of a tile leave the cache
TILE = 256  # rows
STEP = 128  # products at a time: 256 KiB of float64


def runs_in_many(args: KernelArgs, theta: NDArray[np.floating]) -> bool:
    """Return whether this kernel is the quicker one for theta (k, F)."""
    return bool(args.feature_map == FULL and theta.shape[1] >= MIN_COLUMNS)


@inlined
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


class Scratch(NamedTuple):
    """Theta as its columns lie in memory here, and scratch for a tile."""

    columns: NDArray[Any]  # (F, k)
    x: NDArray[Any]  # (d, tile), of the type of the rows
    phi: NDArray[Any]  # (1 + d, tile), the linear features
    piece: NDArray[Any]  # (STEP, tile)
    joint: NDArray[Any]  # (k, tile)
    of_rows: NDArray[Any]  # (tile, k)
    part_of_rows: NDArray[Any]  # (tile, k)


@inlined
def many_scratch(rows: Any, theta: Any) -> Any:
    """Return scratch for rows (n, d) and theta (k, F)."""
    (k, _), d = theta.shape, rows.shape[1]
    return Scratch(
        np.ascontiguousarray(theta.T),
        np.empty((d, TILE), rows.dtype),
        np.ones((1 + d, TILE), theta.dtype),
        np.empty((STEP, TILE), theta.dtype),
        np.empty((k, TILE), theta.dtype),
        np.empty((TILE, k), theta.dtype),
        np.empty((TILE, k), theta.dtype),
    )


@inlined
def many_joint(scratch: Any) -> None:
    """Fill joint (k, tile) with Theta phi, the rows of the tile being in phi.

    BLAS is quicker with the components next to each other, as few as they may be.
    """
    columns, phi, piece = scratch.columns, scratch.phi, scratch.piece
    n_linear, z = len(phi), phi[1:]
    np.dot(phi.T, columns[:n_linear], scratch.of_rows)
    i, j = 0, 0
    for first in range(n_linear, len(columns), STEP):
        own = columns[first : first + STEP]
        i, j = build_products(z, i, j, piece[: len(own)])
        np.dot(piece[: len(own)].T, own, scratch.part_of_rows)
        add_to(scratch.of_rows, scratch.part_of_rows)
    transpose(scratch.of_rows, scratch.joint)


@inlined
def many_moments(scratch: Any, linear_part: Any, part: Any, sums: Any) -> None:
    """Add phi R^T to sums (F, k), R being joint (k, tile); linear_part (1 + d, k) and part (STEP, k) are scratch."""
    phi, piece, resp = scratch.phi, scratch.piece, scratch.of_rows
    n_linear, z = len(phi), phi[1:]
    transpose(scratch.joint, resp)
    np.dot(phi, resp, linear_part)
    add_to(sums[:n_linear], linear_part)
    i, j = 0, 0
    for first in range(n_linear, len(sums), STEP):
        own = sums[first : first + STEP]
        i, j = build_products(z, i, j, piece[: len(own)])
        np.dot(piece[: len(own)], resp, part[: len(own)])
        add_to(own, part[: len(own)])


@entry
def expect_many(rows: Any, row_weights: Any, args: Any, theta: Any, edges: Any) -> Any:
    """Return T (k, F), the log-likelihoods (m,) and the sum of the weights, as `expect_shared` does."""
    d, (k, n_columns) = rows.shape[1], theta.shape
    scratch = many_scratch(rows, theta)
    z, joint = scratch.phi[1:], scratch.joint
    linear_part, part = np.empty((1 + d, k), theta.dtype), np.empty((STEP, k), theta.dtype)
    weights, log_prob, total = np.empty(TILE), np.empty(TILE), np.empty(TILE)
    sums = np.zeros((n_columns, k))
    log_likelihood, weight_sum = np.zeros(len(edges) - 1), 0.0
    for start in range(0, len(rows), TILE):
        n = load_tile(rows, start, args, scratch.x, z)
        weight_sum += load_weights(row_weights, start, n, z, weights)
        many_joint(scratch)
        for m in range(len(edges) - 1):
            own = joint[edges[m] : edges[m + 1]]
            softmax(own, args.flush, log_prob, total)
            log_likelihood[m] += weigh(own, total, weights, log_prob)
        many_moments(scratch, linear_part, part, sums)
    return np.ascontiguousarray(sums.T), log_likelihood, weight_sum


@entry
def predict_many(rows: Any, args: Any, theta: Any, outputs: OutputBuffers) -> None:
    """Fill the outputs for rows (n, d), as `predict_shared` does."""
    scratch = many_scratch(rows, theta)
    log_prob, total = np.empty(TILE), np.empty(TILE)
    for start in range(0, len(rows), TILE):
        n = load_tile(rows, start, args, scratch.x, scratch.phi[1:])
        many_joint(scratch)
        softmax(scratch.joint, args.flush, log_prob, total)
        emit(start, n, scratch.joint, log_prob, total, outputs)
