"""The E-step of rows with missing values by the fill form: the sums of rows filled with conditional means."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import (
    DIAGONAL,
    FULL,
    add_moments,
    add_to,
    build_features,
    columns_at_once,
    in_blocks,
    load_tile,
    load_weights,
    shared_joint,
    softmax,
    weigh,
)
from .decorators import entry, inlined
from .missing_compiled import (
    centred_gradients,
    fill_tile,
    full_column,
    gap_scratch,
    observed_of,
    scan_gaps,
    shared_gradients,
)
from .own_centres import centred_part, joint_of


@inlined
def fill_sums(  # noqa: C901 # three maps
    args: Any, z: Any, n: int, terms: Any, gaps: Any, joint: Any, sums: Any
) -> None:
    """Add to sums (F, k) what missing values have in them, of responsibilities joint (k, tile)."""
    d, k = z.shape[0], terms.gradients.shape[1]
    resp, part = np.empty(k), np.empty(k)
    for b in range(n):
        missing, y = gaps.features[gaps.first[b] : gaps.first[b + 1]], gaps.y[gaps.first[b] : gaps.first[b + 1]]
        inverse = gaps.inverses[gaps.first_pair[b] : gaps.first_pair[b + 1]]
        places = gaps.places[gaps.first[b] : gaps.first[b + 1]]
        for c in range(k):
            resp[c] = joint[c, b]
        for a in range(len(missing)):
            i = missing[a]
            for c in range(k):
                part[c] = resp[c] * y[a, c]
                sums[1 + i, c] += part[c]
                gaps.by_feature[places[a], c] = part[c]
            if args.feature_map == FULL:
                for e in range(a + 1):
                    f, pair = full_column(d, missing[e], i), a * (a + 1) // 2 + e
                    for c in range(k):
                        sums[f, c] += part[c] * y[e, c] + resp[c] * inverse[pair, c]
            else:
                f, factor, pair = 1 + d, args.isotropy_weights[i], a * (a + 1) // 2 + a
                if args.feature_map == DIAGONAL:
                    f, factor = 1 + d + i, 1.0
                for c in range(k):
                    sums[f, c] += factor * (part[c] * y[a, c] + resp[c] * inverse[pair, c])
    if args.feature_map == FULL:
        if len(terms.origins):
            add_centred_products(z, n, terms, gaps, sums)
        else:
            add_shared_products(terms, gaps, sums)


@inlined
def add_shared_products(terms: Any, gaps: Any, sums: Any) -> None:
    """Add to sums (F, k) of the full map the products of missing and observed values, feature by feature."""
    d, k = len(gaps.edges) - 1, terms.gradients.shape[1]
    products = np.empty((d, k))
    for i in range(d):
        first, after = gaps.edges[i], gaps.edges[i + 1]
        if after == first:
            continue
        np.dot(gaps.known[first:after].T, gaps.by_feature[first:after], products)
        for j in range(d):
            f = full_column(d, min(i, j), max(i, j))
            for c in range(k):
                sums[f, c] += products[j, c]


@inlined
def add_centred_products(z: Any, n: int, terms: Any, gaps: Any, sums: Any) -> None:
    """Add to sums (F, k) of the full map the products of missing values and observed ones about the own centres."""
    d, k = z.shape[0], terms.gradients.shape[1]
    own = np.empty(d, np.int64)
    for b in range(n):
        missing, places = (
            gaps.features[gaps.first[b] : gaps.first[b + 1]],
            gaps.places[gaps.first[b] : gaps.first[b + 1]],
        )
        observed = own[: observed_of(missing, d, own)]
        for a in range(len(missing)):
            part = gaps.by_feature[places[a]]
            for j in observed:
                f = full_column(d, min(missing[a], j), max(missing[a], j))
                for c in range(k):
                    sums[f, c] += part[c] * (z[j, b] - terms.origins[j, c])


@inlined
def add_correction(joint: Any, correction: Any, n: int) -> None:
    """Add the correction to the joint log-densities (k, tile) of n rows."""
    for c in range(joint.shape[0]):
        for b in range(n):
            joint[c, b] += correction[c, b]


@inlined
def copy_joint(joint: Any, copy: Any) -> None:
    """Copy joint log-densities (k, tile); as whole arrays the message for other shapes takes two seconds to compile."""
    for c in range(joint.shape[0]):
        for b in range(joint.shape[1]):
            copy[c, b] = joint[c, b]


@inlined
def expected_correction(joint: Any, correction: Any, n: int) -> Any:
    """Return the sum of the correction times responsibilities (k, tile) of n rows."""
    total = 0.0
    for c in range(joint.shape[0]):
        for b in range(n):
            total += joint[c, b] * correction[c, b]
    return total


@entry
def expect_shared_missing(rows: Any, row_weights: Any, args: Any, theta: Any, terms: Any) -> Any:
    """Return the sums (k, F) of z0 and of what is missing, the log-likelihood, its correction and the weight.

    Rows (n, d) that miss as many values should follow each other. The correction is sum_n sum_k r_nk of what it adds to
    the joint log-densities, which are linear in the sums of z0 but for that.
    """
    d, (k, n_columns), tile = rows.shape[1], theta.shape, args.tile
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
        n = load_tile(rows, start, args, x, z)
        gaps = scan_gaps(x, n, z, gaps)
        weight_sum += load_weights(row_weights, start, n, z, weights)
        build_features(args.feature_map, args.isotropy_weights, z, phi)
        shared_joint(theta_blocks, step, phi, joint_part, joint)
        shared_gradients(z, terms, gaps)
        fill_tile(n, terms, gaps)
        add_correction(joint, gaps.correction, n)
        softmax(joint, args.flush, log_prob, total)
        log_likelihood += weigh(joint, total, weights, log_prob)
        expected += expected_correction(joint, gaps.correction, n)
        add_moments(phi, joint, step, resp, part, sums)
        fill_sums(args, z, n, terms, gaps, joint, missing_sums)
    return np.ascontiguousarray(sums.T), np.ascontiguousarray(missing_sums.T), log_likelihood, expected, weight_sum


@inlined
def subtract_observed(z: Any, mean: Any, x: Any, n: int, difference: Any) -> None:
    """Fill difference (d, tile) with z - mean, and 0 where values are missing."""
    for i in range(z.shape[0]):
        for b in range(z.shape[1]):
            difference[i, b] = z[i, b] - mean[i]
        for b in range(n):
            if np.isnan(x[i, b]):
                difference[i, b] = 0.0


@inlined
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


@entry
def expect_centred_missing(rows: Any, row_weights: Any, args: Any, mixture: Any, n_columns: int, terms: Any) -> Any:
    """Return the results of `expect_shared_missing` about own means; the correction is the whole joint log-density."""
    d, k, tile = rows.shape[1], len(mixture.constants), args.tile
    x, z = np.empty((d, tile), rows.dtype), np.empty((d, tile), mixture.means.dtype)
    difference, white, outer = np.empty_like(z), np.empty_like(z), np.empty((d, d), mixture.means.dtype)
    joint, part = np.empty((k, tile), mixture.means.dtype), np.empty((k, n_columns))
    weights, log_prob, total = np.empty(tile), np.empty(tile), np.empty(tile)
    gaps = gap_scratch(d, k, tile)
    sums, missing_sums = np.zeros((k, n_columns)), np.zeros((n_columns, k))
    log_likelihood, expected, weight_sum = 0.0, 0.0, 0.0
    for start in range(0, len(rows), tile):
        n = load_tile(rows, start, args, x, z)
        gaps = scan_gaps(x, n, z, gaps)
        weight_sum += load_weights(row_weights, start, n, z, weights)
        centred_gradients(z, n, terms, gaps)
        fill_tile(n, terms, gaps)
        filled_joint(z, x, n, mixture, gaps, difference, white, joint)
        add_correction(joint, gaps.correction, n)
        copy_joint(joint, gaps.correction)
        softmax(joint, args.flush, log_prob, total)
        log_likelihood += weigh(joint, total, weights, log_prob)
        expected += expected_correction(joint, gaps.correction, n)
        for c in range(k):
            subtract_observed(z, mixture.means[c], x, n, difference)
            centred_part(args, difference, joint[c], white, outer, part[c])
        add_to(sums, part)
        fill_sums(args, z, n, terms, gaps, joint, missing_sums)
    return sums, np.ascontiguousarray(missing_sums.T), log_likelihood, expected, weight_sum
