"""Which components of a mixture have collapsed onto a point, a line or a plane, where the likelihood has no bound."""

from __future__ import annotations

import numpy as np

from .features import Array
from .mixture import Mixture
from .survey import Survey

_NEAR = 10.0  # times reg_covar: a width within components as narrow as that is made of the regularisation
_LEAST = 1e-9  # the same where reg_covar is 0
_OF_OTHERS = 1e-3  # of what the components have in that direction on average: else all are narrow there


def collapsed(mixture: Mixture, survey: Survey, reg_covar: float) -> tuple[int, ...]:
    """Return the numbers of the components whose width in some direction is that of `reg_covar` alone.

    A direction in which all components are as narrow (columns that are copies of each other) is none. Components that
    are empty are not collapsed.
    """
    frame = survey.frame
    spread = mixture.structure.in_frame(mixture.covariances, mixture.means.shape, frame)
    if spread.ndim == 3 and mixture.covariance_type == "tied":
        return ()  # all are as narrow
    variances = spread if spread.ndim == 2 else np.diagonal(spread, axis1=1, axis2=2)
    unit = np.sqrt(mixture.weights @ variances)
    scaled = spread / unit**2 if spread.ndim == 2 else spread / np.outer(unit, unit)
    narrowest, of_others = _narrowest(scaled, mixture.weights)
    bound = max(_NEAR * reg_covar, _LEAST)
    marked = (narrowest < bound) & (of_others < _OF_OTHERS) & (mixture.weights > 0)
    return tuple(int(component) for component in np.flatnonzero(marked))


def _narrowest(spread: Array, weights: Array) -> tuple[Array, Array]:
    """Return the least variance of each component, and its share of the mean variance in the same direction, (k,)."""
    if spread.ndim == 2:
        shares = spread / (weights @ spread)
        return spread.min(axis=1), shares.min(axis=1)
    variances, axes = np.linalg.eigh(spread)
    least, axis = variances[:, 0], axes[:, :, 0]
    mean = np.einsum("k,kij->ij", weights, spread)
    return least, least / np.einsum("ki,ij,kj->k", axis, mean, axis)
