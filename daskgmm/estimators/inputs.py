"""What a user hands to the estimator, as rows, and results back in the form that was handed in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Any

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from numpy.typing import NDArray

from ..chunked.rows import Rows
from ..core.arrays.blocks import is_real, native_dtype
from ..errors import DataError
from .row_weights import is_xarray, refuse_mask, row_weights, with_known_chunks

Wrap = Callable[[da.Array], Any]

_FEATURE_DIMS = {f"{stem}{plural}" for stem in ("band", "channel", "feature", "variable") for plural in ("", "s")}


@dataclass(frozen=True, eq=False)
class Input:
    """An array (*grid, d) that is read where it is computed, and the way back."""

    array: da.Array
    feature_names: tuple[str, ...] | None
    wrap: Wrap  # turns a lazy result (*grid) or (*grid, k) into what the user gets
    memory: NDArray[Any] | None = None  # the array itself if it is in memory
    wrap_rows: Wrap | None = None  # turns lazy rows (*grid, d) into what the user gets; None: as other results
    grid: Any = None  # a DataArray (*grid) with the dimensions and coordinates of the rows if they are xarray's

    @property
    def header(self) -> Any:
        """An empty table with the same features, for scikit-learn to check their number and names."""
        if self.feature_names is None:
            return np.empty((0, self.array.shape[-1]))
        import pandas as pd  # an optional backend: callers with named features have it

        return pd.DataFrame(columns=list(self.feature_names))

    def rows(self, weights: Any = None, *, missing: bool = False) -> Rows:
        """Return the rows, with weights (*grid), by dimension, or one for all; raise DataError for unfit weights.

        `missing` says whether NaN is a missing value.
        """
        array = with_known_chunks(self.array)
        own = None if weights is None else row_weights(weights, array.shape[:-1], self.grid)
        if self.memory is not None:
            rows = Rows.of_memory(self.memory, None if own is None else np.asarray(own))
        else:
            rows = Rows.of(array, None if own is None else da.asarray(own))
        return replace(rows, missing=missing)


def is_lazy(data: Any) -> bool:
    """Return whether the data are of a kind that is not to be read into memory as a whole."""
    return isinstance(data, da.Array) or _is_zarr(data) or _is_frame(data) or is_xarray(data)


def lazy_input(data: Any, dim: str | None = None, *, missing: bool = False) -> Input:
    """Return dask arrays and DataFrames, xarray objects and zarr arrays as input.

    `dim` names the dimension of a DataArray that holds the features, None its last one. With `missing`, masked values
    become NaN. Raises DataError for data that are not real numbers, are masked, or have no features.
    """
    if isinstance(data, da.Array):
        if missing and isinstance(meta_from_array(data), np.ma.MaskedArray):
            data = data.map_blocks(gaps_as_nan, meta=np.empty((0,) * data.ndim, _with_nan(data.dtype)))
        return Input(_check_array(data), None, lambda result: result)
    if _is_zarr(data):
        _check_types([("the array", data.dtype)])
        _check_packing(data.attrs)
        rows = Rows.of_readable(data, (data.shards or data.chunks)[: max(data.ndim - 1, 1)]).fuse()
        return Input(_check_array(rows.array), None, lambda result: result)
    if _is_frame(data):
        return _frame_input(data)
    return _xarray_input(data, dim)


def _check_packing(attributes: Mapping[str, Any]) -> None:
    """Raise DataError for a zarr array whose attributes say that its numbers are packed, or some of them missing."""
    packed = [name for name in ("scale_factor", "add_offset", "_FillValue", "missing_value") if name in attributes]
    if any(one in ("scale_factor", "add_offset") or not _is_nan(attributes[one]) for one in packed):
        raise DataError(
            f"the zarr array has the attribute {packed[0]!r}, which says how its numbers are to be read: open it with "
            "xarray.open_zarr, or fit it by a job (daskgmm.jobs.fit), which follow it"
        )


def _is_nan(value: Any) -> bool:
    return str(value).lower() == "nan" or (isinstance(value, float) and np.isnan(value))


def memory_input(data: NDArray[Any]) -> Input:
    """Return a NumPy array (n, d) as input; results are computed at once."""
    return Input(Rows.of_memory(data).array, None, lambda result: result.compute(), data)


def without_mask(data: Any, *, missing: bool = False) -> Any:
    """Return the data, of numpy.ma the values if none is masked; raise DataError if some are.

    With `missing`, masked values become NaN.
    """
    if missing and isinstance(data, np.ma.MaskedArray):
        return gaps_as_nan(data)
    return refuse_mask(data, "X", "fill them with NaN and give such rows a sample_weight of 0")


def gaps_as_nan(data: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """Return the values of a masked array, NaN where they are masked."""
    return np.ma.filled(data.astype(_with_nan(data.dtype)), np.nan)


def _with_nan(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type that holds the values of another one, and NaN."""
    return dtype if dtype.kind == "f" else native_dtype(dtype)


def _frame_input(data: Any) -> Input:
    """Return a dask DataFrame as input; missing values of pandas' nullable types become NaN."""
    types = list(data.dtypes.items())
    _check_types((f"column {name!r}", dtype) for name, dtype in types)
    plain = data if all(isinstance(dtype, np.dtype) for _, dtype in types) else data.astype(np.float64)
    return Input(_check_array(plain.to_dask_array()), tuple(str(name) for name, _ in types), lambda result: result)


