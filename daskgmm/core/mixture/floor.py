"""The floor: the least covariance that a component may have, held fixed during a fit.

EM maximises the log-likelihood subject to Sigma_k >= F (in the order of symmetric matrices) for every component. The
maximum of the M-step is exact: with W_k the scatter of the component, the eigenvalues of the pencil (W_k, F) that are
below 1 are raised to 1. So the log-likelihood itself is the objective, it never falls, and components that are wider
than the floor are not biased by it.

F is diag(variances). Each variance is the larger of

* reg_covar times the variance of the column over all rows;
* step^2 / 12, the variance of rounding to multiples of `step` (Sheppard 1898), in a column of limited resolution.

In directions in which no rows differ (columns that are copies or sums of others) dense covariances get more,
`_NULL_VARIANCE`: a floor as low as reg_covar would drown there in the rounding of the covariances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf

from ...blas import single_threaded
from ..arrays.types import NO_MATRIX, Array, for_each
from .data_summary import DataSummary

DEFAULT_REG_COVAR = 1e-12
_SHEPPARD = 12.0  # the variance of a uniform distribution of width 1 is 1 / 12
_NULL_DIRECTION = 1e-12  # share of the variance of standardised columns: below it no rows differ
_MIN_NOISE = 1e-6  # of the variance of a column: noise of 0 has no bound, and factors drown in rounding
_NULL_VARIANCE = 1e-8  # of the standardised columns, in such a direction


@dataclass(frozen=True, eq=False)
class Floor:
    """The least covariance of a component, in the units of the features."""

    variances: Array  # (d,), for diagonal and spherical covariances
    matrix: Array  # (d, d), for dense covariances; NO_MATRIX where there are none
    least_noise: Array | None = None  # (d,), for the noise of covariances of low rank; None: the variances

    @classmethod
    def of(cls, data_summary: DataSummary, reg_covar: float, *, dense: bool = True) -> Floor:
        """Return the floor for rows of this data summary; `reg_covar` is in units of each column's variance.

        Without `dense` it has no matrix, which takes an eigenproblem of all features.
        """
        frame, variances = data_summary.frame, least_variances(data_summary, reg_covar)
        matrix = np.diag(variances) if dense else NO_MATRIX
        if dense and reg_covar > 0:
            matrix = matrix + _null_part(data_summary) * np.outer(frame.scale, frame.scale)
        return cls(variances, matrix, np.maximum(variances, _MIN_NOISE * frame.scale**2))

    @property
    def noise(self) -> Array:
        """The least noise of covariances of low rank, (d,)."""
        return self.variances if self.least_noise is None else self.least_noise

    def raise_variances(self, variances: Array) -> Array:
        """Return variances (k, d), none below the floor."""
        raised: Array = np.maximum(variances, self.variances)
        return raised

    def raise_noise(self, noise: Array) -> Array:
        """Return the noise (k, d) of covariances of low rank, none below the floor."""
        raised: Array = np.maximum(noise, self.noise)
        return raised

    def raise_isotropic(self, variances: Array) -> Array:
        """Return variances (k,) of all features, none below the mean of the floor over the features."""
        raised: Array = np.maximum(variances, self.variances.mean())
        return raised

    def raise_matrices(self, covariances: Array) -> Array:
        """Return covariances (..., d, d), with no direction below the floor."""
        with single_threaded():  # the same bits whatever the number of threads
            stack = covariances.reshape(-1, *self.matrix.shape)
            low = [number for number, one in enumerate(stack) if not _is_positive(one - self.matrix)]
            if not low:
                return covariances
            raised = stack.copy()
            for number in low:
                raised[number] = self._raise(stack[number])
        return raised.reshape(covariances.shape)

    def load(self, covariances: Array) -> Array:
        """Return tr(F Sigma_k^-1) / d of covariances (k, d, d) or (k, d), (k,); infinite where one is singular."""
        if covariances.ndim == 2:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios = np.where(covariances > 0, self.variances / covariances, np.inf)
            traces: Array = ratios.sum(axis=1)
        else:
            traces = np.array([_trace_of_ratio(self.matrix, one) for one in covariances])
        load: Array = traces / covariances.shape[1]
        return load

    def add_to(self, covariances: Array, factors: Array) -> Array:
        """Return covariances (k, d, d) or (k, d) with the floor added, times a factor (k,) of each."""
        least = self.variances if covariances.ndim == 2 else self.matrix
        total: Array = covariances + for_each(factors, covariances) * least
        return total

    def relative(self, covariance: Array) -> tuple[Array, Array]:
        """Return eigenvalues (d,), in rising order, and directions (d, d) of the pencil (covariance, F).

        With S = covariance + F = C C^T and M = C^-1 F C^-T = V diag(mu) V^T, the eigenvalues are 1 / mu - 1. Those
        near 1 and below belong to the largest mu, so that they are exact however wide the covariance is elsewhere. The
        directions are the columns of C V: covariance = sum_i (1 - mu_i) v_i v_i^T and F = sum_i mu_i v_i v_i^T.
        """
        total = covariance + self.matrix
        if not (np.diagonal(total) > 0).all():
            raise np.linalg.LinAlgError("a variance is not positive")
        units = np.sqrt(np.diagonal(total))
        root = np.linalg.cholesky(total / np.outer(units, units))
        inverse = np.linalg.inv(root)
        shares, axes = np.linalg.eigh(inverse @ (self.matrix / np.outer(units, units)) @ inverse.T)
        shares = np.clip(shares[::-1], np.finfo(float).tiny, 1.0)
        return 1 / shares - 1, units[:, None] * (root @ axes[:, ::-1])

    def _raise(self, covariance: Array) -> Array:
        try:
            ratios, directions = self.relative(covariance)
        except np.linalg.LinAlgError:  # no floor in a direction without width: the M-step then finds it singular
            return covariance
        low = ratios < 1
        added = (1 - ratios[low]) / (1 + ratios[low])
        raised: Array = covariance + (directions[:, low] * added) @ directions[:, low].T
        return (raised + raised.T) / 2


def least_variances(data_summary: DataSummary, reg_covar: float) -> Array:
    """Return the least variance of each feature for rows of this data summary, (d,)."""
    variances: Array = np.maximum(reg_covar * data_summary.frame.scale**2, data_summary.steps**2 / _SHEPPARD)
    return variances


def _null_part(data_summary: DataSummary) -> Array:
    """Return the additional floor, (d, d), of standardised columns in directions in which no rows differ."""
    with single_threaded():
        variances, axes = np.linalg.eigh(data_summary.total_covariance)
    null = axes[:, variances <= _NULL_DIRECTION]
    part: Array = _NULL_VARIANCE * null @ null.T
    return part


def _trace_of_ratio(matrix: Array, covariance: Array) -> float:
    """Return tr(F Sigma^-1), infinite where Sigma is not positive definite."""
    units = np.sqrt(np.maximum(np.diagonal(covariance), np.finfo(float).tiny))
    if not np.isfinite(covariance).all():
        return float("inf")
    try:
        root = np.linalg.cholesky(covariance / np.outer(units, units))
    except np.linalg.LinAlgError:
        return float("inf")
    halved = np.linalg.solve(root, matrix / np.outer(units, units))
    return float(np.trace(np.linalg.solve(root.T, halved)))


def _is_positive(matrix: Array) -> bool:
    """Return whether a matrix (d, d) is positive definite; NumPy takes five times as long if it is small."""
    _, first_not_positive = dpotrf(matrix, lower=1, clean=0)
    return bool(first_not_positive == 0)
