"""Precisions of a mixture in the forms that scikit-learn keeps in addition to the covariances."""

from __future__ import annotations

import numpy as np

from ..arrays.types import Array
from .covariance import STRUCTURES
from .matrices import cholesky
from .mixture import Mixture


def precisions_cholesky(mixture: Mixture) -> Array:
    """Return scikit-learn's `precisions_cholesky_`: upper triangular U, U U^T = precision, or 1 / deviations."""
    covariances = mixture.covariances
    if not mixture.structure.layout.dense:
        return 1 / np.sqrt(covariances)
    d = mixture.n_features
    inverse = np.linalg.inv(cholesky(covariances.reshape(-1, d, d)))
    upper: Array = np.triu(np.swapaxes(inverse, 1, 2)).reshape(covariances.shape)
    return upper


def precisions(covariance_type: str, factors: Array) -> Array:
    """Return the precisions, by the factors that `precisions_cholesky` returned."""
    if not STRUCTURES[covariance_type].layout.dense:
        return factors**2
    products: Array = factors @ np.swapaxes(factors, -1, -2)
    return products
