"""How new rows differ from those that a model was fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays.types import Array
from ..mixture.mixture import Mixture

_CLEAR_ERRORS = 5.0  # standard errors: a drift beyond them is no chance
_MOVED_SHARE = 0.1  # of its weight, by which a component has moved


@dataclass(frozen=True)
class DensityMoments:
    """Weight, mean and scatter of the log-densities of rows; they merge by `+` (Chan, Golub and LeVeque 1979)."""

    n_rows: int = 0  # of positive weight
    weight_sum: float = 0.0
    mean: float = 0.0  # nats
    scatter: float = 0.0  # sum_n weight_n (log p(x_n) - mean)^2

    @classmethod
    def of(cls, density: Array, weights: Array) -> DensityMoments:
        """Return the moments of log-densities (n,) of rows with these weights, all positive."""
        if not len(density):
            return cls()
        total = float(weights.sum())
        mean = float(weights @ density) / total
        return cls(len(density), total, mean, float(weights @ (density - mean) ** 2))

    def __add__(self, other: DensityMoments) -> DensityMoments:
        total = self.weight_sum + other.weight_sum
        share, way = (other.weight_sum / total if total > 0 else 0.0), other.mean - self.mean
        scatter = self.scatter + other.scatter + self.weight_sum * share * way**2
        return DensityMoments(self.n_rows + other.n_rows, total, self.mean + share * way, scatter)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean."""
        return float(np.sqrt(self.scatter / self.weight_sum / self.n_rows)) if self.n_rows else 0.0


@dataclass(frozen=True)
class Drift:
    """How new rows differ from those that a model was fitted to."""

    mean_log_density: float  # of the new rows under the old model less that of the old rows, nats per row
    standard_errors: float  # the same in standard errors of the mean of the new rows
    weights_moved: tuple[int, ...]  # components whose weight changed by more than a tenth
    emptied: tuple[int, ...]  # components that have no rows any more
    weights_before: tuple[float, ...] = ()  # of all components
    weights_after: tuple[float, ...] = ()
    noise_before: float | None = None  # weight of the noise, if there is any
    noise_after: float | None = None

    @property
    def refit_advised(self) -> bool:
        """Whether the new rows are of another source: the old rows should be read again."""
        return abs(self.standard_errors) > _CLEAR_ERRORS or bool(self.emptied)


def drift(density: DensityMoments, level: float, old: Mixture, new: Mixture) -> Drift:
    """Return the drift of rows whose log-densities under the old mixture are these, where old rows have the mean level.

    `new` is the mixture that they have led to.
    """
    gap, error = density.mean - level, density.standard_error
    moved = np.abs(new.weights - old.weights) > _MOVED_SHARE * old.weights
    return Drift(
        gap,
        gap / error if error > 0 else 0.0,
        tuple(np.flatnonzero(moved).tolist()),
        new.empty,
        tuple(old.weights.tolist()),
        tuple(new.weights.tolist()),
        None if old.noise is None else old.noise.weight,
        None if new.noise is None else new.noise.weight,
    )
