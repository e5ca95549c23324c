"""The M-step of mixtures of factor analysers, with expanded parameters.

Given the factors y, EM regresses z - m on (y, 1). Here their mean and covariance are estimated too, and put into mean
and loadings (Liu, Rubin and Wu 1998, PX-EM; Zhao and Yu 2008): where the plain step takes hundreds of passes this one
takes a few. With u = V (z - m) of the mixture before, whose capacitance is C C^T, the factors have the mean C^-T u and
the covariance (C C^T)^-1, so that in moments about the new means

    A = cov(y) = C^-T (I + cov(u)) C^-1,   cov(z, y) = cov(z, u) C^-1,   L = cov(z, y) K^-T,   A = K K^T
    psi_i = var(z_i) - sum_j L_ij^2

and A is I at the limit, so that the loadings do not turn from step to step.
"""

from __future__ import annotations

import numpy as np

from ...blas import single_threaded
from ..arrays.types import Array
from ..mixture.data_summary import DataSummary
from ..mixture.low_rank import LowRankMatrices, from_z
from ..mixture.mixture import Mixture
from ..mixture.moments import ComponentMoments
from ..mixture.statistics import Statistics


def factor_moments(
    mixture: Mixture, statistics: Statistics, data_summary: DataSummary, alive: Array
) -> ComponentMoments:
    """Return counts, means, and loadings with the noise that they leave, of the components that are `alive` (k,)."""
    frame, d = data_summary.frame, data_summary.n_features
    matrices = mixture.matrices(frame)
    assert isinstance(matrices, LowRankMatrices), "a mixture of factor analysers"
    sums = statistics.sums / np.where(alive, statistics.counts, 1.0)[:, None]
    means, squares = sums[:, 1 : 1 + d], sums[:, 1 + d : 1 + 2 * d]
    products = sums[:, 1 + 2 * d :].reshape(len(sums), d, -1)
    with single_threaded():  # the same bits whatever the number of threads
        loadings = _regress(matrices, means, frame.to_z(mixture.means), products)
    noise = squares - means**2 - (loadings**2).sum(axis=2)
    estimate = from_z(np.concatenate([noise[:, :, None], loadings], axis=2), frame)
    covariances = np.where(alive[:, None, None], estimate, mixture.covariances)
    means = np.where(alive[:, None], frame.to_x(means), mixture.means)
    return ComponentMoments(mixture.structure.layout, np.where(alive, statistics.counts, 0.0), means, covariances)


def _regress(matrices: LowRankMatrices, means: Array, before: Array, products: Array) -> Array:
    """Return the loadings (k, d, q) by the mean products (k, d, q) of z and u; means (k, d) now and before."""
    projection, factors = matrices.project_factors()
    seen = np.einsum("kqd,kd->kq", projection, means - before)
    with_seen = products - means[:, :, None] * seen[:, None, :]
    spread = projection @ with_seen
    spread = (spread + np.swapaxes(spread, 1, 2)) / 2 + np.eye(spread.shape[1])
    back = np.linalg.inv(factors)
    root = np.linalg.cholesky(np.swapaxes(back, 1, 2) @ spread @ back)
    loadings: Array = with_seen @ back @ np.swapaxes(np.linalg.inv(root), 1, 2)
    return loadings
