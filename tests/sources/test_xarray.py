import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

xarray = pytest.importorskip("xarray")
RNG = np.random.default_rng(0)
TEMP, SALT = RNG.integers(0, 900, (6, 5, 4)).astype("int16"), RNG.standard_normal((6, 5, 4))
PART = (slice(1, 5), slice(0, 3), slice(None), slice(None))
DAYS = {"units": "days since 2000-01-01", "calendar": "noleap"}


@pytest.fixture
def dataset():
    """Two variables on (time, lat, lon), one packed and with missing values, a mask and weights, bounds and names."""
    grid = ("time", "lat", "lon")
    temp = {"scale_factor": 0.01, "add_offset": 5.0, "_FillValue": np.int16(0)}
    return xarray.Dataset(
        {
            "temp": (grid, TEMP, temp),
            "salt": (grid, SALT),
            "land": (grid, (TEMP % 3 == 0).astype("int8")),
            "area": (grid, SALT**2),
            "time_bnds": (("time", "bnds"), np.zeros((6, 2))),
            "station": (("lat",), np.array(list("abcde"))),
            "crs": ((), 0),
        },
        {"time": ("time", np.arange(6.0), DAYS | {"bounds": "time_bnds"}), "lat": ("lat", np.linspace(-60, 60, 5))},
    )


@pytest.fixture(params=["h5netcdf", "scipy", "zarr-2", "zarr-3", "zarr-consolidated"])
def path(dataset, tmp_path, request):
    """The data set as netCDF 4, netCDF 3 and zarr."""
    if request.param in {"scipy", "zarr-3"}:  # which know no strings, or warn of them
        dataset = dataset.drop_vars("station")
    if request.param.startswith("zarr"):
        is_consolidated = request.param.endswith("consolidated")
        version = 2 if is_consolidated else int(request.param[-1])
        target = str(tmp_path / "a.zarr")
        dataset.to_zarr(target, zarr_format=version, consolidated=is_consolidated)
        return target
    dataset.to_netcdf(tmp_path / "a.nc", engine=request.param)
    return str(tmp_path / "a.nc")


def decoded():
    return np.where(TEMP == 0, np.nan, TEMP * 0.01 + 5.0)


def opened(path, **options):
    return open_source(DataOptions(path, format="xarray", **options))


def test_variables_are_decoded_features_for_whoever_unpickles_the_reader(path):
    source = pickle.loads(pickle.dumps(opened(path, arrays=("temp", "salt"))))
    assert source.feature_names == ("temp", "salt")
    np.testing.assert_allclose(source.array[PART], np.stack([decoded(), SALT], -1)[PART], rtol=1e-6)


def test_axes_keep_their_names_and_raw_coordinates(path):
    source = opened(path, arrays=("temp",))
    assert source.dims == ("time", "lat", "lon")
    assert set(source.coordinates) == {"time", "lat"}
    np.testing.assert_array_equal(source.coordinates["time"].values, np.arange(6.0))
    assert {name: source.coordinates["time"].attributes[name] for name in DAYS} == DAYS
    np.testing.assert_array_equal(source.coordinates["lat"].values, np.linspace(-60, 60, 5))


def test_all_numeric_variables_but_weights_mask_and_bounds_are_the_default(path, dataset):
    source = opened(path, weights="area", mask="~land")
    assert source.feature_names == ("salt", "temp")
    np.testing.assert_allclose(source.weights[PART[:3]], SALT[PART[:3]] ** 2)
    np.testing.assert_array_equal(source.valid[PART[:3]], TEMP[PART[:3]] % 3 != 0)


def test_one_array_has_its_features_on_the_last_axis(path):
    source = opened(path, array="salt")
    assert source.dims == ("time", "lat")
    np.testing.assert_array_equal(source.array[PART[:3]], SALT[PART[:3]])


def test_netcdf_is_opened_by_its_name(dataset, tmp_path):
    dataset.to_netcdf(tmp_path / "a.nc4", engine="h5netcdf", encoding={"salt": {"chunksizes": (2, 5, 4)}})
    source = open_source(DataOptions(str(tmp_path / "a.nc4"), arrays=("salt",)))
    assert source.stored_chunks == (2, 5, 4)
    np.testing.assert_array_equal(source.array[PART][..., 0], SALT[PART[:3]])


def test_whole_shards_are_the_stored_chunks(dataset, tmp_path):
    encoding = {"salt": {"chunks": (1, 5, 4), "shards": (3, 5, 4)}}
    dataset[["salt"]].to_zarr(tmp_path / "a.zarr", zarr_format=3, encoding=encoding, consolidated=False)
    assert opened(str(tmp_path / "a.zarr"), arrays=("salt",)).stored_chunks == (3, 5, 4)


