"""Anderson acceleration of EM: from its last few steps, where they lead to.

EM is a fixed point iteration x -> g(x) that converges linearly, and slowly where components overlap. With the residuals
f_i = g_i - x_i of the last steps, the next point is

    x = g_m - sum_j gamma_j (g_{j+1} - g_j),      gamma = argmin | f_m - sum_j gamma_j (f_{j+1} - f_j) |

(Walker and Ni 2011; Henderson and Varadhan 2019, DAAREM). Whether the log-likelihood has grown there is for the loop to
see; if not, it continues from g_m.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import lstsq

from ...blas import single_threaded
from ..arrays.types import Array
from ..mixture.mixture import Mixture, hold

MAX_MEMORY = 5  # differences of steps that are combined
_AT_ONCE = 2**16  # numbers of covariances, of which coordinates are computed together
_RIDGE = 1e-6  # relative, of the least squares: differences become parallel near the limit


@dataclass(frozen=True, eq=False)
class Step:
    """A step of EM."""

    mixture: Mixture  # that was evaluated
    image: Mixture  # to which its statistics led
    suggested: bool = False  # by the sample: steps of two kinds are not combined


def extrapolate(steps: Sequence[Step]) -> tuple[Mixture, float] | None:
    """Return the extrapolation of the steps, oldest first, and its estimated gain in nats per row.

    The step of EM is the gradient of the mean log-likelihood in units of the complete-data information: half its
    product with the way to the maximum is what is gained there, up to third order. None where the steps are too few,
    components are empty, or numbers on the way are not finite.
    """
    if len(steps) < 2 or any((one.all_weights == 0).any() for step in steps for one in (step.mixture, step.image)):
        return None
    # The same bits whatever the number of threads; and what is not finite is seen below.
    with single_threaded(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        target = _extrapolate(steps)
    return target if target is not None and np.isfinite(target[0].covariances).all() else None


def _extrapolate(steps: Sequence[Step]) -> tuple[Mixture, float] | None:
    at = steps[-1].image
    chart = _FactorChart(at) if at.structure.layout.n_factors else _Chart(at)
    points = chart.points([step.mixture for step in steps])
    images = chart.points([step.image for step in steps])
    residuals = images - points
    if not np.isfinite(images).all() or not np.isfinite(points).all():
        return None
    gamma = _combination(np.diff(residuals, axis=0), residuals[-1])
    target = images[-1] - gamma @ np.diff(images, axis=0)
    return chart.mixture(target), float(residuals[-1] @ (target - points[-1])) / 2


def _combination(differences: Array, last: Array) -> Array:
    """Return the factors of the differences (m, n) that come nearest to `last` (n,), by ridge regression."""
    gram = differences @ differences.T
    ridge = _RIDGE * np.trace(gram) / len(gram) + np.finfo(float).tiny
    factors: Array = lstsq(gram + ridge * np.eye(len(gram)), differences @ last)[0]
    return factors


class _Chart:
    """Coordinates of mixtures, free of constraints, in which the complete-data information at one mixture is I.

    These are the logarithms of the weights, and seen from the mean and the Cholesky factor of each component at that
    mixture: its mean, and its own factor with the diagonal's logarithms.
    """

    def __init__(self, at: Mixture) -> None:
        k, d = at.means.shape
        self._at, self._weight_root = at, np.sqrt(at.all_weights)
        self._root = self._weight_root[:k]
        self._dense = at.structure.layout.dense
        (self._factors,) = self._factors_of([at])
        whitening = np.linalg.inv(self._factors) if self._dense else 1 / self._factors
        self._whitening = np.broadcast_to(whitening, (k, *whitening.shape[1:]))
        shared = self._root if at.structure.layout.stacked else np.ones(1)
        self._spread_root = shared[:, None]
        self._diagonal = np.sqrt(2.0 * d / self._factors.shape[-1])
        self._lower = np.tril_indices(d, -1)

    def points(self, mixtures: Sequence[Mixture]) -> Array:
        """Return the coordinates of mixtures, (m, n)."""
        n = max(_AT_ONCE // self._at.covariances.size, 1)
        return np.concatenate([self._points(mixtures[first : first + n]) for first in range(0, len(mixtures), n)])

    def _points(self, mixtures: Sequence[Mixture]) -> Array:
        shares = np.array([one.all_weights for one in mixtures]) / self._at.all_weights
        shifts = np.array([one.means for one in mixtures]) - self._at.means
        factors = self._factors_of(mixtures)
        parts = [self._weight_root * np.log(shares), self._root[:, None] * self._apply(self._whitening, shifts)]
        if self._dense:
            seen = self._whitening[: factors.shape[1]] @ factors
            diagonals = np.log(np.diagonal(seen, axis1=-2, axis2=-1))
            parts += [self._spread_root * self._diagonal * diagonals, self._spread_root * seen[..., *self._lower]]
        else:
            parts.append(self._spread_root * self._diagonal * np.log(factors / self._factors))
        return np.concatenate([part.reshape(len(mixtures), -1) for part in parts], axis=1)

    def mixture(self, point: Array) -> Mixture:
        """Return the mixture of coordinates (n,)."""
        at, (k, d) = self._at, self._at.means.shape
        n_weights = len(self._weight_root)
        log_weights, means, spread = np.split(point, [n_weights, n_weights + k * d])
        weights = at.all_weights * np.exp(log_weights / self._weight_root)
        shift = means.reshape(k, d) / self._root[:, None]
        back = np.broadcast_to(self._factors, (k, *self._factors.shape[1:]))
        covariances = self._covariances(spread.reshape(-1)).reshape(at.covariances.shape)
        moved = replace(at, means=at.means + self._apply(back, shift), covariances=covariances)
        return hold(moved.weigh(weights), at)

    def _covariances(self, spread: Array) -> Array:
        n, d = len(self._factors), self._at.n_features
        if not self._dense:
            deviations: Array = self._factors * np.exp(spread.reshape(n, -1) / (self._spread_root * self._diagonal))
            return deviations**2
        seen = np.zeros_like(self._factors)
        diagonals = spread[: n * d].reshape(n, d) / (self._spread_root * self._diagonal)
        seen[:, np.arange(d), np.arange(d)] = np.exp(diagonals)
        seen[:, *self._lower] = spread[n * d :].reshape(n, -1) / self._spread_root
        factors: Array = self._factors @ seen
        product: Array = factors @ factors.transpose(0, 2, 1)
        return product

    def _factors_of(self, mixtures: Sequence[Mixture]) -> Array:
        """Return Cholesky factors (m, k, d, d), or (m, 1, d, d) of shared ones; or deviations (m, k, d or 1)."""
        covariances, d = np.array([one.covariances for one in mixtures]), self._at.n_features
        if self._dense:
            factors = np.linalg.cholesky(covariances.reshape(len(mixtures), -1, d, d))
            return factors.astype(np.float64, copy=False)
        deviations: Array = np.sqrt(covariances.reshape(len(mixtures), self._at.n_components, -1))
        return deviations

    def _apply(self, maps: Array, vectors: Array) -> Array:
        product: Array = np.einsum("kij,...kj->...ki", maps, vectors) if self._dense else maps * vectors
        return product


class _FactorChart:
    """Coordinates of mixtures of factor analysers, in which the information of rows and factors at one mixture is I.

    These are the logarithms of weights and noise, and means and loadings in units of the noise at that mixture.
    """

    def __init__(self, at: Mixture) -> None:
        self._at, self._root = at, np.sqrt(at.weights)
        self._noise = at.covariances[:, :, 0]
        self._unit = (self._root[:, None] / np.sqrt(self._noise))[:, :, None]

    def points(self, mixtures: Sequence[Mixture]) -> Array:
        """Return the coordinates of mixtures, (m, n)."""
        return np.array([self._point(one) for one in mixtures])

    def mixture(self, point: Array) -> Mixture:
        """Return the mixture of coordinates (n,)."""
        at, (k, d) = self._at, self._at.means.shape
        log_weights, spread, location = np.split(point, [k, k + k * d])
        weights = at.weights * np.exp(log_weights / self._root)
        noise = self._noise * np.exp(np.sqrt(2) * spread.reshape(k, d) / self._root[:, None])
        location = location.reshape(k, d, -1) / self._unit
        covariances = np.concatenate([noise[:, :, None], location[:, :, 1:]], axis=2)
        return Mixture(at.covariance_type, weights / weights.sum(), at.means + location[:, :, 0], covariances)

    def _point(self, mixture: Mixture) -> Array:
        noise, loadings = mixture.covariances[:, :, 0], mixture.covariances[:, :, 1:]
        weights = self._root * np.log(mixture.weights / self._at.weights)
        spread = self._root[:, None] * np.log(noise / self._noise) / np.sqrt(2)
        location = np.concatenate([(mixture.means - self._at.means)[:, :, None], loadings], axis=2)
        return np.concatenate([weights, spread.ravel(), (self._unit * location).ravel()])
