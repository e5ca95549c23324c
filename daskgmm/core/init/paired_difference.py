"""By how much two mixtures differ on rows, and how surely: the difference of their log-densities row by row.

Mixtures of the same rows agree on most of them, so the standard error of their difference is a small part of that of
each level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays.types import Array
from ..em.e_step import Expectation
from ..kernels.natural_parameters import prepare_prediction
from ..mixture.mixture import Mixture
from ..scoring.prediction import PredictionOutputs, predict

_N_STANDARD_ERRORS = 2.0  # standard errors, that a difference is trusted from


def log_density(rows: Expectation, mixture: Mixture) -> Array:
    """Return log p of each of the rows, (n,)."""
    outputs, coefficients = (
        PredictionOutputs(log_density=True),
        prepare_prediction(mixture, missing=rows.data_summary.has_gaps),
    )
    density = predict(rows.rows, rows.row_weights, coefficients, mixture.n_components, outputs).log_density
    assert density is not None, "it was asked for"
    return density


def mean_log_density(rows: Expectation, mixture: Mixture) -> float:
    """Return the weighted mean of log p over the rows, 0 if all weights are; rows of weight 0 may hold anything."""
    weights = rows.weights
    total = np.where(weights > 0, log_density(rows, mixture), 0.0) @ weights
    return float(total / weights.sum()) if weights.any() else 0.0


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows, and the log-densities of a mixture that others are compared with."""

    rows: Expectation
    density: Array  # (n,)
    share: float = 0.0  # of the rows about which is asked, that these are

    @classmethod
    def of(cls, rows: Expectation, mixture: Mixture, share: float = 0.0) -> Comparison:
        return cls(rows, log_density(rows, mixture), share)

    def may_be_better(self, mixture: Mixture, gain: float = 0.0) -> bool:
        """Return whether a mixture may be better by `gain`, nats per row, on all rows of which these are a part."""
        weights = self.rows.weights
        difference = np.where(weights > 0, log_density(self.rows, mixture) - self.density, 0.0)
        mean = np.average(difference, weights=weights)
        variance = np.average((difference - mean) ** 2, weights=weights) * (weights**2).sum() / weights.sum() ** 2
        return bool(mean + _N_STANDARD_ERRORS * np.sqrt((1 - self.share) * variance) >= gain)
