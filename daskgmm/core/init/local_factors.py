"""Starts of mixtures of factor analysers: principal components of parts of a sample, with noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array

_MAX_ROWS = 512  # of a part, whose axes are looked at where there are more features
_MIN_NOISE = 0.05  # of the variance of a feature in a part: EM continues from there


def local_factors(
    z: Array, weights: Array, labels: NDArray[np.intp], means: Array, n_factors: int, rng: np.random.Generator
) -> Array:
    """Return noise and loadings (k, d, 1 + q) of parts of z (n, d), whose `labels` are 0 to k - 1, or -1.

    The variances of a part get q + 2 rows' worth of those within all parts, so that small parts have some too.
    """
    unit = weights.sum() / len(weights)
    within = sum(weights[labels == part] @ (z[labels == part] - mean) ** 2 for part, mean in enumerate(means))
    total = max(float(weights[labels >= 0].sum()), unit)
    covariances: list[Array] = []
    for part, mean in enumerate(means):
        own, own_weights = z[labels == part] - mean, weights[labels == part]
        prior = (n_factors + 2) * unit
        variances = (own_weights @ own**2 + prior * within / total) / (own_weights.sum() + prior)
        variances = np.maximum(variances, np.finfo(float).tiny)
        loadings = _principal(own / np.sqrt(variances), own_weights, n_factors, rng) * np.sqrt(variances)[:, None]
        noise = np.maximum(variances - (loadings**2).sum(axis=1), _MIN_NOISE * variances)
        covariances.append(np.concatenate([noise[:, None], loadings], axis=1))
    packed: Array = np.array(covariances)
    return packed


def _principal(rows: Array, weights: Array, n_factors: int, rng: np.random.Generator) -> Array:
    """Return loadings (d, q) of rows (n, d) of unit variances; none of them 0, since EM leaves such a one as it is."""
    d = rows.shape[1]
    least: Array = np.sqrt(_MIN_NOISE / n_factors) * rng.standard_normal((d, n_factors)) / np.sqrt(d)
    if d > _MAX_ROWS:
        rows, weights = rows[:_MAX_ROWS], weights[:_MAX_ROWS]
    if not weights.sum() > 0:
        return least
    rows = rows * np.sqrt(weights / weights.sum())[:, None]
    wide = len(rows) < d
    variances, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    n_found = min(n_factors, len(variances))
    variances, vectors = variances[::-1][:n_found], vectors[:, ::-1][:, :n_found]
    if wide:
        vectors = rows.T @ (vectors / np.sqrt(np.maximum(variances, np.finfo(float).tiny)))
    rest = max((np.sum(rows**2) - variances.sum()) / max(d - n_found, 1), 0.0)
    loadings: Array = least
    loadings[:, :n_found] += vectors * np.sqrt(np.maximum(variances - rest, 0.0))
    return loadings
