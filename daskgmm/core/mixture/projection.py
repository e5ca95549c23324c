"""The projection of rows on principal components of their scaled columns: y = axes^T (x - centre) / scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...blas import single_threaded
from ...errors import ConfigurationError, DataError
from ..arrays.blocks import blocks, native_dtype
from ..arrays.types import Array
from .frame import Frame
from .mixture import Mixture

_MIN_VARIANCE = 1e-10  # of an axis, in units of that of the first one: less is rounding
_POWER_STEPS = 4
_MORE_AXES = 10  # that are followed beside those that are asked for
_FIRST_AXES = 64  # that are tried first if their number is open


@dataclass(frozen=True, eq=False)
class Projection:
    """Where rows of d columns are projected to: p principal components of the columns in units of their deviations."""

    centre: Array  # (d,), mean of all rows
    scale: Array  # (d,), standard deviations
    axes: Array  # (d, p), orthonormal columns, that of the largest variance first
    residual: Array  # (d,), variance of each scaled column that the axes leave out

    @property
    def n_columns(self) -> int:
        """Number of original columns, d."""
        return int(self.axes.shape[0])

    @property
    def n_features(self) -> int:
        """Number of principal components, p."""
        return int(self.axes.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the principal components."""
        return tuple(f"pc{i}" for i in range(self.n_features))

    def project(self, rows: NDArray[np.number]) -> NDArray[np.floating]:
        """Return rows (n, d) in the coordinates of the projection, (n, p), in the float type that holds their values.

        Products are float64. What is not finite in a row makes all of its coordinates NaN or infinite.
        """
        result = np.empty((len(rows), self.n_features), self.dtype(rows.dtype))
        at = 0
        with single_threaded(), np.errstate(over="ignore", invalid="ignore"):
            for block, _ in blocks(rows, None):
                result[at : at + len(block)] = ((block - self.centre) / self.scale) @ self.axes
                at += len(block)
        return result

    @staticmethod
    def dtype(dtype: DTypeLike) -> np.dtype[np.floating]:
        """Return the type of projected rows of a type."""
        return native_dtype(np.dtype(dtype))

    def restore(self, points: Array) -> Array:
        """Return points (..., p) of the projection as points (..., d) in the units of the columns."""
        restored: Array = self.centre + self.scale * (points @ self.axes.T)
        return restored

    def marginals(self, mixture: Mixture) -> Mixture:
        """Return means and variances of the original columns in a mixture of the projection; no covariances.

        A column's variance in a component is that of its projection and what the axes leave out of it in all rows, so
        that the law of total variance holds.
        """
        spread = np.einsum("ip,kpq,iq->ki", self.axes, mixture.matrices().dense, self.axes, optimize=True)
        means = self.restore(mixture.means)
        variances = np.broadcast_to(self.scale**2 * (spread + self.residual), means.shape)
        return Mixture("diag", mixture.weights, means, variances)


def check_not_reduced(projection: Projection | None) -> None:
    """Raise ConfigurationError if a mixture is one of a projection, which has no marginals or conditionals."""
    if projection is not None:
        raise ConfigurationError(
            "the mixture is one of principal components, so nothing is known of some features given others: fit it "
            "without reduce"
        )


@dataclass(frozen=True)
class Breadth:
    """How many principal components are taken: a number of them, or as many as hold a share of the variance."""

    n_features: int | None
    share: float = 1.0

    def enough(self, variances: Array, total: float) -> int | None:
        """Return the number of axes to take, by their falling variances; None if more must be known."""
        if self.n_features is not None:
            return self.n_features if len(variances) >= self.n_features else None
        shares = np.cumsum(variances) / total
        reached = np.flatnonzero(shares >= self.share)
        return int(reached[0]) + 1 if len(reached) else None


def project_on_scatter(centre: Array, frame: Frame, correlations: Array, breadth: Breadth) -> Projection:
    """Return the projection on the leading axes of the correlations (d, d) of all rows.

    Raises DataError if the rows vary in fewer directions.
    """
    with single_threaded():
        variances, axes = np.linalg.eigh(correlations)
    return _of_axes(centre, frame, axes[:, ::-1], variances[::-1], np.diagonal(correlations), breadth)


def project_on_rows(
    frame: Frame, rows: NDArray[np.number], row_weights: NDArray[np.number] | None, breadth: Breadth, seed: int
) -> Projection:
    """Return the projection on the leading axes of a sample of rows (m, d), found by random directions.

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1); if more than half of all
    directions are needed, an eigenproblem of all of them. Raises DataError as `project_on_scatter`.
    """
    scaled = frame.to_z(np.asarray(rows, dtype=np.float64))
    if row_weights is not None:
        scaled *= np.sqrt(row_weights / row_weights.mean())[:, None]
    scaled /= np.sqrt(len(scaled))
    diagonal = np.einsum("ni,ni->i", scaled, scaled)
    n_axes = breadth.n_features or _FIRST_AXES
    with single_threaded():
        while 2 * n_axes < min(scaled.shape):
            axes, variances = _leading_axes(scaled, n_axes, seed)
            if breadth.enough(variances, float(diagonal.sum())) is not None:
                return _of_axes(frame.centre, frame, axes, variances, diagonal, breadth)
            n_axes *= 2
    return project_on_scatter(frame.centre, frame, scaled.T @ scaled, breadth)


def _leading_axes(scaled: Array, n_axes: int, seed: int) -> tuple[Array, Array]:
    """Return the leading axes (d, n_axes) of rows, and the variances along them."""
    directions = np.random.default_rng([seed, 2]).standard_normal((scaled.shape[1], n_axes + _MORE_AXES))
    for _ in range(_POWER_STEPS):
        directions, _ = np.linalg.qr(scaled.T @ (scaled @ directions))
    _, values, rotation = np.linalg.svd(scaled @ directions, full_matrices=False)
    return (directions @ rotation.T)[:, :n_axes], values[:n_axes] ** 2


def _of_axes(
    centre: Array, frame: Frame, axes: Array, variances: Array, diagonal: Array, breadth: Breadth
) -> Projection:
    """Return the projection on the first of the axes (d, m), which have these variances."""
    n_directions = int(np.count_nonzero(variances > _MIN_VARIANCE * variances[0]))
    if not n_directions:
        raise DataError("all rows are the same, so they have no principal components: leave reduce out, or take others")
    n_features = breadth.enough(variances, float(diagonal.sum())) or n_directions
    if n_features > n_directions and breadth.n_features is not None:
        raise DataError(
            f"reduce asks for {n_features} principal components, but the rows vary in {n_directions} directions only: "
            f"set its features to {n_directions} at most"
        )
    n_features = min(n_features, n_directions)
    taken = axes[:, :n_features]
    largest = taken[np.argmax(np.abs(taken), axis=0), np.arange(n_features)]
    taken = np.ascontiguousarray(taken * np.where(largest < 0, -1.0, 1.0))
    residual = np.maximum(diagonal - taken**2 @ variances[:n_features], 0.0)
    return Projection(centre, frame.scale, taken, residual)
