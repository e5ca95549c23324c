"""The log-densities of new rows under a model that others were fitted to, from a pass over the new ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.kernels.natural_parameters import Coefficients, prepare_prediction
from ..core.mixture.mixture import Mixture
from ..core.scoring.drift import DensityMoments
from .map_reduce import add_up, map_reduce
from .prediction import check_n_features, check_weights, compute_pass, density_strips
from .rows import Region, Rows


def density_moments(rows: Rows, mixture: Mixture) -> DensityMoments:
    """Return the moments of the log-densities of the rows of positive weight; raise DataError if they do not fit."""
    check_n_features(rows.n_features, mixture.n_features)
    shared = (prepare_prediction(mixture, missing=rows.missing), mixture.n_components)
    regions = dict(enumerate(rows.regions))
    total: DensityMoments = compute_pass(rows, map_reduce(rows, _moments_chunk, add_up, shared, regions, "drift"))
    return total


def _moments_chunk(
    block: NDArray[Any], weights: NDArray[Any] | None, shared: tuple[Coefficients, int], region: Region
) -> DensityMoments:
    total = DensityMoments()
    weights = None if weights is None else check_weights(weights, region, 0)
    for density, own_weights in density_strips(block, weights, shared, region):
        counts = np.ones(len(density)) if own_weights is None else own_weights
        counted = counts > 0
        total = total + DensityMoments.of(density[counted], counts[counted])
    return total
