"""The same dataset as netCDF and as zarr, in each way it is opened, gives the same rows and features."""

import warnings

import numpy as np
import pytest
import xarray as xr

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source
from daskgmm.sources.default_rows import Variable, default_rows

FIELD = np.random.default_rng(0).standard_normal((4, 5, 6)).astype("float32")
GRID = ("time", "lat", "lon")
COORDINATES = {"time": np.arange(4.0), "lat": np.linspace(-60, 60, 5), "lon": np.linspace(0, 300, 6)}
LAYOUTS = {
    "one field with coordinates": xr.Dataset({"temp": (GRID, FIELD)}, COORDINATES),
    "one field without coordinates": xr.Dataset({"temp": (GRID, FIELD)}),
    "several fields": xr.Dataset({"temp": (GRID, FIELD), "salt": (GRID, 2 * FIELD)}, COORDINATES),
    "several series": xr.Dataset({"b": ("t", FIELD[0, 0]), "a": ("t", FIELD[1, 0])}),
    "one series": xr.Dataset({"a": ("t", FIELD[0, 0])}),
    "features last": xr.Dataset({"v": (("y", "x", "band"), FIELD)}, {"band": np.arange(6)}),
    "features first": xr.Dataset({"v": (("band", "y", "x"), FIELD)}, {"y": np.arange(5), "x": np.arange(6)}),
    "coordinates of two axes": xr.Dataset({"v": (("time", "y", "x"), FIELD)}, {"lat": (("y", "x"), FIELD[0])}),
    "bounds of a coordinate": xr.Dataset(
        {"v": (GRID, FIELD), "edges": (("time", "two"), np.zeros((4, 2)))},
        {"time": ("time", [0, 1, 2, 3], {"bounds": "edges"})},
    ),
    "packed": xr.Dataset({"temp": (GRID, FIELD)}, COORDINATES),
}
READ = {
    name: (GRID, ["temp"]) for name in ("one field with coordinates", "one field without coordinates", "packed")
} | {
    "several fields": (GRID, ["salt", "temp"]),
    "several series": (("t",), ["a", "b"]),
    "one series": (("t",), ["a"]),
    "coordinates of two axes": (("time", "y", "x"), ["v"]),
    "bounds of a coordinate": (GRID, ["v"]),
}


def written(folder, dataset, packed):
    """Return the paths and formats that a dataset is read by."""
    encoding = {"temp": {"dtype": "i2", "scale_factor": 0.01, "_FillValue": -9999}} if packed else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata are no part of zarr 3 yet
        dataset.to_netcdf(folder / "a.nc", engine="h5netcdf", encoding=encoding)
        for version in (2, 3):
            dataset.to_zarr(folder / f"{version}.zarr", zarr_format=version, encoding=encoding)
    return [("a.nc", "auto"), ("2.zarr", "auto"), ("3.zarr", "auto"), ("2.zarr", "xarray"), ("3.zarr", "xarray")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_dataset_has_one_meaning(tmp_path, layout):
    dataset = LAYOUTS[layout]
    for path, name in written(tmp_path, dataset, layout == "packed"):
        source = open_source(DataOptions(str(tmp_path / path), format=name))
        everything = (slice(None),) * source.array.ndim
        if layout in READ:
            dims, names = READ[layout]
            expected = np.stack([dataset[one] for one in names], axis=-1)
            assert source.dims == dims
            assert source.feature_names == tuple(names)
        else:
            expected = np.moveaxis(dataset["v"].values, dataset["v"].dims.index("band"), -1)
            assert source.dims == ("y", "x")
        np.testing.assert_allclose(source.array[everything], expected, atol=0.006 if layout == "packed" else 0)


def test_an_axis_that_may_be_of_features_or_of_rows_is_refused_alike(tmp_path):
    dataset = xr.Dataset({"v": (("when", "what"), FIELD[0])})
    for path, name in written(tmp_path, dataset, False):
        with pytest.raises(DataError, match=r"data\.array: v if the values along what .* or data\.arrays: \[v\]"):
            open_source(DataOptions(str(tmp_path / path), format=name))
        for options, shape in (
            ({"array": "v"}, (5, 6)),
            ({"arrays": ("v",)}, (5, 6, 1)),
            ({"feature_axis": 0}, (6, 5)),
        ):
            assert open_source(DataOptions(str(tmp_path / path), format=name, **options)).array.shape == shape


def test_variables_that_are_not_of_one_grid_are_not_guessed(tmp_path):
    dataset = xr.Dataset({"v": (GRID, FIELD), "w": (("lat", "lon"), FIELD[0])})
    for path, name in written(tmp_path, dataset, False):
        with pytest.raises(DataError, match=r"v.*w"):
            open_source(DataOptions(str(tmp_path / path), format=name))


def test_arrays_without_names_of_axes_are_not_stacked_unasked():
    plain = Variable((3, 2), None)
    assert default_rows({"a": plain}, lambda _: None, "a.zarr") == {"array": "a"}
    assert default_rows({"a": plain, "b": plain}, lambda _: None, "a.zarr") == {}
    pyramid = {"0": Variable((4, 8, 8), ("c", "y", "x")), "1": Variable((4, 4, 4), ("c", "y", "x"))}
    assert default_rows(pyramid, lambda _: None, "a.zarr") == {}
