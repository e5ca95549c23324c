"""The compiled kernels that score rows with missing values, and fill these with their conditional means."""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiled import (
    build_features,
    columns_at_once,
    emit,
    in_blocks,
    load_tile,
    shared_joint,
    softmax,
)
from .decorators import entry, inlined
from .missing_compiled import centred_gradients, fill_tile, gap_scratch, scan_gaps, shared_gradients
from .missing_e_step import add_correction, filled_joint


@inlined
def emit_filled(start: int, n: int, joint: Any, total: Any, terms: Any, gaps: Any, filled: Any) -> None:
    """Write the means of missing values, and their variances, from the output of `softmax`; in the frame."""
    k = joint.shape[0]
    for b in range(n):
        missing, own = gaps.features[gaps.first[b] : gaps.first[b + 1]], gaps.y[gaps.first[b] : gaps.first[b + 1]]
        inverse = gaps.inverses[gaps.first_pair[b] : gaps.first_pair[b + 1]]
        for a in range(len(missing)):
            i, mean, variance, pair = missing[a], 0.0, 0.0, a * (a + 1) // 2 + a
            for c in range(k):
                mean += joint[c, b] / total[b] * (terms.centres[i, c] + own[a, c])
            filled.values[start + b, i] = mean
            if len(filled.variances):
                for c in range(k):
                    difference = terms.centres[i, c] + own[a, c] - mean
                    variance += joint[c, b] / total[b] * (inverse[pair, c] + difference**2)
                filled.variances[start + b, i] = variance


@entry
def predict_shared_missing(rows: Any, args: Any, theta: Any, terms: Any, outputs: Any, filled: Any) -> None:
    """Fill the outputs for rows (n, d) by the shared centre; rows that miss as many values should follow each other."""
    d, (k, n_columns), tile = rows.shape[1], theta.shape, args.tile
    x, phi = np.empty((d, tile), rows.dtype), np.ones((n_columns, tile), theta.dtype)
    z = phi[1 : 1 + d]
    step = columns_at_once(k, n_columns, tile)
    theta_blocks = in_blocks(theta, step)
    joint, part = np.empty((k, tile), theta.dtype), np.empty((k, tile), theta.dtype)
    log_prob, total = np.empty(tile), np.empty(tile)
    gaps = gap_scratch(d, k, tile)
    for start in range(0, len(rows), tile):
        n = load_tile(rows, start, args, x, z)
        gaps = scan_gaps(x, n, z, gaps)
        build_features(args.feature_map, args.isotropy_weights, z, phi)
        shared_joint(theta_blocks, step, phi, part, joint)
        shared_gradients(z, terms, gaps)
        fill_tile(n, terms, gaps)
        add_correction(joint, gaps.correction, n)
        softmax(joint, args.flush, log_prob, total)
        emit(start, n, joint, log_prob, total, outputs)
        if len(filled.values):
            emit_filled(start, n, joint, total, terms, gaps, filled)


@entry
def predict_centred_missing(rows: Any, args: Any, mixture: Any, terms: Any, outputs: Any, filled: Any) -> None:
    """Fill the outputs for rows (n, d), ordered as in `predict_shared_missing`, from the distances to own centres."""
    d, k, tile = rows.shape[1], len(mixture.constants), args.tile
    x, z = np.empty((d, tile), rows.dtype), np.empty((d, tile), mixture.means.dtype)
    difference, white = np.empty_like(z), np.empty_like(z)
    joint = np.empty((k, tile), mixture.means.dtype)
    log_prob, total = np.empty(tile), np.empty(tile)
    gaps = gap_scratch(d, k, tile)
    for start in range(0, len(rows), tile):
        n = load_tile(rows, start, args, x, z)
        gaps = scan_gaps(x, n, z, gaps)
        centred_gradients(z, n, terms, gaps)
        fill_tile(n, terms, gaps)
        filled_joint(z, x, n, mixture, gaps, difference, white, joint)
        add_correction(joint, gaps.correction, n)
        softmax(joint, args.flush, log_prob, total)
        emit(start, n, joint, log_prob, total, outputs)
        if len(filled.values):
            emit_filled(start, n, joint, total, terms, gaps, filled)
