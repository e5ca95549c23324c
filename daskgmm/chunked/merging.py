"""The merge tree of all rows, from passes that sum what the merges are decided by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays.types import Array
from ..core.kernels.natural_parameters import Coefficients, prepare_prediction
from ..core.mixture.mixture import Mixture
from ..core.scoring.merging import MergeTree, Pair, entropy_gains, merge_by_entropy
from ..core.scoring.prediction import PredictionOutputs, predict
from ..errors import DataError
from .map_reduce import add_up, map_reduce
from .prediction import check_n_features, check_weights, compute_pass
from .rows import Region, Rows, place_in

_GUIDE_ROWS = 2**14  # drawn from the mixture, to expect what the rows decide
_TILE_NUMBERS = 2**17  # responsibilities that are held at once
_PROBABILITIES = PredictionOutputs(probabilities=True)


def merge_components(rows: Rows, mixture: Mixture) -> MergeTree:
    """Return the merge tree of the mixture's components by the entropy of their responsibilities for the rows.

    The noise, if there is any, stays as it is: the entropy is that of the Gaussians among themselves. One pass over the
    rows, and another one for each merge that rows drawn from the mixture do not foretell. Rows of weight 0 are absent.
    Raises DataError where the rows do not fit the mixture.
    """
    check_n_features(rows.n_features, mixture.n_features)
    coefficients = prepare_prediction(mixture, missing=rows.missing)
    gaussians = mixture if mixture.noise is None else mixture.take(range(mixture.n_components))
    drawn, _ = gaussians.sample(_GUIDE_ROWS, np.random.default_rng(0))
    regions = dict(enumerate(rows.regions))

    def sum_guide(pairs: Sequence[Pair]) -> Array:
        return _sum_gains(drawn, None, (coefficients, mixture.n_components, pairs), (slice(0, len(drawn)),))[:-1]

    def sum_gains(pairs: Sequence[Pair]) -> Array:
        shared = (coefficients, mixture.n_components, tuple(pairs))
        sums: Array = compute_pass(rows, map_reduce(rows, _sum_gains, add_up, shared, regions, "merge"))
        if sums[-1] == 0:
            raise DataError(f"there are no rows of positive weight among {rows.n_rows:,}: components cannot be merged")
        return sums[:-1]

    return merge_by_entropy(mixture.n_components, sum_gains, sum_guide)


def _sum_gains(
    block: NDArray[Any],
    weights: NDArray[Any] | None,
    shared: tuple[Coefficients, int, Sequence[Pair]],
    region: Region,
) -> Array:
    """Return the gain of each pair, and last the weight of the rows."""
    coefficients, n_components, pairs = shared
    step, gains, weight = max(_TILE_NUMBERS // n_components, 1), np.zeros(len(pairs)), 0.0
    for at in range(0, len(block), step):
        own = slice(at, at + step)
        own_weights = None if weights is None else check_weights(weights[own], region, at)
        place = lambda row, at=at: place_in(region, at + row)  # noqa: E731 # of this tile
        resp = predict(block[own], own_weights, coefficients, n_components, _PROBABILITIES, place).probabilities
        assert resp is not None
        if own_weights is not None:
            resp, own_weights = resp[own_weights > 0], own_weights[own_weights > 0]
        gains += entropy_gains(np.asarray(resp, np.float64), own_weights, pairs)
        weight += float(len(resp) if own_weights is None else own_weights.sum())
    return np.append(gains, weight)
