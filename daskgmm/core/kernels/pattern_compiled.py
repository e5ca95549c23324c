"""The compiled kernels for many rows that miss the same values, the pattern form, and for diagonal covariances.

Rows of one pattern are an ordinary pass over what they have, o, by the coefficients of the marginal mixture.
With C = P_mm^-1, A = -C P_mo and b = C (P m)_m, the missing values have the means A z_o + b and the covariance C, so
that the sums over all rows of the pattern are those of phi(z_o), s and Q, mapped once:

    first_m = A s + N b        second_mo = A Q + b s^T        second_mm = A Q A^T + A s b^T + b s^T A^T + N (b b^T + C)

Diagonal covariances need no patterns: which values are missing are d more columns of phi.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import (
    STRIP,
    Z_LIMIT,
    KernelArgs,
    add_moments,
    aligned,
    build_features,
    columns_at_once,
    in_blocks,
    shared_joint,
    softmax,
    weigh,
)
from .decorators import entry, inlined
from .few_columns import MAX_COLUMNS, STEP, few_height, few_joint, few_moments, few_width, runs_in_few
from .missing_compiled import MissingTerms, observed_of
from .pattern_regression import add_missing_sums, columns_of, marginal_theta, regress


@inlined
def load_observed(rows: Any, order: Any, start: int, n: int, args: Any, z: Any, gaps: Any) -> None:
    """Fill z (d, tile) with the rows order[start : start + n] in the frame, 0 where values are missing or behind them.

    gaps (d, tile) becomes 1 where values are missing.
    """
    d, tile = z.shape
    for b in range(n):
        row = order[start + b]
        for i in range(d):
            value = (rows[row, i] - args.centre[i]) * args.inverse_scale[i]
            is_missing = np.isnan(value)
            z[i, b] = 0.0 if is_missing else min(max(value, -Z_LIMIT), Z_LIMIT)
            gaps[i, b] = 1.0 if is_missing else 0.0
    for i in range(d):
        for b in range(n, tile):
            z[i, b] = 0.0
            gaps[i, b] = 0.0


@inlined
def load_weights_of(row_weights: Any, order: Any, start: int, n: int, weights: Any) -> Any:
    """Fill weights (tile,) with those of the rows order[start : start + n], 0 behind them; return their sum."""
    for b in range(n):
        weights[b] = row_weights[order[start + b]] if len(row_weights) else 1.0
    for b in range(n, len(weights)):
        weights[b] = 0.0
    return weights.sum()


@inlined
def load_features(own: Any, start: int, n: int, args: Any, x: Any, z: Any) -> None:
    """Fill z (|o|, tile) with the observed features of n rows of a pattern from `start` on, zeros behind the last.

    x (|o|, tile), of the type of the rows, is scratch.
    """
    rows, order, tile = own.rows, own.order, z.shape[1]
    whole = n - n % STRIP
    for first in range(0, whole, STRIP):
        for j in range(len(own.features)):
            i = own.features[j]
            for b in range(STRIP):
                x[j, first + b] = rows[order[start + first + b], i]
    for j in range(len(own.features)):
        i = own.features[j]
        centre, inverse_scale = args.centre[i], args.inverse_scale[i]
        for b in range(whole, n):
            x[j, b] = rows[order[start + b], i]
        for b in range(n):
            z[j, b] = min(max((x[j, b] - centre) * inverse_scale, -Z_LIMIT), Z_LIMIT)
        for b in range(n, tile):
            z[j, b] = 0.0


@inlined
def fill_blocks(theta: Any, step: int, blocks: Any) -> None:
    """Fill blocks (k F,) as `in_blocks` does, from theta (F, k)."""
    n_columns, k = theta.shape
    for first in range(0, n_columns, step):
        width = min(step, n_columns - first)
        whole = width - width % STRIP
        for strip in range(first, first + whole, STRIP):
            for c in range(k):
                at = k * first + c * width + strip - first
                for f in range(STRIP):
                    blocks[at + f] = theta[strip + f, c]
        for f in range(first + whole, first + width):
            for c in range(k):
                blocks[k * first + c * width + f - first] = theta[f, c]


@inlined
def missing_of(row: Any, missing: Any) -> Any:
    """Fill `missing` (d,) with the features that a row (d,) misses; return how many there are."""
    m = 0
    for i in range(len(row)):
        if np.isnan(row[i]):
            missing[m] = i
            m += 1
    return m


class PatternRows(NamedTuple):
    """Rows that miss the same values."""

    rows: NDArray[Any]  # (n, d), all of the block
    row_weights: NDArray[Any]  # (n,), or none
    order: NDArray[np.int64]  # which of them are of the pattern
    features: NDArray[np.int64]  # that are observed


class Runs(NamedTuple):
    """Rows of a block, sorted into runs that miss the same values: run p is order[edges[p] : edges[p + 1]]."""

    rows: NDArray[Any]  # (n, d), all of the block
    row_weights: NDArray[Any]  # (n,), or none
    order: NDArray[np.int64]
    edges: NDArray[np.int64]


class Scratch(NamedTuple):
    """Scratch for the tiles of a pattern; flat, since patterns differ in their columns and tiles."""

    x: NDArray[Any]  # (d, tile), of the type of the rows
    phi: NDArray[Any]
    joint: NDArray[Any]
    joint_part: NDArray[Any]
    theta: NDArray[Any]
    part: NDArray[Any]
    resp: NDArray[Any]  # (tile, k)
    of_rows: NDArray[np.float64]  # (3, tile): weights, log-densities, sums


def _make_scratch(rows: NDArray[Any], theta: NDArray[Any], tile: int) -> Scratch:
    """Return scratch for coefficients like theta (k, F), on boundaries of cache lines."""
    (k, n_columns), d, dtype = theta.shape, rows.shape[1], theta.dtype
    width = n_columns + STEP
    return Scratch(
        aligned(d, tile, rows.dtype),
        aligned(1, width * tile, dtype)[0],
        aligned(1, (k + 1) * tile, dtype)[0],
        aligned(1, k * tile, dtype)[0],
        aligned(1, (k + 1) * width, dtype)[0],
        aligned(1, k * n_columns, dtype)[0],
        aligned(tile, k, dtype),
        aligned(3, tile, np.float64),
    )


@inlined
def expect_pattern(own: Any, args: Any, n_tile: int, scratch: Any, theta: Any, sums: Any) -> Any:
    """Add to sums (F, k) those of phi of the observed features of a pattern; return log-likelihood and weight."""
    (n_columns, k), n_own = theta.shape, len(own.features)
    step = columns_at_once(k, n_columns, n_tile)
    blocks, part = scratch.theta[: k * n_columns], scratch.part[: k * step].reshape(step, k)
    fill_blocks(theta, step, blocks)
    phi = scratch.phi[: n_columns * n_tile].reshape(n_columns, n_tile)
    joint = scratch.joint[: k * n_tile].reshape(k, n_tile)
    joint_part = scratch.joint_part[: k * n_tile].reshape(k, n_tile)
    weights, log_prob, total = scratch.of_rows[0, :n_tile], scratch.of_rows[1, :n_tile], scratch.of_rows[2, :n_tile]
    phi[0, :] = 1.0
    log_likelihood, weight_sum = 0.0, 0.0
    for start in range(0, len(own.order), n_tile):
        n = min(n_tile, len(own.order) - start)
        load_features(own, start, n, args, scratch.x, phi[1 : 1 + n_own])
        weight_sum += load_weights_of(own.row_weights, own.order, start, n, weights)
        build_features(args.feature_map, args.isotropy_weights, phi[1 : 1 + n_own], phi)
        shared_joint(blocks, step, phi, joint_part, joint)
        softmax(joint, args.flush, log_prob, total)
        log_likelihood += weigh(joint, total, weights, log_prob)
        add_moments(phi, joint, step, scratch.resp[:n_tile], part, sums)
    return log_likelihood, weight_sum


@inlined
def expect_pattern_few(own: Any, args: Any, n_tile: int, scratch: Any, theta: Any, sums: Any) -> Any:
    """Add to sums, and return log-likelihood and weight, as `expect_pattern` does, by the kernel for few columns."""
    (n_columns, k), n_own = theta.shape, len(own.features)
    width, height = few_width(n_columns), few_height(k)
    few_theta = scratch.theta[: height * width].reshape(height, width)
    phi = scratch.phi[: width * n_tile].reshape(width, n_tile)
    joint = scratch.joint[: height * n_tile].reshape(height, n_tile)
    weights, log_prob, total = scratch.of_rows[0, :n_tile], scratch.of_rows[1, :n_tile], scratch.of_rows[2, :n_tile]
    few_sums = np.zeros((height, width))
    few_theta[:], joint[:], phi[0] = 0.0, 0.0, 1.0
    phi[n_columns:] = 0.0
    for f in range(n_columns):
        for c in range(k):
            few_theta[c, f] = theta[f, c]
    log_likelihood, weight_sum = 0.0, 0.0
    for start in range(0, len(own.order), n_tile):
        n = min(n_tile, len(own.order) - start)
        load_features(own, start, n, args, scratch.x, phi[1 : 1 + n_own])
        weight_sum += load_weights_of(own.row_weights, own.order, start, n, weights)
        build_features(args.feature_map, args.isotropy_weights, phi[1 : 1 + n_own], phi[:n_columns])
        few_joint(few_theta, phi, joint)
        softmax(joint[:k], args.flush, log_prob, total)
        log_likelihood += weigh(joint[:k], total, weights, log_prob)
        few_moments(phi, joint, few_sums)
    for f in range(n_columns):
        for c in range(k):
            sums[f, c] += few_sums[c, f]
    return log_likelihood, weight_sum


def expect_patterns(
    rows: NDArray[Any],
    row_weights: NDArray[Any],
    order: NDArray[np.int64],
    edges: NDArray[np.int64],
    args: KernelArgs,
    theta: NDArray[Any],
    terms: MissingTerms | None,
) -> tuple[NDArray[np.float64], float, float, float]:
    """Return T (k, F), the log-likelihood, the expected joint log-density and the weight of rows (n, d) with gaps.

    Run p is the rows order[edges[p] : edges[p + 1]], which miss the same values. Covariances are dense. The expected
    joint log-density is the sum over rows and components of responsibility times log w_k N(x_o | k).
    """
    runs, scratch = Runs(rows, row_weights, order, edges), _make_scratch(rows, theta, args.tile)
    many = None if runs_in_few(theta) else True
    found: tuple[NDArray[np.float64], float, float, float] = _pass_patterns(runs, args, theta, terms, scratch, many)
    return found


@entry
def _pass_patterns(runs: Any, args: Any, theta: Any, terms: Any, scratch: Any, many: Any) -> Any:
    """Return the results of `expect_patterns`: sums, log-likelihood, expected joint log-density and weight.

    `many` is None if no pattern has many columns of phi: what these take is left out then, and is not compiled.
    """
    rows, order, edges = runs.rows, runs.order, runs.edges
    d, (k, n_all), tile = rows.shape[1], theta.shape, args.tile
    whole = np.ascontiguousarray(theta.T).astype(np.float64)
    columns, observed, missing_space = np.empty(n_all, np.int64), np.empty(d, np.int64), np.empty(d, np.int64)
    sums, sums_space, theta_space = np.zeros((n_all, k)), np.empty((n_all, k)), np.empty((n_all, k))
    log_likelihood, expected, weight_sum = 0.0, 0.0, 0.0
    for run in range(len(edges) - 1):
        missing = missing_space[: missing_of(rows[order[edges[run]]], missing_space)]
        own = observed[: observed_of(missing, d, observed)]
        n_columns = columns_of(d, own, columns)
        regression = regress(terms, missing, own)
        own_theta, own_sums = theta_space[:n_columns], sums_space[:n_columns]
        own_sums[:] = 0.0
        marginal_theta(whole, columns, terms, missing, regression, own_theta)
        own_rows = PatternRows(rows, runs.row_weights, order[edges[run] : edges[run + 1]], own)
        n_own = len(own_rows.order)
        n_tiles = (n_own + tile - 1) // tile
        n_tile = ((n_own + n_tiles - 1) // n_tiles + 15) // 16 * 16
        if many is None or n_columns <= MAX_COLUMNS:
            found = expect_pattern_few(own_rows, args, n_tile, scratch, own_theta, own_sums)
        else:
            found = expect_pattern(own_rows, args, n_tile, scratch, own_theta, own_sums)
        log_likelihood += found[0]
        weight_sum += found[1]
        for f in range(n_columns):
            for c in range(k):
                expected += own_theta[f, c] * own_sums[f, c]
                sums[columns[f], c] += own_sums[f, c]
        add_missing_sums(missing, own, regression, own_sums, sums, d)
    return np.ascontiguousarray(sums.T), log_likelihood, expected, weight_sum


@entry
def expect_diagonal(rows: Any, row_weights: Any, order: Any, args: Any, theta: Any) -> Any:
    """Return the sums (k, F + d), the log-likelihood and the weight of the rows `order`, covariances being diagonal.

    The last d columns of phi, and of theta, are of the missing values: 1 where they are.
    """
    d, (k, n_columns), tile = rows.shape[1], theta.shape, args.tile
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
        load_observed(rows, order, start, n, args, z, gaps)
        weight_sum += load_weights_of(row_weights, order, start, n, weights)
        build_features(args.feature_map, args.isotropy_weights, z, phi[: n_columns - d])
        shared_joint(theta_blocks, step, phi, joint_part, joint)
        softmax(joint, args.flush, log_prob, total)
        log_likelihood += weigh(joint, total, weights, log_prob)
        add_moments(phi, joint, step, resp, part, sums)
    return np.ascontiguousarray(sums.T), log_likelihood, weight_sum
