"""Precisions of a mixture in the forms that scikit-learn keeps beside the covariances."""

from __future__ import annotations

import numpy as np

from ..arrays.types import Array
from .covariance import cholesky
from .mixture import Mixture


def precisions_cholesky(mixture: Mixture) -> Array:
    """Return what scikit-learn calls so: upper triangular U with U U^T = precision, or reciprocal deviations."""
    covariances = mixture.covariances
    if mixture.covariance_type in {"diag", "spherical"}:
        return 1 / np.sqrt(covariances)
    inverse = np.linalg.inv(cholesky(covariances if covariances.ndim == 3 else covariances[None]))
    upper: Array = np.triu(np.swapaxes(inverse, 1, 2))
    return upper if covariances.ndim == 3 else upper[0]


def precisions(covariance_type: str, factors: Array) -> Array:
    """Return the precisions, by the factors that `precisions_cholesky` returned."""
    if covariance_type in {"diag", "spherical"}:
        return factors**2
    products: Array = factors @ np.swapaxes(factors, -1, -2)
    return products
