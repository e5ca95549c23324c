"""How much components overlap: the Bhattacharyya distance between the Gaussians of two mixtures."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from ..arrays.types import Array
from ..mixture.matrices import Matrices
from ..mixture.mixture import Mixture

_BATCH_NUMBERS = 2**22  # numbers of the pairs' covariances that are held at once


def bhattacharyya_distances(mixture_a: Mixture, mixture_b: Mixture) -> Array:
    """Return the Bhattacharyya distance of each component of one mixture from each of another, (k_a, k_b).

        D = (mu_a - mu_b)^T S^-1 (mu_a - mu_b) / 8  +  log(det S / sqrt(det Sigma_a det Sigma_b)) / 2

    with S = (Sigma_a + Sigma_b) / 2 (Bhattacharyya 1943; Kailath 1967). It is 0 for equal Gaussians, and exp(-D), their
    overlap, bounds by how much they can be mistaken for each other. Weights stay out of it. The mixtures may have
    different numbers and structures of components, over the same features.
    """
    frame = mixture_a.frame
    means_a, means_b = frame.to_z(mixture_a.means), frame.to_z(mixture_b.means)
    matrices_a, matrices_b = mixture_a.matrices(frame), mixture_b.matrices(frame)
    if mixture_a.structure.shared and mixture_b.structure.shared:
        return _of_shared(means_a, means_b, matrices_a[:1], matrices_b[:1])
    return _of_pairs(means_a, means_b, matrices_a, matrices_b)


def _of_shared(means_a: Array, means_b: Array, one: Matrices, other: Matrices) -> Array:
    """Return the distances where each mixture has one covariance: a single factor whitens all means."""
    between = one.average(other)
    whitening = between.whiten()[0].dense[0]
    shape = 2 * between.log_det() - one.log_det() - other.log_det()
    distances: Array = cdist(means_a @ whitening.T, means_b @ whitening.T, "sqeuclidean") / 8 + np.maximum(shape, 0) / 4
    return distances


def _of_pairs(means_a: Array, means_b: Array, matrices_a: Matrices, matrices_b: Matrices) -> Array:
    log_det_a, log_det_b = matrices_a.log_det(), matrices_b.log_det()
    distances = np.empty((len(means_a), len(means_b)))
    step = max(1, _BATCH_NUMBERS // max(matrices_a.values[0].size, matrices_b.values[0].size))
    for one in range(len(means_a)):
        for at in range(0, len(means_b), step):
            some = slice(at, at + step)
            between = matrices_b[some].average(matrices_a[one : one + 1])
            quadratic = between.mahalanobis(means_b[some] - means_a[one])
            shape = 2 * between.log_det() - log_det_a[one] - log_det_b[some]  # 0 or more, but for rounding
            distances[one, some] = quadratic / 8 + np.maximum(shape, 0) / 4
    return distances
