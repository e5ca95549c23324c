"""The M-step: the mixture that maximises the expected log-likelihood of given statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...errors import DataError
from ..arrays.types import NO_MATRIX, for_each
from ..mixture.data_summary import DataSummary
from ..mixture.feature_map import FeatureMap, unpack
from ..mixture.floor import Floor
from ..mixture.layouts import Scatter
from ..mixture.mixture import Mixture, hold
from ..mixture.moments import ComponentMoments
from ..mixture.statistics import Statistics
from .factor_step import factor_moments

EMPTY = 1e-12  # share of the row weight; below it a component's moments are rounding errors


def maximize(
    mixture: Mixture, statistics: Statistics, data_summary: DataSummary, floor: Floor | None = None
) -> Mixture:
    """Return the next mixture from the statistics of rows under `mixture`.

        w_k = N_k / N     mu_k = sum_n r_nk x_n / N_k     Sigma_k = sum_n r_nk (x_n - mu_k)(x_n - mu_k)^T / N_k

    (Dempster, Laird and Rubin 1977), subject to the floor and to what the covariances have in common.
    A component with N_k <= EMPTY N is empty: it keeps its mean and covariance and has the weight 0 from then on. Of the
    noise the sums hold a last row, whose count alone is used.
    """
    return estimate(mixture, component_moments(mixture, statistics, data_summary), floor)


def component_moments(mixture: Mixture, statistics: Statistics, data_summary: DataSummary) -> ComponentMoments:
    """Return count, mean and covariance of the rows of each component; a component without rows has the count 0."""
    frame, structure = data_summary.frame, mixture.structure
    about_rows = statistics.sums.shape[1] == structure.feature_map.n_columns(frame.n_features)
    feature_map = structure.feature_map if about_rows and not statistics.centred else structure.centred_map
    k = mixture.n_components
    counts = statistics.sums[:k, 0]
    noise_count = statistics.sums[k:, 0]  # (1,), or (0,) without noise
    alive = counts > EMPTY * (counts.sum() + noise_count.sum())
    if not alive.any() and noise_count.sum() > 0:
        none, own = np.zeros(k), mixture.covariances
        return ComponentMoments(structure.layout, none, mixture.means, own, float(noise_count.sum()))
    if not alive.any():
        raise DataError(
            "sums over the rows are 0 or not finite: rows of tiny weights lie too far from all others for the type "
            "that is computed in; compute in float64, or leave these rows out by the weight 0"
        )
    if structure.layout.n_factors:
        return factor_moments(mixture, statistics, data_summary, alive)
    _, first, second = unpack(feature_map, statistics.sums[:k], frame.n_features)
    safe = np.where(alive, counts, 1.0)
    shift = first / safe[:, None]
    origins = frame.to_z(mixture.means) if statistics.centred else np.zeros_like(shift)
    total_second = data_summary.total_covariance if feature_map is FeatureMap.LINEAR else NO_MATRIX
    scatter = Scatter(counts, shift, second / for_each(safe, second), total_second)
    own = structure.layout.within(scatter, frame)
    if structure.layout.stacked:
        own = np.where(for_each(alive, own), own, mixture.covariances)
    means = np.where(alive[:, None], frame.to_x(origins + shift), mixture.means)
    return ComponentMoments(structure.layout, np.where(alive, counts, 0.0), means, own, float(noise_count.sum()))


def estimate(mixture: Mixture, moments: ComponentMoments, floor: Floor | None = None) -> Mixture:
    """Return the most likely mixture of rows with these moments; `mixture` is the one before.

    Raises DataError if all rows belong to the noise.
    """
    if moments.noise_count > 0 and not moments.counts.any():
        raise DataError(
            "all rows belong to the noise: its density 1 / V exceeds that of every component; give a larger hypervolume"
        )
    covariances = mixture.structure.estimate(moments.counts, moments.covariances, mixture.covariances, floor)
    found = replace(mixture, means=moments.means, covariances=covariances)
    counts = moments.counts if mixture.noise is None else np.append(moments.counts, moments.noise_count)
    return hold(found.weigh(counts), mixture)
