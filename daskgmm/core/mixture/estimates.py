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

from ...blas import single_threaded
from ..arrays.types import Array, for_each
from .common_axes import along, common_axes
from .floor import Floor

Estimate = Callable[[Array, Array, Array | None], Array]  # of counts, covariances, and previous estimates if any

_MAX_ROUNDS = 50  # of Newton's method
_MAX_STEP = 2.0  # of a log-volume
_GRADIENT_TOLERANCE = 1e-11  # of the gradient, in shares of rows and features
_MAX_TRIES = 100  # of the multipliers of the floor
_MAX_FACTOR = 1e3  # by which a multiplier grows or shrinks: at 0 a component may be singular
_CONSTRAINT_TOLERANCE = 1e-8  # of the floor's constraint


def estimate_above(
    floor: Floor | None, estimate: Estimate, counts: Array, covariances: Array, previous: Array | None
) -> Array:
    """Return the estimate among those with tr(F Sigma_k^-1) <= d for every component; NaN where there is none.

    With multipliers nu_k >= 0 of the constraints it is the estimate from S_k + nu_k F, which keeps what is common to
    the components: nu_k is 0 where the constraint does not hold the component, and its trace is d where it does. The
    inverse of the trace is nearly linear in nu_k, so the secant method finds it.
    """
    found = _attempt(estimate, counts, covariances, previous)
    if floor is None:
        return found
    factors, before = np.zeros(len(counts)), None
    for _ in range(_MAX_TRIES):
        spare = 1 / np.maximum(floor.load(found), np.finfo(float).tiny) - 1
        if spare.min() >= -_CONSTRAINT_TOLERANCE and (factors * np.minimum(spare, 1)).max() <= _CONSTRAINT_TOLERANCE:
            break
        now = factors, spare
        factors = np.where(spare < 0, 1.0, 0.0) if before is None else _secant(before, now)
        before, previous = now, found if np.isfinite(found).all() else previous
        found = _attempt(estimate, counts, floor.add_to(covariances, factors), previous)
    widest = floor.load(found).max()
    return found * widest if 1 < widest < np.inf else found


def _secant(before: tuple[Array, Array], now: tuple[Array, Array]) -> Array:
    """Return the multipliers (k,) without slack, by the last two of them and their slack."""
    (factors_before, spare_before), (factors, spare) = before, now
    simple = np.where(factors > 0, factors / np.maximum(1 + spare, 1 / _MAX_FACTOR), spare < 0)
    with np.errstate(all="ignore"):  # what comes out is looked at
        slope = (spare - spare_before) / (factors - factors_before)
        found = np.where(np.isfinite(slope) & (slope > 0), factors - spare / slope, simple)
    return np.clip(found, factors / _MAX_FACTOR, _MAX_FACTOR * np.maximum(factors, 1))


