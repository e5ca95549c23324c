"""How much components overlap: the Bhattacharyya distance between the Gaussians of two mixtures."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from ..arrays.types import Array
from ..mixture.covariance import cholesky
from ..mixture.frame import Frame
from ..mixture.mixture import Mixture

_BATCH = 2**22  # numbers of the pairs' covariances that are held at once


def bhattacharyya_distances(mixture_a: Mixture, mixture_b: Mixture) -> Array:
    """Return the Bhattacharyya distance of each component of one mixture from each of another, (k_a, k_b).

        D = (mu_a - mu_b)^T S^-1 (mu_a - mu_b) / 8  +  log(det S / sqrt(det Sigma_a det Sigma_b)) / 2

    with S = (Sigma_a + Sigma_b) / 2 (Bhattacharyya 1943; Kailath 1967). It is 0 for equal Gaussians, and exp(-D), their
    overlap, bounds by how much they can be mistaken for each other. Weights stay out of it. The mixtures may have
    different numbers and structures of components, over the same features.
    """
    frame = mixture_a.frame
    means_a, means_b = frame.to_z(mixture_a.means), frame.to_z(mixture_b.means)
    if mixture_a.covariance_type == mixture_b.covariance_type == "tied":
        return _of_tied(means_a, means_b, _spread(mixture_a, frame)[:1], _spread(mixture_b, frame)[:1])
    spread_a, spread_b = _alike(_spread(mixture_a, frame), _spread(mixture_b, frame))
    return _of_pairs(means_a, means_b, spread_a, spread_b)


def _spread(mixture: Mixture, frame: Frame) -> Array:
    return mixture.structure.in_frame(mixture.covariances, mixture.means.shape, frame)


def _alike(one: Array, other: Array) -> tuple[Array, Array]:
    """Return both covariances dense (k, d, d), or both as diagonals (k, d) where neither is dense."""
    if one.ndim == other.ndim:
        return one, other
    return _dense(one), _dense(other)


def _dense(spread: Array) -> Array:
    return spread if spread.ndim == 3 else spread[:, :, None] * np.eye(spread.shape[1])


def _of_tied(means_a: Array, means_b: Array, spread_a: Array, spread_b: Array) -> Array:
    """Return the distances where each mixture has one covariance (1, d, d): a single factor whitens all means."""
    between = (spread_a + spread_b) / 2
    factor = cholesky(between)[0]
    whitened_a, whitened_b = (np.linalg.solve(factor, means.T).T for means in (means_a, means_b))
    shape = 2 * _log_det(between) - _log_det(spread_a) - _log_det(spread_b)
    distances: Array = cdist(whitened_a, whitened_b, "sqeuclidean") / 8 + np.maximum(shape, 0) / 4
    return distances


def _of_pairs(means_a: Array, means_b: Array, spread_a: Array, spread_b: Array) -> Array:
    log_det_a, log_det_b = _log_det(spread_a), _log_det(spread_b)
    distances = np.empty((len(means_a), len(means_b)))
    step = max(1, _BATCH // spread_b[0].size)
    for one in range(len(means_a)):
        for at in range(0, len(means_b), step):
            some = slice(at, at + step)
            between = (spread_a[one] + spread_b[some]) / 2
            quadratic, log_det = _squared_length(means_b[some] - means_a[one], between), _log_det(between)
            shape = 2 * log_det - log_det_a[one] - log_det_b[some]  # 0 or more, but for rounding
            distances[one, some] = quadratic / 8 + np.maximum(shape, 0) / 4
    return distances


def _squared_length(differences: Array, spread: Array) -> Array:
    """Return d^T S^-1 d of each difference (m, d) and its covariance (m, d, d), or variances (m, d)."""
    if spread.ndim == 2:
        lengths: Array = (differences**2 / spread).sum(axis=1)
        return lengths
    whitened = np.linalg.solve(cholesky(spread), differences[:, :, None])
    squares: Array = (whitened**2).sum(axis=(1, 2))
    return squares


def _log_det(spread: Array) -> Array:
    logs = np.log(spread) if spread.ndim == 2 else 2 * np.log(np.diagonal(cholesky(spread), axis1=1, axis2=2))
    log_det: Array = logs.sum(axis=1)
    return log_det
