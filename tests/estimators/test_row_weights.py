"""Row weights as users hand them in: numbers, arrays, columns, DataArrays."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from daskgmm.errors import DataError
from daskgmm.estimators.row_weights import row_weights

GRID = (3, 4)
WEIGHTS = np.arange(12.0).reshape(GRID)
ROWS = xr.DataArray(np.zeros(GRID), dims=("i", "j"), coords={"i": [10, 20, 30]})


@pytest.mark.parametrize(
    "weights",
    [WEIGHTS, WEIGHTS.tolist(), WEIGHTS.astype(object), da.from_array(WEIGHTS, chunks=2), np.ma.array(WEIGHTS)],
    ids=["numpy", "list", "objects", "dask", "nothing masked"],
)
def test_weights_of_any_kind_are_their_values(weights):
    np.testing.assert_array_equal(np.asarray(row_weights(weights, GRID)), WEIGHTS)


@pytest.mark.parametrize("weight", [2, 2.0, np.float32(2), np.array(2.0), da.asarray(2.0), xr.DataArray(2.0)])
def test_one_number_is_the_weight_of_all_rows(weight):
    np.testing.assert_array_equal(np.asarray(row_weights(weight, GRID, ROWS)), np.full(GRID, 2.0))


def test_columns_of_nullable_types_are_numbers():
    np.testing.assert_array_equal(row_weights(pd.Series([1, 2, 3], dtype="Int64"), (3,)), [1, 2, 3])


@pytest.mark.parametrize("dims", [("i", "j"), ("j", "i")])
def test_a_data_array_goes_by_its_dimensions(dims):
    labelled = ROWS.copy(data=WEIGHTS).transpose(*dims)
    np.testing.assert_array_equal(row_weights(labelled, GRID, ROWS), WEIGHTS)
    np.testing.assert_array_equal(row_weights(labelled.chunk(), GRID, ROWS), WEIGHTS)


def test_a_data_array_of_some_dimensions_is_repeated_along_the_others():
    by_column = xr.DataArray([1.0, 2, 3, 4], dims="j")
    np.testing.assert_array_equal(row_weights(by_column, GRID, ROWS), np.tile([1.0, 2, 3, 4], (3, 1)))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(5), r"shape \(5,\), but the rows have \(3, 4\)"),
        (WEIGHTS.T, r"shape \(4, 3\)"),
        (np.full(GRID, "1"), "dtype <U1"),
        (WEIGHTS * 1j, "dtype complex128"),
        ([[1, None]], "not an array of numbers|shape"),
        (object(), "not an array of numbers"),
        ([[1, 2], [3]], "not an array of numbers"),
        (da.from_array(np.full(GRID, "1")), "dtype <U1"),
        (np.ma.array(WEIGHTS, mask=WEIGHTS > 8), "3 masked values"),
        (da.ma.masked_greater(da.from_array(WEIGHTS), 8), "dask array of masked arrays"),
        (ROWS.rename(j="k"), "the dimension 'k'"),
        (ROWS[::-1], "differ in their coordinates"),
        (ROWS[:2], "differ in their coordinates"),
        (xr.Dataset({"w": ROWS}), "is a Dataset"),
    ],
)
def test_other_weights_are_refused(weights, message):
    with pytest.raises(DataError, match=message):
        row_weights(weights, GRID, ROWS)
