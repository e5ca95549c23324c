"""What a user hands to the estimator, as rows, and results back in the form that was handed in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np

from .chunked.rows import Rows

Wrap = Callable[[da.Array], Any]


@dataclass(frozen=True, eq=False)
class Input:
    """An array (*grid, d) that is read where it is computed, and the way back."""

    array: da.Array
    feature_names: tuple[str, ...] | None
    wrap: Wrap  # turns a lazy result (*grid) or (*grid, k) into what the user gets

    @property
    def header(self) -> Any:
        """An empty table with the same features, for scikit-learn to check their number and names."""
        if self.feature_names is None:
            return np.empty((0, self.array.shape[-1]))
        import pandas as pd  # an optional backend: whoever hands in named features has it

        return pd.DataFrame(columns=list(self.feature_names))

    def rows(self, weights: Any = None) -> Rows:
        """Return the rows for a fit, with weights (*grid) or None."""
        array = _with_known_chunks(self.array)
        return Rows.of(array, None if weights is None else lazy_weights(weights))


def is_lazy(data: Any) -> bool:
    """Return whether the data are of a kind that is not to be read into memory as a whole."""
    return isinstance(data, da.Array) or _is_zarr(data) or _is_frame(data) or _is_xarray(data)


def lazy_input(data: Any) -> Input:
    """Return dask arrays and DataFrames, xarray objects and zarr arrays as input."""
    if isinstance(data, da.Array):
        return Input(data, None, lambda result: result)
    if _is_zarr(data):
        rows = Rows.of_readable(data, (data.shards or data.chunks)[: max(data.ndim - 1, 1)]).fused()
        return Input(rows.array, None, lambda result: result)
    if _is_frame(data):
        return Input(data.to_dask_array(), tuple(str(name) for name in data.columns), lambda result: result)
    return _xarray_input(data)


def memory_input(data: np.ndarray[Any, Any]) -> Input:
    """Return a NumPy array (n, d) as input; results are computed at once."""
    return Input(Rows.of_memory(data).array, None, lambda result: result.compute())


def lazy_weights(weights: Any) -> da.Array:
    """Return row weights of any kind as a lazy array of known chunks."""
    values = weights.data if _is_xarray(weights) else weights
    lazy: da.Array = _with_known_chunks(values) if isinstance(values, da.Array) else da.asarray(np.asarray(values))
    return lazy


def _xarray_input(data: Any) -> Input:
    """Return a Dataset (its variables are the features) or a DataArray (its last dimension holds them) as input."""
    import xarray as xr  # an optional backend: whoever hands in its objects has it

    names: tuple[str, ...] | None = None
    if isinstance(data, xr.Dataset):
        names = tuple(str(name) for name in data.data_vars)
        stacked = data.to_dataarray(dim="feature")
        data = stacked.transpose(*(dim for dim in stacked.dims if dim != "feature"), "feature")
    grid_dims = data.dims[:-1]
    coordinates = {name: one for name, one in data.coords.items() if set(one.dims) <= set(grid_dims)}
    in_memory = data.chunks is None

    def wrap(result: da.Array) -> Any:
        values = result.compute() if in_memory else result
        dims = (*grid_dims, "component") if result.ndim > len(grid_dims) else grid_dims
        return xr.DataArray(values, coords=coordinates, dims=dims)

    array = Rows.of_memory(data.values).array if in_memory else data.data
    return Input(array, names, wrap)


def _is_frame(data: Any) -> bool:
    return hasattr(data, "to_dask_array") and hasattr(data, "columns")


def _is_zarr(data: Any) -> bool:
    return _is_of(data, "zarr", "Array")


def _is_xarray(data: Any) -> bool:
    return _is_of(data, "xarray", "Dataset", "DataArray")


def _is_of(data: Any, package: str, *names: str) -> bool:
    """Return whether the data are of one of these classes of a package: whoever hands them in has imported it."""
    module = sys.modules.get(package)
    return module is not None and isinstance(data, tuple(getattr(module, name) for name in names))


def _with_known_chunks(array: da.Array) -> da.Array:
    """Return the array with its chunk sizes known, which costs a pass where they are not."""
    if any(np.isnan(size) for sizes in array.chunks for size in sizes):
        array = array.copy().compute_chunk_sizes()
    return array
