"""The prediction pass: each task scores its block and hands the results on where it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, Literal

import dask.array as da
import numpy as np
from dask.delayed import delayed
from numpy.typing import NDArray

from ..core.coefficients import Coefficients, prepare_prediction
from ..core.expectation import Prediction, Wanted, predict
from ..core.features import Array
from ..core.mixture import Mixture
from ..errors import DataError
from .reduction import compute, map_reduce
from .rows import Region, Rows, name_row, place_in

Write = Callable[[Region, Prediction], None]


def predict_to(rows: Rows, mixture: Mixture, wanted: Wanted, write: Write) -> NDArray[np.int64]:
    """Score all rows, calling write(region of the grid, prediction) in the task of each block; return the label counts.

    `write` must bear being pickled, and being called again for a region when a worker is lost. Raises DataError where
    the rows do not fit the mixture.
    """
    _check_features(rows.n_features, mixture)
    shared = (prepare_prediction(mixture), mixture.n_components, wanted, write)
    (total,) = compute(map_reduce(rows, _predict_chunk, _add, shared, rows.regions, "predict"))
    counts: NDArray[np.int64] = total
    return counts


def _check_features(n_features: int, mixture: Mixture) -> None:
    if n_features != mixture.n_features:
        raise DataError(f"the data have {n_features} features, but the model was fitted on {mixture.n_features}")


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


Result = Literal["labels", "probabilities", "log_density"]


def predict_lazily(array: da.Array, mixture: Mixture, result: Result) -> da.Array:
    """Return one result of an array (*grid, d) as a lazy array with the same chunks over the grid.

    labels (*grid) int64, probabilities (*grid, k) or log_density (*grid). Chunk sizes may be unknown. Raises DataError
    where the features do not fit the mixture.
    """
    _check_features(array.shape[-1], mixture)
    array = array.rechunk({array.ndim - 1: -1})
    coefficients = delayed(prepare_prediction(mixture), pure=False)
    k, features = mixture.n_components, array.ndim - 1
    by_component = result == "probabilities"
    dtype = np.dtype(np.int64 if result == "labels" else np.float64)
    shape = {"chunks": (*array.chunks[:-1], (k,))} if by_component else {"drop_axis": features}
    meta = np.empty((0,) * (array.ndim if by_component else features), dtype)
    scored: da.Array = da.map_blocks(_score_block, array, coefficients, k, result, dtype=dtype, meta=meta, **shape)
    return scored


def _score_block(block: NDArray[Any], coefficients: Coefficients, n_components: int, result: Result) -> NDArray[Any]:
    wanted = Wanted(probabilities=result == "probabilities", log_density=result == "log_density")
    flat = np.asarray(block).reshape(-1, block.shape[-1])
    values: NDArray[Any] = getattr(predict(flat, coefficients, n_components, wanted), result)
    shaped = values.reshape(block.shape[:-1] + values.shape[1:])
    return shaped.astype(np.int64) if result == "labels" else shaped
