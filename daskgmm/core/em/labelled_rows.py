"""Labelled rows: rows whose component is known, as the statistics that they add to each pass.

The responsibility of a labelled row is 1 for its component whatever the mixture, so its sums are the same in all
passes: they are pseudo-statistics T0, which the M-step takes beside those of all other rows. A row of class c adds
log(w_c N(x|c)) to the log-likelihood, and nothing to the entropy. The sums of a row with gaps are expected ones, which
change with the mixture: such rows are part of each pass (`e_step.expect_labelled`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...errors import ConfigurationError
from ..arrays.types import Array, for_each
from ..kernels.low_rank import LowRank
from ..kernels.natural_parameters import CentredParams, Coefficients, FeatureMapParams
from ..mixture.feature_map import FeatureMap, Moments, pack_sums
from ..mixture.low_rank import LABELS_AND_LOW_RANK
from ..mixture.statistics import Statistics

UNKNOWN = -1  # label of a row whose component is not known


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Count, mean and covariance of the rows that are labelled with each component."""

    counts: Array  # (k,), sums of row weights; 0 for a component without labelled rows
    means: Array  # (k, d)
    covariances: Array  # (k, d, d), about the means

    @property
    def weight_sum(self) -> float:
        return float(self.counts.sum())

    def scale(self, factor: float) -> LabelledRows:
        """Return the moments of rows of `factor` times the weights."""
        return replace(self, counts=factor * self.counts)

    def sums(self, coefficients: FeatureMapParams | CentredParams) -> Array:
        """Return T0 (k, F), or (k + 1, F) with noise: the sums over the columns that the coefficients have."""
        frame, counts = coefficients.frame, self.counts
        means = frame.to_z(self.means)
        if not isinstance(coefficients, FeatureMapParams):
            means = means - coefficients.mixture.means[: len(means)]
        squares = self.covariances / np.outer(frame.scale, frame.scale) + means[:, :, None] * means[:, None, :]
        second = for_each(counts, squares) * squares
        if coefficients.feature_map is not FeatureMap.FULL:
            second = np.diagonal(second, axis1=1, axis2=2)
        if coefficients.feature_map is FeatureMap.SPHERICAL:
            second = (second @ frame.isotropy_weights)[:, None]
        sums = pack_sums(Moments(counts, counts[:, None] * means, second))
        noise = np.zeros((int(coefficients.has_noise), sums.shape[1]))
        return np.concatenate([sums, noise])

    def add_to(self, statistics: Statistics, coefficients: Coefficients) -> Statistics:
        """Return the statistics of a pass with those of the labelled rows; raise ConfigurationError for low rank."""
        if isinstance(coefficients, LowRank):
            raise ConfigurationError(LABELS_AND_LOW_RANK)
        sums = self.sums(coefficients)
        return replace(
            statistics,
            sums=statistics.sums + sums,
            log_likelihood=statistics.log_likelihood + coefficients.expected_joint(sums),
            weight_sum=statistics.weight_sum + self.weight_sum,
        )


def with_labelled(
    statistics: tuple[Statistics, ...], coefficients: tuple[Coefficients, ...], labelled: LabelledRows | None
) -> tuple[Statistics, ...]:
    """Return the statistics of mixtures with those of the labelled rows, if there are any."""
    if labelled is None:
        return statistics
    return tuple(labelled.add_to(one, own) for one, own in zip(statistics, coefficients, strict=True))