def _xarray_input(data: Any, dim: str | None) -> Input:
    """Return a Dataset (its variables are the features) or a DataArray (one dimension holds them) as input."""
    import xarray as xr  # an optional backend: callers with its objects have it

    if isinstance(data, xr.Dataset):
        data, dim = _stack_variables(data)
    features = _feature_dim(data.dims, dim)
    names = tuple(map(str, data.coords[features].values)) if features in data.coords else None
    data = data.transpose(..., features)
    in_memory = data.chunks is None
    memory = data.values if in_memory else None
    array = _check_array(data.data if memory is None else Rows.of_memory(memory).array)
    grid_dims = data.dims[:-1]
    coordinates = {name: one for name, one in data.coords.items() if set(one.dims) <= set(grid_dims)}
    component = _find_unused_name("component", {*grid_dims, *coordinates})

    def wrap(result: da.Array) -> Any:
        values = result.compute() if in_memory else result
        dims = (*grid_dims, component) if result.ndim > len(grid_dims) else grid_dims
        return xr.DataArray(values, coords=coordinates, dims=dims)

    def wrap_rows(result: da.Array) -> Any:
        return data.copy(data=result.compute() if in_memory else result)

    return Input(array, names, wrap, memory, wrap_rows, grid=data.isel({features: 0}, drop=True))


def _stack_variables(data: Any) -> tuple[Any, str]:
    """Return the variables of a Dataset as one DataArray, and the name of the dimension that holds them."""
    if not data.data_vars:
        raise DataError("the Dataset has no variables: give one for each feature")
    _check_types((f"variable {name!r}", one.dtype) for name, one in data.data_vars.items())
    first, *others = data.data_vars.items()
    for name, one in others:
        if {*one.dims} != {*first[1].dims}:
            raise DataError(
                f"the variables {first[0]!r} and {name!r} of the Dataset have the dimensions {first[1].dims} and "
                f"{one.dims}, and rows are of one grid: give those of the same, such as data[[{first[0]!r}]]"
            )
    dim = _find_unused_name("feature", {*data.dims, *data.coords, *data.data_vars})
    return data.to_dataarray(dim=dim), dim


def _feature_dim(dims: tuple[Any, ...], dim: str | None) -> Any:
    """Return the dimension that holds the features; raise DataError if it is not among them or not clear."""
    if len(dims) < 2:
        raise DataError(f"expected rows with features along a dimension, got a DataArray of the dimensions {dims}")
    if dim is not None:
        if dim not in dims:
            raise DataError(f"dim is {dim!r}, but the DataArray has the dimensions {dims}: name one of them")
        return dim
    named = [one for one in dims if str(one).lower() in _FEATURE_DIMS]
    if named and dims[-1] not in named:
        raise DataError(
            f"the DataArray has the dimensions {dims}, and features are taken from the last, {dims[-1]!r}: "
            f"set dim={named[0]!r} if they are along that one, else dim={dims[-1]!r}"
        )
    return dims[-1]


def _check_array(array: da.Array) -> da.Array:
    """Check that an array (*grid, d) has real numbers, and return it; raise DataError otherwise."""
    _check_types([("the array", array.dtype)])
    refuse_mask(array, "X", "fill them with NaN (da.ma.filled) and give such rows a sample_weight of 0")
    meta = meta_from_array(array)
    if not isinstance(meta, np.ndarray):
        raise DataError(
            f"the blocks of the dask array are of type {type(meta).__name__}: turn them into NumPy arrays with "
            "map_blocks"
        )
    if array.ndim < 2:
        raise DataError(f"Expected rows with features along the last axis, got an array of shape {array.shape}")
    if np.isnan(array.shape[-1]) or array.shape[-1] == 0:
        raise DataError(f"the array has the shape {array.shape}: the number of features must be known and 1 or more")
    return array


def _check_types(types: Iterable[tuple[str, Any]]) -> None:
    """Raise DataError unless the dtype of each name is one of real numbers."""
    for name, dtype in types:
        if not is_real(dtype):
            raise DataError(
                f"{name} is of dtype {dtype}, not of real numbers: convert it with astype(float), or drop it"
            )


def refuse_times(data: Any) -> None:
    """Raise DataError for a column of times of a DataFrame: pandas finds no dtype for it and for numbers."""
    if hasattr(data, "columns") and hasattr(getattr(data, "dtypes", None), "items"):
        _check_types(
            (f"column {name!r}", dtype)
            for name, dtype in data.dtypes.items()
            if getattr(dtype, "kind", "") in ("m", "M")
        )


def _find_unused_name(stem: str, taken: Collection[Any]) -> str:
    """Return the stem, or the first of stem_1, stem_2, ... that is not taken."""
    return next(name for name in chain([stem], (f"{stem}_{i}" for i in count(1))) if name not in taken)


def _is_frame(data: Any) -> bool:
    return hasattr(data, "to_dask_array") and hasattr(data, "columns")


def _is_zarr(data: Any) -> bool:
    module = sys.modules.get("zarr")
    return module is not None and isinstance(data, module.Array)
