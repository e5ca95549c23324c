"""The compiled kernels for many rows that miss the same values, the pattern form, and for diagonal covariances.

Rows of one pattern are an ordinary pass over what they have, o, by the coefficients of the marginal mixture.
With C = P_mm^-1, A = -C P_mo and b = C (P m)_m, the missing values have the means A z_o + b and the covariance C, so
that the sums over all rows of the pattern are those of phi(z_o), s and Q, mapped once:

    first_m = A s + N b        second_mo = A Q + b s^T        second_mm = A Q A^T + A s b^T + b s^T A^T + N (b b^T + C)

Diagonal covariances need no patterns: which values are missing are d more columns of phi.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import _Z_LIMIT as Z_LIMIT
from .compiled import (
    _compiled,
    add_moments,
    add_to,
    build_features,
    columns_at_once,
    in_blocks,
    shared_joint,
    softmax,
    weigh,
)
from .missing_compiled import full_column, invert, observed_of


@_compiled
def load_observed(rows: Any, order: Any, start: int, n: int, setting: Any, z: Any, gaps: Any) -> None:
    """Fill z (d, tile) with the rows order[start : start + n] in the frame, 0 where values are missing or behind them.

    gaps (d, tile) becomes 1 where values are missing, if it has rows.
    """
    d, tile = z.shape
    for b in range(n):
        row = order[start + b]
        for i in range(d):
            value = (rows[row, i] - setting.centre[i]) * setting.inverse_scale[i]
            is_missing = np.isnan(value)
            z[i, b] = 0.0 if is_missing else min(max(value, -Z_LIMIT), Z_LIMIT)
            if len(gaps):
                gaps[i, b] = 1.0 if is_missing else 0.0
    for i in range(d):
        for b in range(n, tile):
            z[i, b] = 0.0
            if len(gaps):
                gaps[i, b] = 0.0


@_compiled
def load_weights_of(row_weights: Any, order: Any, start: int, n: int, weights: Any) -> Any:
    """Fill weights (tile,) with those of the rows order[start : start + n], 0 behind them; return their sum."""
    for b in range(n):
        weights[b] = row_weights[order[start + b]] if len(row_weights) else 1.0
    for b in range(n, len(weights)):
        weights[b] = 0.0
    return weights.sum()


@_compiled
def regress(terms: Any, missing: Any, own: Any, inverse: Any, slopes: Any, offsets: Any) -> None:
    """Fill slopes (m, |own|, k) with A and offsets (m, k) with b."""
    m, k = len(missing), terms.gradients.shape[1]
    for a in range(m):
        offsets[a, :] = 0.0
        for e in range(m):
            for c in range(k):
                offsets[a, c] += inverse[a, e, c] * terms.gradients[missing[e], c]
        for j in range(len(own)):
            slopes[a, j, :] = 0.0
            for e in range(m):
                for c in range(k):
                    slopes[a, j, c] -= inverse[a, e, c] * terms.precisions[missing[e], own[j], c]


@_compiled
def marginal_theta(terms: Any, missing: Any, own: Any, log_det: Any, slopes: Any, offsets: Any, theta: Any) -> None:
    """Add to theta (F, k) what makes of the coefficients of z those of the observed features `own`."""
    d, k = terms.gradients.shape
    for a in range(len(missing)):
        i = missing[a]
        for c in range(k):
            theta[0, c] += terms.constants[i, c] + 0.5 * offsets[a, c] * terms.gradients[i, c]
        for j in range(len(own)):
            for c in range(k):
                theta[1 + own[j], c] += slopes[a, j, c] * terms.gradients[i, c]
            for e in range(j + 1):
                f, factor = full_column(d, own[e], own[j]), 0.5 if e == j else 1.0
                for c in range(k):
                    theta[f, c] -= factor * terms.precisions[own[e], i, c] * slopes[a, j, c]
    for c in range(k):
        theta[0, c] -= 0.5 * log_det[c]


@_compiled
def map_sums(  # noqa: C901 # three blocks, each a loop over components
    missing: Any, own: Any, inverse: Any, slopes: Any, offsets: Any, sums: Any, d: int
) -> None:
    """Fill the sums (F, k) of missing features from those of the observed features `own` of one pattern."""
    m, n_own, k = len(missing), len(own), sums.shape[1]
    cross = np.zeros((n_own, k))
    for a in range(m):
        i = missing[a]
        first = sums[1 + i]
        for c in range(k):
            first[c] = sums[0, c] * offsets[a, c]
        for j in range(n_own):
            for c in range(k):
                first[c] += slopes[a, j, c] * sums[1 + own[j], c]
                cross[j, c] = offsets[a, c] * sums[1 + own[j], c]
            for e in range(n_own):
                f = full_column(d, min(own[e], own[j]), max(own[e], own[j]))
                for c in range(k):
                    cross[j, c] += slopes[a, e, c] * sums[f, c]
        for j in range(n_own):
            f = full_column(d, min(i, own[j]), max(i, own[j]))
            for c in range(k):
                sums[f, c] = cross[j, c]
        for e in range(a + 1):
            f = full_column(d, missing[e], i)
            for c in range(k):
                sums[f, c] = first[c] * offsets[e, c] + sums[0, c] * inverse[a, e, c]
            for j in range(n_own):
                for c in range(k):
                    sums[f, c] += cross[j, c] * slopes[e, j, c]


@_compiled
def expect_patterns(rows: Any, row_weights: Any, order: Any, edges: Any, setting: Any, theta: Any, terms: Any) -> Any:
    """Return T (k, F), the log-likelihood, the expected joint log-density and the weight of rows (n, d) with gaps.

    Run p is the rows order[edges[p] : edges[p + 1]], which miss the same values. Covariances are dense. The expected
    joint log-density is the sum over rows and components of responsibility times log w_k N(x_o | k).
    """
    d, (k, n_columns), tile = rows.shape[1], theta.shape, setting.tile
    step = columns_at_once(k, n_columns, tile)
    whole = np.ascontiguousarray(theta.T).astype(np.float64)
    space, joint_space, part_space = (
        np.empty(n_columns * tile, theta.dtype),
        np.empty(k * tile, theta.dtype),
        np.empty(k * tile, theta.dtype),
    )
    resp, part = np.empty((tile, k), theta.dtype), np.empty((step, k), theta.dtype)
    weights, log_prob, total = np.empty(tile), np.empty(tile), np.empty(tile)
    lower, work, log_det = np.empty((d, d, k)), np.empty(k), np.empty(k)
    no_gaps, observed, missing_space = np.empty((0, tile)), np.empty(d, np.int64), np.empty(d, np.int64)
    sums, own_sums, own_theta = np.zeros((n_columns, k)), np.empty((n_columns, k)), np.empty((n_columns, k))
    log_likelihood, expected, weight_sum = 0.0, 0.0, 0.0
    for run in range(len(edges) - 1):
        m = 0
        for i in range(d):
            if np.isnan(rows[order[edges[run]], i]):
                missing_space[m] = i
                m += 1
        missing, own = missing_space[:m], observed[: observed_of(missing_space[:m], d, observed)]
        inverse, slopes, offsets = np.empty((m, m, k)), np.empty((m, d - m, k)), np.empty((m, k))
        invert(terms.precisions, missing, lower, work, inverse, log_det)
        regress(terms, missing, own, inverse, slopes, offsets)
        own_theta[:] = whole
        marginal_theta(terms, missing, own, log_det, slopes, offsets, own_theta)
        theta_blocks = in_blocks(np.ascontiguousarray(own_theta.T).astype(theta.dtype), step)
        n_run = edges[run + 1] - edges[run]
        n_tiles = (n_run + tile - 1) // tile
        n_tile = ((n_run + n_tiles - 1) // n_tiles + 15) // 16 * 16
        phi = space[: n_columns * n_tile].reshape(n_columns, n_tile)
        joint = joint_space[: k * n_tile].reshape(k, n_tile)
        joint_part = part_space[: k * n_tile].reshape(k, n_tile)
        phi[0, :] = 1.0
        own_sums[:] = 0.0
        for start in range(edges[run], edges[run + 1], n_tile):
            n = min(n_tile, edges[run + 1] - start)
            load_observed(rows, order, start, n, setting, phi[1 : 1 + d], no_gaps)
            weight_sum += load_weights_of(row_weights, order, start, n, weights[:n_tile])
            build_features(setting.feature_map, setting.metric, phi[1 : 1 + d], phi)
            shared_joint(theta_blocks, step, phi, joint_part, joint)
            softmax(joint, setting.flush, log_prob[:n_tile], total[:n_tile])
            log_likelihood += weigh(joint, total[:n_tile], weights[:n_tile], log_prob[:n_tile])
            add_moments(phi, joint, step, resp[:n_tile], part, own_sums)
        for f in range(n_columns):
            for c in range(k):
                expected += own_theta[f, c] * own_sums[f, c]
        map_sums(missing, own, inverse, slopes, offsets, own_sums, d)
        add_to(sums, own_sums)
    return np.ascontiguousarray(sums.T), log_likelihood, expected, weight_sum


@_compiled
def expect_diagonal(rows: Any, row_weights: Any, order: Any, setting: Any, theta: Any) -> Any:
    """Return the sums (k, F + d), the log-likelihood and the weight of the rows `order`, covariances being diagonal.

    The last d columns of phi, and of theta, are of the missing values: 1 where they are.
    """
    d, (k, n_columns), tile = rows.shape[1], theta.shape, setting.tile
    step = columns_at_once(k, n_columns, tile)
    theta_blocks = in_blocks(theta, step)
    phi = np.ones((n_columns, tile), theta.dtype)
    z, gaps = phi[1 : 1 + d], phi[n_columns - d :]
    joint, joint_part = np.empty((k, tile), theta.dtype), np.empty((k, tile), theta.dtype)
    resp, part = np.empty((tile, k), theta.dtype), np.empty((step, k), theta.dtype)
    weights, log_prob, total = np.empty(tile), np.empty(tile), np.empty(tile)
    sums, log_likelihood, weight_sum = np.zeros((n_columns, k)), 0.0, 0.0
    for start in range(0, len(order), tile):
        n = min(tile, len(order) - start)
        load_observed(rows, order, start, n, setting, z, gaps)
        weight_sum += load_weights_of(row_weights, order, start, n, weights)
        build_features(setting.feature_map, setting.metric, z, phi[: n_columns - d])
        shared_joint(theta_blocks, step, phi, joint_part, joint)
        softmax(joint, setting.flush, log_prob, total)
        log_likelihood += weigh(joint, total, weights, log_prob)
        add_moments(phi, joint, step, resp, part, sums)
    return np.ascontiguousarray(sums.T), log_likelihood, weight_sum
