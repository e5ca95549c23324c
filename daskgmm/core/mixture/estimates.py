"""What the families make of covariances of their own: estimates whose volume, shape or orientation is common.

Sigma_k = lambda_k D_k A_k D_k^T with det A_k = 1: lambda_k is the volume, A_k the shape, D_k the orientation. Each
estimate minimises

    sum_k N_k (log det Sigma_k + tr(S_k Sigma_k^-1))

over the family, given the counts N_k (k,) and the covariances S_k of the components; a count may be 0. Sources: Celeux
and Govaert (1995), Gaussian parsimonious clustering models, Pattern Recognition 28; Browne and McNicholas (2014).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arrays.types import Array
from .common_axes import along, common_axes
from .floor import Floor

Estimate = Callable[[Array, Array, Array | None], Array]  # of counts, covariances, and previous estimates if any

_MOST_ROUNDS = 1000  # of volumes and shape in turn
_CLOSE = 1e-12  # relative, of the volumes from round to round
_MOST_TRIES = 100  # of the multipliers of the floor
_SLACK = 1e-10  # of the floor's constraint


def held_to(
    floor: Floor | None, estimate: Estimate, counts: Array, covariances: Array, previous: Array | None
) -> Array:
    """Return the estimate among those with tr(F Sigma_k^-1) <= d for every component; NaN where there is none.

    With multipliers nu_k >= 0 of the constraints it is the estimate from S_k + nu_k F, which keeps what is common to
    the components: nu_k is 0 where the constraint does not hold the component, and its trace is d where it does. From
    nu_k = 1, where any component of its own is wide enough, nu_k tr(F Sigma_k^-1) / d leads there.
    """
    found = _attempt(estimate, counts, covariances, previous)
    if floor is None:
        return found
    load, factors = floor.load(found), np.zeros(len(counts))
    for _ in range(_MOST_TRIES):
        if load.max() <= 1 + _SLACK and (factors * (1 - load)).max() <= _SLACK:
            break
        factors = np.where(factors > 0, factors * np.clip(load, 1e-30, 1e3), load > 1)
        found = _attempt(estimate, counts, floor.added_to(covariances, factors), previous)
        load = floor.load(found)
    widest = load.max()
    return found * widest if 1 < widest < np.inf else found


def _attempt(estimate: Estimate, counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return the estimate, NaN where covariances are singular."""
    try:
        with np.errstate(all="ignore"):  # what comes out is looked at
            return estimate(counts, covariances, previous)
    except np.linalg.LinAlgError:
        return np.full(covariances.shape, np.nan)


def pooled(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return the mean covariance for each component (EII, EEI, by the layout of the covariances)."""
    mean = np.tensordot(counts / counts.sum(), covariances, axes=1)
    return np.broadcast_to(mean, covariances.shape).copy()


def vei(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return variances (k, d) of one shape in own volumes."""
    shares, volumes = counts / counts.sum(), covariances.mean(axis=1)
    for _ in range(_MOST_ROUNDS):
        shape = _normalised(shares / volumes @ covariances)
        before, volumes = volumes, (covariances / shape).mean(axis=1)
        if _is_close(before, volumes):
            break
    estimate: Array = volumes[:, None] * shape
    return estimate


def evi(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return variances (k, d) of own shapes in one volume."""
    volumes = _volumes(covariances)
    estimate: Array = covariances * (counts @ volumes / counts.sum() / volumes)[:, None]
    return estimate


def vee(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of one shape and orientation in own volumes."""
    shares, d = counts / counts.sum(), covariances.shape[1]
    volumes = np.trace(covariances, axis1=1, axis2=2) / d
    for _ in range(_MOST_ROUNDS):
        shape = np.einsum("k,kij->ij", shares / volumes, covariances)
        shape = shape / _volumes(shape[None])
        before, volumes = volumes, np.einsum("kij,ji->k", covariances, np.linalg.inv(shape)) / d
        if _is_close(before, volumes):
            break
    estimate: Array = volumes[:, None, None] * shape
    return estimate


def evv(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of own shapes and orientations in one volume."""
    volumes = _volumes(covariances)
    estimate: Array = covariances * (counts @ volumes / counts.sum() / volumes)[:, None, None]
    return estimate


def eev(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of own orientations in one shape and volume."""
    variances, axes = _principal(covariances)
    return _composed(axes, pooled(counts, variances, None))


def vev(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of own orientations and volumes in one shape."""
    variances, axes = _principal(covariances)
    return _composed(axes, vei(counts, variances, None))


def eve(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of own shapes in one orientation and volume."""
    axes = common_axes(counts, covariances, previous, equal_volumes=True)
    variances = np.diagonal(along(axes, covariances), axis1=1, axis2=2)
    return _composed(axes, evi(counts, variances, None))


def vve(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of own shapes and volumes in one orientation."""
    axes = common_axes(counts, covariances, previous, equal_volumes=False)
    return _composed(axes, np.diagonal(along(axes, covariances), axis1=1, axis2=2))


def _volumes(covariances: Array) -> Array:
    """Return det^(1/d) of covariances (k, d, d), or of diagonal ones (k, d), (k,)."""
    if covariances.ndim == 3:
        covariances = np.diagonal(np.linalg.cholesky(covariances), axis1=1, axis2=2) ** 2
    volumes: Array = np.exp(np.log(covariances).mean(axis=1))
    return volumes


def _normalised(variances: Array) -> Array:
    normalised: Array = variances / np.exp(np.log(variances).mean())
    return normalised


def _is_close(before: Array, volumes: Array) -> bool:
    return bool((np.abs(volumes - before) <= _CLOSE * np.abs(volumes)).all())


def _principal(covariances: Array) -> tuple[Array, Array]:
    """Return the variances along the principal axes, in falling order, (k, d), and these axes (k, d, d).

    From the singular values of the Cholesky factors, which hold narrow axes beside wide ones to more digits.
    """
    try:
        axes, deviations, _ = np.linalg.svd(np.linalg.cholesky(covariances))
        return deviations**2, axes
    except np.linalg.LinAlgError:  # a component of few rows has no width in some directions
        variances, axes = np.linalg.eigh(covariances)
        return np.maximum(variances[:, ::-1], 0.0), axes[:, :, ::-1]


def _composed(axes: Array, variances: Array) -> Array:
    """Return D diag(variances_k) D^T, (k, d, d), of axes (d, d) or (k, d, d)."""
    product = (axes * variances[:, None, :]) @ np.swapaxes(axes, -1, -2)
    symmetric: Array = (product + np.swapaxes(product, 1, 2)) / 2
    return symmetric
