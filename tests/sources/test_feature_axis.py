"""data.feature_axis: features that do not lie along the last axis, in each kind of source that holds arrays."""

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.chunked.chunk_plan import plan_chunks
from daskgmm.config import config_schema, parse_config
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.sources import DataOptions, open_source
from daskgmm.sources.composite import FeaturesLast
from daskgmm.sources.formats import FORMATS

BANDS = np.random.default_rng(0).standard_normal((4, 6, 10)).astype("float32")  # band, y, x
PIXELS = np.moveaxis(BANDS, 0, -1)
DIMS = ("band", "y", "x")
EVERYTHING = (slice(None),) * 3


@pytest.fixture(params=["zarr2", "zarr3", "zarr array", "npy", "hdf5", "netcdf"])
def stored(tmp_path, request):
    """Bands, stored in each of the ways; the axis by its number or, where it has one, by its name."""
    if request.param == "npy":
        np.save(tmp_path / "a.npy", BANDS)
        return str(tmp_path / "a.npy"), 0
    if request.param == "hdf5":
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("bands", data=BANDS, chunks=(1, 3, 5))
        return str(tmp_path / "a.h5"), -3
    if request.param == "netcdf":
        xr.Dataset({"bands": (DIMS, BANDS)}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
        return str(tmp_path / "a.nc"), "band"
    path = str(tmp_path / "a.zarr")
    if request.param == "zarr array":
        zarr.create_array(path, data=BANDS, chunks=(1, 3, 5))
        return path, 0
    version = int(request.param[-1])
    names = {"dimension_names": DIMS} if version == 3 else {"attributes": {"_ARRAY_DIMENSIONS": list(DIMS)}}
    zarr.create_group(path, zarr_format=version).create_array("bands", data=BANDS, chunks=(1, 3, 5), **names)
    return path, "band"


def test_features_that_lie_first_are_the_features(stored):
    path, axis = stored
    source = open_source(DataOptions(path, feature_axis=axis))
    assert source.grid == (6, 10)
    assert source.dims in {None, ("y", "x")}
    assert source.stored_chunks in {None, (3, 5)}
    np.testing.assert_array_equal(source.array[EVERYTHING], PIXELS)
    np.testing.assert_array_equal(source.array[(slice(2, 5), slice(1, 9, 2))], PIXELS[2:5, 1:9:2])


def test_chunks_are_whole_stored_chunks_of_the_grid():
    assert plan_chunks((6, 10), 16, (3, 5), chunk_bytes=16 * 20) == (3, 5)


def test_names_of_the_features_and_coordinates_of_the_grid_are_those_of_their_axes(tmp_path):
    coordinates = {"band": list("rgbn"), "y": np.arange(6.0), "x": np.arange(10.0)}
    xr.Dataset({"bands": (DIMS, BANDS)}, coordinates).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    source = open_source(DataOptions(str(tmp_path / "a.nc"), feature_axis="band"))
    assert source.feature_names == tuple("rgbn")
    assert list(source.coordinates) == ["y", "x"]


def test_a_mask_lies_on_the_other_axes(tmp_path):
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    group.create_array("bands", data=BANDS, dimension_names=DIMS)
    group.create_array("land", data=np.eye(6, 10), dimension_names=DIMS[1:])
    source = open_source(DataOptions(str(tmp_path / "a.zarr"), array="bands", feature_axis=0, mask="land"))
    np.testing.assert_array_equal(source.valid[EVERYTHING[:2]], np.eye(6, 10) > 0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"feature_axis": 3}, DataError, "data.feature_axis 3: .*bands has 3 axes: give -3 to 2"),
        ({"feature_axis": -4}, DataError, "data.feature_axis -4: "),
        ({"feature_axis": "bands"}, DataError, "has the axes band, y, x: name one of them"),
        ({"arrays": ("bands",), "feature_axis": 0}, ConfigurationError, "leave one out"),
        ({"array": "line", "feature_axis": 0}, DataError, "whose values are rows of one feature"),
        ({"array": "plain", "feature_axis": "band"}, DataError, "have no names: give a number"),
    ],
)
def test_an_axis_that_is_not_there_is_refused(tmp_path, options, error, message):
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    group.create_array("bands", data=BANDS, dimension_names=DIMS)
    group.create_array("line", data=BANDS[0, 0])
    group.create_array("plain", data=BANDS)
    with pytest.raises(error, match=message):
        open_source(
            DataOptions(str(tmp_path / "a.zarr"), **{"array": None if "arrays" in options else "bands"} | options)
        )


@given(st.data())
def test_a_moved_axis_is_sliced_as_numpy_slices(data):
    axis = data.draw(st.integers(0, 2))
    moved = FeaturesLast(BANDS, axis)
    slices = tuple(data.draw(st.slices(size).filter(lambda one: (one.step or 1) > 0)) for size in moved.shape)
    np.testing.assert_array_equal(moved[slices], np.moveaxis(BANDS, axis, -1)[slices])


def test_the_table_of_formats_is_what_data_format_takes():
    assert set(FORMATS) == {one.name for one in FORMATS.values()}
    suffixes = [suffix for one in FORMATS.values() for suffix in one.suffixes]
    assert len(suffixes) == len(set(suffixes)), "a suffix is of one format"


@pytest.mark.parametrize("value", ["true", "1.5", "[0]"])
def test_a_configuration_takes_a_number_or_a_name(value):
    with pytest.raises(ConfigurationError, match=r"data\.feature_axis.* should be "):
        parse_config(f"data: {{path: a.npy, feature_axis: {value}}}")
    assert parse_config("data: {path: a.npy, feature_axis: c}").data.feature_axis == "c"


def test_a_configuration_takes_the_formats_of_the_table_alone():
    formats = config_schema()["$defs"]["DataOptions"]["properties"]["format"]["enum"]
    assert formats == ["auto", *FORMATS]
    with pytest.raises(ConfigurationError, match=r"data\.format should be one of auto, zarr, npy"):
        parse_config("data: {path: a.npy, format: numpy}")
