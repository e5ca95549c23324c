"""The row weights that a user hands to the estimator, as an array over the grid of the rows."""

from __future__ import annotations

import sys
from typing import Any

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from numpy.typing import NDArray

from ..core.arrays.blocks import is_real
from ..errors import DataError


def row_weights(weights: Any, grid: tuple[int, ...], labelled: Any = None) -> NDArray[Any] | da.Array:
    """Return weights (*grid) of real numbers from an array of that shape, or from one number for all rows.

    A DataArray goes by its dimensions and coordinates if `labelled`, a DataArray (*grid), has those of the rows; it may
    lack some dimensions. Raises DataError for anything else.
    """
    if is_xarray(weights):
        weights = by_dimension(weights, labelled, "sample_weight")
    if hasattr(weights, "to_dask_array"):
        weights = weights.to_dask_array()
    refuse_mask(weights, "sample_weight", "fill them with 0")
    values = with_known_chunks(weights) if isinstance(weights, da.Array) else _numbers(weights)
    if not is_real(values.dtype):
        raise DataError(f"sample_weight is of dtype {values.dtype}: give numbers of 0 or more")
    if values.ndim == 0:
        return da.full(grid, np.asarray(values)[()])
    if values.shape != grid:
        raise DataError(f"sample_weight has the shape {values.shape}, but the rows have {grid}: give one for each row")
    return values


def refuse_mask(data: Any, name: str, remedy: str) -> Any:
    """Return the data, of numpy.ma the values if none is masked; raise DataError if some are, or may be (dask)."""
    if isinstance(data, list | tuple):
        for one in data:
            refuse_mask(one, f"a row of {name}", remedy)
    if isinstance(data, np.ma.MaskedArray):
        if not np.ma.getmaskarray(data).any():
            return data.data
        raise DataError(f"{name} is a masked array with {int(np.ma.getmaskarray(data).sum())} masked values: {remedy}")
    if isinstance(data, da.Array) and isinstance(meta_from_array(data), np.ma.MaskedArray):
        raise DataError(f"{name} is a dask array of masked arrays: {remedy}")
    return data


def is_xarray(data: Any) -> bool:
    """Return whether the data are a Dataset or a DataArray: a caller who has one has imported xarray."""
    module = sys.modules.get("xarray")
    return module is not None and isinstance(data, (module.Dataset, module.DataArray))


def with_known_chunks(array: da.Array) -> da.Array:
    """Return the array with its chunk sizes known, which costs a pass where they are not."""
    if any(np.isnan(size) for sizes in array.chunks for size in sizes):
        array = array.copy().compute_chunk_sizes()
    return array


def _numbers(weights: Any) -> NDArray[Any]:
    """Return weights in memory as an array; objects, among them pandas' nullable types, as float64."""
    try:
        values = np.asarray(weights)
        return values.astype(np.float64) if values.dtype.kind == "O" else values
    except (TypeError, ValueError) as error:
        raise DataError(f"sample_weight is not an array of numbers: {error}") from None


def by_dimension(values: Any, labelled: Any, name: str) -> Any:
    """Return the values of a DataArray, one for each row, in the order of the rows' dimensions; `name` for messages.

    Raises DataError for other dimensions or coordinates than those of the rows, where these have any.
    """
    import xarray as xr  # an optional backend: callers with its objects have it

    if isinstance(values, xr.Dataset):
        raise DataError(f"{name} is a Dataset: give one of its variables")
    if labelled is None:
        return values.data
    other = [dim for dim in values.dims if dim not in labelled.dims]
    if other:
        raise DataError(f"{name} has the dimension {other[0]!r}, but the rows have {labelled.dims}: reduce it")
    try:
        xr.align(labelled, values, join="exact", copy=False)
    except ValueError as error:
        raise DataError(
            f"{name} and the rows differ in their coordinates ({str(error).splitlines()[0]}): give it the "
            "coordinates of the rows (reindex_like), or its values alone"
        ) from None
    return values.broadcast_like(labelled).transpose(*labelled.dims).data
