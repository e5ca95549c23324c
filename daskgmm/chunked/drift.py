"""The log-densities of new rows under a model that others were fitted to, from a pass over the new ones."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.kernels.natural_parameters import Coefficients, prepare_prediction
from ..core.mixture.mixture import Mixture
from ..core.scoring.drift import DensityMoments
from ..core.scoring.prediction import Wanted, predict
from .map_reduce import map_reduce
from .prediction import check_features, check_weights, compute_pass
from .rows import Region, Rows, place_in

_ROWS = 2**17  # scored at once


def density_moments(rows: Rows, mixture: Mixture) -> DensityMoments:
    """Return the moments of the log-densities of the rows of positive weight; raise DataError if they do not fit."""
    check_features(rows.n_features, mixture)
    shared = (prepare_prediction(mixture, missing=rows.missing), mixture.n_components)
    regions = dict(enumerate(rows.regions))
    total: DensityMoments = compute_pass(rows, map_reduce(rows, _moments_chunk, _combine, shared, regions, "drift"))
    return total


def _moments_chunk(
    block: NDArray[Any], weights: NDArray[Any] | None, shared: tuple[Coefficients, int], region: Region
) -> DensityMoments:
    total = DensityMoments()
    for at in range(0, len(block), _ROWS):
        own = slice(at, at + _ROWS)
        own_weights = None if weights is None else check_weights(weights[own], region, at)
        place = lambda row, at=at: place_in(region, at + row)  # noqa: E731 # of this strip
        density = predict(block[own], own_weights, *shared, Wanted(log_density=True), place).log_density
        assert density is not None
        own_weights = np.ones(len(density)) if own_weights is None else own_weights
        counted = own_weights > 0
        total = total + DensityMoments.of(density[counted], own_weights[counted])
    return total


def _combine(parts: list[DensityMoments]) -> DensityMoments:
    return reduce(add, parts)
