"""The kernel with a shared centre where phi has few columns: products without BLAS, four columns at a time.

A call of BLAS for each tile takes longer than its few products, and so does a transposition. Here a strip of a tile
goes through the four columns in registers:

    L[c, b] += t_0 phi[f, b] + t_1 phi[f + 1, b] + t_2 phi[f + 2, b] + t_3 phi[f + 3, b]
    T[c, f .. f + 3] += sum_b R[c, b] phi[f .. f + 3, b]
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import _compiled, build_features, load_tile, load_weights, softmax, weigh

MOST_COLUMNS = 15  # of phi, with 4 features and their squares and products


def runs_in_few(theta: NDArray[np.floating]) -> bool:
    """Return whether this kernel is the quicker one for theta (k, F): in float32 BLAS takes twice as many at a time."""
    return theta.shape[1] <= MOST_COLUMNS and theta.dtype == np.float64


@_compiled
def few_joint(theta: Any, phi: Any, joint: Any) -> None:
    """Fill joint (k, tile) with Theta phi; the columns of theta (k, F) and rows of phi are filled up to 4 m with 0."""
    (k, n_columns), tile = theta.shape, phi.shape[1]
    for c in range(k):
        for b in range(tile):
            joint[c, b] = 0.0
        for f in range(0, n_columns, 4):
            one, two, three, four = theta[c, f], theta[c, f + 1], theta[c, f + 2], theta[c, f + 3]
            for b in range(tile):
                joint[c, b] += (one * phi[f, b] + two * phi[f + 1, b]) + (three * phi[f + 2, b] + four * phi[f + 3, b])


@_compiled
def few_moments(phi: Any, joint: Any, sums: Any) -> None:
    """Add R phi^T to sums (k, F), R being joint (k, tile)."""
    (k, n_columns), tile = sums.shape, phi.shape[1]
    for c in range(k):
        for f in range(0, n_columns, 4):
            one, two, three, four = 0.0, 0.0, 0.0, 0.0
            for b in range(tile):
                one += joint[c, b] * phi[f, b]
                two += joint[c, b] * phi[f + 1, b]
                three += joint[c, b] * phi[f + 2, b]
                four += joint[c, b] * phi[f + 3, b]
            sums[c, f] += one
            sums[c, f + 1] += two
            sums[c, f + 2] += three
            sums[c, f + 3] += four


@_compiled
def copy_columns(source: Any, target: Any) -> None:
    """Copy source (k, F) into the first columns of target; an assignment of a slice takes five seconds to compile."""
    for c in range(source.shape[0]):
        for f in range(source.shape[1]):
            target[c, f] = source[c, f]


@_compiled
def expect_few(rows: Any, row_weights: Any, setting: Any, theta: Any, edges: Any) -> Any:
    """Return what `expect_shared` returns: T (k, F), the log-likelihoods (m,) and the sum of the weights."""
    d, (k, n_columns) = rows.shape[1], theta.shape
    width = (n_columns + 3) // 4 * 4
    filled = np.zeros((k, width), theta.dtype)
    copy_columns(theta, filled)
    x, phi = np.empty((d, setting.tile), rows.dtype), np.zeros((width, setting.tile), theta.dtype)
    phi[0] = 1.0
    z, features = phi[1 : 1 + d], phi[:n_columns]
    joint = np.empty((k, setting.tile), theta.dtype)
    weights, log_prob, total = np.empty(setting.tile), np.empty(setting.tile), np.empty(setting.tile)
    sums = np.zeros((k, width))
    log_likelihood, weight_sum = np.zeros(len(edges) - 1), 0.0
    for start in range(0, len(rows), setting.tile):
        n = load_tile(rows, start, setting, x, z)
        weight_sum += load_weights(row_weights, start, n, z, weights)
        build_features(setting.feature_map, setting.metric, z, features)
        few_joint(filled, phi, joint)
        for m in range(len(edges) - 1):
            own = joint[edges[m] : edges[m + 1]]
            softmax(own, setting.flush, log_prob, total)
            log_likelihood[m] += weigh(own, total, weights, log_prob)
        few_moments(phi, joint, sums)
    return sums[:, :n_columns].copy(), log_likelihood, weight_sum