def test_threads_may_read_at_once(path):
    array = opened(path, arrays=("temp", "salt")).array
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda n: array[(slice(n % 6, n % 6 + 1),)], range(60)))
    np.testing.assert_allclose(np.concatenate(parts[:6]), np.stack([decoded(), SALT], -1), rtol=1e-6)


def test_another_file_under_the_same_name_is_opened_anew(dataset, tmp_path):
    for value in (1.0, 2.0):
        (dataset[["salt"]] * 0 + value).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
        assert opened(str(tmp_path / "a.nc")).array[(slice(0, 1),) * 4].item() == value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arrays": ("temp", "nix")}, r"there is no variable 'nix'; the dataset holds .*crs \(\)"),
        ({"arrays": ("temp", "time_bnds")}, r"one shape to be stacked, but .*: temp \(6, 5, 4\), time_bnds \(6, 2\)"),
        (
            {"arrays": ("temp",), "weights": "time"},
            r"data\.weights '\w+' has the shape \(6,\), but the rows .* \(6, 5, 4\)",
        ),
    ],
)
def test_what_is_not_there_is_named(path, options, message):
    with pytest.raises(DataError, match=message):
        opened(path, **options)


def test_variables_of_other_axes_are_not_stacked(tmp_path):
    xarray.Dataset({"a": ("x", [1.0, 2.0]), "b": ("y", [1.0, 2.0])}).to_netcdf(tmp_path / "a.nc", engine="scipy")
    with pytest.raises(DataError, match=r"name variables of the same axes in data\.arrays; .* a \(x\), b \(y\)$"):
        opened(str(tmp_path / "a.nc"))
    with pytest.raises(DataError, match=r"the same axes to be stacked, but they have: a \('x',\), b \('y',\)"):
        opened(str(tmp_path / "a.nc"), arrays=("a", "b"))


def test_a_truncated_file_is_named(dataset, tmp_path):
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with open(tmp_path / "a.nc", "r+b") as file:
        file.truncate(3000)
    with pytest.raises(DataError, match=r"a\.nc cannot be read: .*truncated file"):
        opened(str(tmp_path / "a.nc"))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_truncated_chunk_of_zarr_is_refused(dataset, tmp_path, zarr_format):
    dataset[["salt"]].to_zarr(tmp_path / "a.zarr", zarr_format=zarr_format, consolidated=False)
    source = opened(str(tmp_path / "a.zarr"))
    os.truncate(tmp_path / "a.zarr" / "salt" / ("0.0.0" if zarr_format == 2 else "c/0/0/0"), 50)
    with pytest.raises(DataError, match=r"part \[0:1, 0:5, 0:4\] of .*a\.zarr/salt cannot be read: "):
        source.array[(slice(0, 1),)]


def test_a_file_of_another_format_is_named_in_one_line(tmp_path):
    (tmp_path / "a.nc").write_text("no netCDF")
    with pytest.raises(DataError, match=r"a\.nc is no netCDF, .* convert it") as caught:
        opened(str(tmp_path / "a.nc"))
    assert "\n" not in str(caught.value)


def test_a_zarr_array_is_no_data_set(tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), data=SALT)
    with pytest.raises(DataError, match=r"set data\.format to zarr"):
        opened(str(tmp_path / "a.zarr"))


@pytest.mark.parametrize("package", ["xarray", "h5netcdf"])
def test_without_its_package_the_extra_is_named(dataset, tmp_path, monkeypatch, package):
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf"needs the package {package}: pip install 'daskgmm\[xarray\]'"):
        opened(str(tmp_path / "a.nc"))


def test_zarr_that_xarray_wrote_is_read_as_stored_too(dataset, tmp_path):
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=True)
    path = str(tmp_path / "a.zarr")
    source = open_source(DataOptions(path, format="zarr", arrays=("temp", "salt"), mask=0, weights="area"))
    assert source.dims == ("time", "lat", "lon")
    assert source.fill_values == (0,)
    assert source.coordinates["time"].attributes["calendar"] == "noleap"
    np.testing.assert_array_equal(source.array[PART], np.stack([TEMP, SALT], -1)[PART])


def test_a_file_that_is_no_netcdf_is_named(tmp_path):
    (tmp_path / "a.grib").write_bytes(b"GRIB" + bytes(99))
    with pytest.raises(DataError, match=r"a\.grib is no netCDF.* convert it to netCDF or zarr"):
        open_source(DataOptions(str(tmp_path / "a.grib"), format="xarray", arrays=("a",)))