def _attempt(estimate: Estimate, counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return the estimate, NaN where covariances are singular."""
    try:
        # The same bits whatever the number of threads; and what comes out is looked at.
        with single_threaded(), np.errstate(all="ignore"):
            return estimate(counts, covariances, previous)
    except np.linalg.LinAlgError:
        return np.full(covariances.shape, np.nan)


def mean_covariance(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return the mean covariance for each component (EII, EEI, by the layout of the covariances)."""
    mean = np.tensordot(counts / counts.sum(), covariances, axes=1)
    return np.broadcast_to(mean, covariances.shape).copy()


def vei(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return variances (k, d) of one shape in own volumes."""
    shape = _normalise(np.tensordot(_inverse_volumes(counts, covariances), covariances, axes=1))
    estimate: Array = (covariances / shape).mean(axis=1)[:, None] * shape
    return estimate


def evi(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return variances (k, d) of own shapes in one volume."""
    volumes = _volumes(covariances)
    estimate: Array = covariances * (counts @ volumes / counts.sum() / volumes)[:, None]
    return estimate


def vee(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of one shape and orientation in own volumes."""
    shape = np.tensordot(_inverse_volumes(counts, covariances), covariances, axes=1)
    shape = shape / _volumes(shape[None])
    volumes = np.trace(_solve(shape, covariances), axis1=1, axis2=2) / len(shape)
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
    return _compose(axes, mean_covariance(counts, variances, None))


def vev(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of own orientations and volumes in one shape."""
    variances, axes = _principal(covariances)
    return _compose(axes, vei(counts, variances, None))


def eve(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of own shapes in one orientation and volume."""
    axes = common_axes(counts, covariances, previous, equal_volumes=True)
    variances = np.diagonal(along(axes, covariances), axis1=1, axis2=2)
    return _compose(axes, evi(counts, variances, None))


def vve(counts: Array, covariances: Array, previous: Array | None) -> Array:
    """Return covariances (k, d, d) of own shapes and volumes in one orientation."""
    axes = common_axes(counts, covariances, previous, equal_volumes=False)
    return _compose(axes, np.diagonal(along(axes, covariances), axis1=1, axis2=2))


def _inverse_volumes(counts: Array, covariances: Array) -> Array:
    """Return the weights N_k / lambda_k, (k,), of the sum of S_k that has the most likely common shape.

    It is the minimum over u = log lambda of the convex

        d sum_k N_k u_k / N + log det sum_k N_k exp(-u_k) S_k / N

    by Newton's method; S_k (k, d, d), or (k, d) where they are diagonal. The volumes of components of no rows are 1.
    """
    alive = counts > 0
    shares, own = counts[alive] / counts.sum(), covariances[alive]
    logs, step, level = np.log(_traces(own) / own.shape[1]), np.zeros(len(shares)), np.inf
    for _ in range(_MAX_ROUNDS):
        there = float(own.shape[1] * (shares @ (logs + step) + np.log(_volumes(_sum(shares, logs + step, own)))[0]))
        if there > level:  # Newton's method went too far, or rounding alone is left
            step = step / 2
            if np.abs(step).max() <= _GRADIENT_TOLERANCE:
                break
            continue
        logs, level = logs + step, there
        gradient, step = _newton_step(shares, logs, own)
        if not np.isfinite(level) or np.abs(gradient).max() <= _GRADIENT_TOLERANCE:
            break
    found = np.zeros(len(counts))
    found[alive] = shares * np.exp(-logs)
    return found


def _sum(shares: Array, logs: Array, own: Array) -> Array:
    """Return sum_k N_k exp(-u_k) S_k / N, as a stack of one."""
    total: Array = np.tensordot(shares * np.exp(-logs), own, axes=1)[None]
    return total


def _newton_step(shares: Array, logs: Array, own: Array) -> tuple[Array, Array]:
    """Return the gradient by the log-volumes (k,) and the step, of which what all have in common is 0."""
    relative = _solve(_sum(shares, logs, own)[0], own) * for_each(shares * np.exp(-logs), own)
    traces, flat = _traces(relative), relative.reshape(len(relative), -1)
    other = flat if relative.ndim == 2 else np.swapaxes(relative, 1, 2).reshape(len(relative), -1)
    hessian = np.diag(traces) - flat @ other.T + traces.mean() / len(traces)
    gradient = own.shape[1] * shares - traces
    step = -np.linalg.solve(hessian, gradient)
    return gradient, step * min(1.0, _MAX_STEP / max(float(np.abs(step).max()), _MAX_STEP))


def _solve(matrix: Array, others: Array) -> Array:
    """Return M^-1 S_k, (k, d, d), or the ratios (k, d) of diagonals."""
    if matrix.ndim == 1:
        ratios: Array = others / matrix
        return ratios
    return np.linalg.solve(matrix, others).astype(np.float64, copy=False)


def _traces(matrices: Array) -> Array:
    traces: Array = np.einsum("kii->k", matrices) if matrices.ndim == 3 else matrices.sum(axis=1)
    return traces


def _volumes(covariances: Array) -> Array:
    """Return det^(1/d) of covariances (k, d, d), or of diagonal ones (k, d), (k,)."""
    if covariances.ndim == 3:
        covariances = np.diagonal(np.linalg.cholesky(covariances), axis1=1, axis2=2) ** 2
    volumes: Array = np.exp(np.log(covariances).mean(axis=1))
    return volumes


def _normalise(variances: Array) -> Array:
    normalised: Array = variances / np.exp(np.log(variances).mean())
    return normalised


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


def _compose(axes: Array, variances: Array) -> Array:
    """Return D diag(variances_k) D^T, (k, d, d), of axes (d, d) or (k, d, d)."""
    product = (axes * variances[:, None, :]) @ np.swapaxes(axes, -1, -2)
    symmetric: Array = (product + np.swapaxes(product, 1, 2)) / 2
    return symmetric
