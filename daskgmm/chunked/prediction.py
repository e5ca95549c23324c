"""The prediction pass: each task scores its block and hands the results on where it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.coefficients import Coefficients, prepare_prediction
from ..core.expectation import Prediction, Wanted, predict
from ..core.features import Array
from ..core.mixture import Mixture
from .reduction import compute, map_reduce
from .rows import Region, Rows, name_row, place_in

Write = Callable[[Region, Prediction], None]


def predict_to(rows: Rows, mixture: Mixture, wanted: Wanted, write: Write) -> NDArray[np.int64]:
    """Score all rows, calling write(region of the grid, prediction) in the task of each block; return the label counts.

    `write` must bear being pickled, and being called again for a region when a worker is lost. Raises DataError where
    the rows do not fit the mixture.
    """
    shared = (prepare_prediction(mixture), mixture.n_components, wanted, write)
    (total,) = compute(map_reduce(rows, _predict_chunk, _add, shared, rows.regions, "predict"))
    counts: NDArray[np.int64] = total
    return counts


def _predict_chunk(
    block: NDArray[Any],
    weights: NDArray[Any] | None,
    shared: tuple[Coefficients, int, Wanted, Write],
    region: Region,
) -> NDArray[np.int64]:
    coefficients, n_components, wanted, write = shared
    prediction = predict(block, coefficients, n_components, wanted, lambda row: name_row(place_in(region, row)))
    write(region, prediction)
    return np.bincount(prediction.labels, minlength=n_components)


def _add(parts: list[Array]) -> Array:
    return reduce(np.add, parts)
