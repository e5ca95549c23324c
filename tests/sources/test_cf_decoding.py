"""Values packed as the CF conventions say are read to the numbers that xarray reads, on every way in."""

import h5py
import numpy as np
import pytest
import xarray
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source
from daskgmm.sources.cf_decoding import decode, default_fill


def read(path, **options):
    array = open_source(DataOptions(path=str(path), **options)).array
    return np.asarray(array[(slice(None),) * array.ndim]).squeeze()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=9),
    st.sampled_from([0.01, 2.0, -3.5]),
    st.floats(-100, 100),
    st.integers(-32768, 32767),
)
def test_packed_values_are_those_that_xarray_decodes(values, scale, offset, fill):
    stored = np.array(values, "i2")
    attributes = {"scale_factor": scale, "add_offset": offset, "_FillValue": np.int16(fill)}
    expected = xarray.decode_cf(xarray.Dataset({"a": ("t", stored, attributes)}))["a"].values
    np.testing.assert_allclose(decode(stored, attributes, "a")[(slice(None),)], expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("form", [2, 3])
@pytest.mark.parametrize(
    "encoding", [{"_FillValue": -9999.0}, {"dtype": "i2", "_FillValue": -9999, "scale_factor": 0.5}]
)
def test_zarr_of_xarray_is_decoded_by_group_and_by_array(tmp_path, form, encoding):
    values = np.array([1.5, np.nan, -3.0])
    path = tmp_path / "x.zarr"
    xarray.Dataset({"a": ("t", values)}).to_zarr(path, zarr_format=form, encoding={"a": encoding}, consolidated=False)
    np.testing.assert_array_equal(read(path, array="a"), values)
    np.testing.assert_array_equal(read(path / "a"), values)


def test_bytes_marked_unsigned_are_unsigned(tmp_path):
    zarr.create_array(tmp_path / "u.zarr", data=np.array([10, -4], "i1"), attributes={"_Unsigned": "true"})
    np.testing.assert_array_equal(read(tmp_path / "u.zarr"), [10, 252])


def test_hdf5_is_decoded(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["t"] = np.array([100, -9999, 7000], "i2")
        file["t"].attrs.update(scale_factor=0.01, _FillValue=np.int16(-9999), valid_range=np.array([0, 5000], "i2"))
    np.testing.assert_allclose(read(f"{tmp_path}/x.h5::t"), [1, np.nan, np.nan])


def test_a_netcdf_default_fill_is_missing_in_a_file_named_h5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["_NCProperties"] = "version=2"
        file["t"] = np.array([1.0, default_fill(np.dtype("f8"))])
    np.testing.assert_array_equal(read(f"{tmp_path}/x.h5::t"), [1, np.nan])


def test_an_attribute_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(DataError, match="scale_factor is 'much', not a number"):
        decode(np.zeros(2), {"scale_factor": "much"}, "a")


def test_a_virtual_dataset_without_its_file_is_refused(tmp_path):
    layout = h5py.VirtualLayout((2,), "f8")
    layout[:] = h5py.VirtualSource("gone.h5", "x", (2,))
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
    with pytest.raises(DataError, match=r"gone\.h5, which is not there"):
        read(f"{tmp_path}/v.h5::v")


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
def test_netcdf_default_fill_and_what_is_outside_the_valid_range_are_missing(tmp_path, engine):
    values = np.array([1.0, 1e6, default_fill(np.dtype("f8"))])
    plain = xarray.Dataset({"a": ("t", values), "b": ("t", values, {"valid_range": np.array([-100.0, 100.0])})})
    plain.to_netcdf(tmp_path / "x.nc", engine=engine, encoding={name: {"_FillValue": None} for name in "ab"})
    np.testing.assert_array_equal(read(tmp_path / "x.nc", arrays=("a",)), [1, 1e6, np.nan])
    np.testing.assert_array_equal(read(tmp_path / "x.nc", arrays=("b",)), [1, np.nan, np.nan])


def test_a_filter_that_is_not_installed_is_named(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_chunk((2,))
        how.set_filter(32999, h5py.h5z.FLAG_OPTIONAL, ())
        h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((2,)), how)
    with pytest.raises(DataError, match=r"HDF5 filter 32999.*pip install hdf5plugin"):
        read(f"{tmp_path}/x.h5::x")


def test_one_field_in_zarr_is_one_feature_as_it_is_in_netcdf(tmp_path):
    values = np.arange(24.0).reshape(2, 3, 4)
    axes = {"time": np.arange(2.0), "lat": np.arange(3.0), "lon": np.arange(4.0)}
    field = xarray.Dataset({"temp": (tuple(axes), values)}, axes)
    field.to_netcdf(tmp_path / "x.nc", engine="scipy")
    field.to_zarr(tmp_path / "x.zarr", zarr_format=2, consolidated=False)
    sources = [open_source(DataOptions(path=str(tmp_path / name))) for name in ("x.nc", "x.zarr")]
    assert [source.grid for source in sources] == [(2, 3, 4)] * 2


@pytest.mark.parametrize("mask", [float("inf"), float("-inf"), "inf", "-inf"])
def test_an_infinity_may_be_the_fill_value(mask):
    assert TypeAdapter(DataOptions).validate_python({"path": "x", "mask": mask}).fill_values == (float(mask),)


@pytest.mark.parametrize(
    ("limits", "expected"), [(np.array([0.0, 1.0]), [0.5, 1, np.nan]), (np.array([0, 60], "i2"), [0.5, np.nan, np.nan])]
)
def test_limits_wider_than_the_stored_type_are_of_the_scaled_values(limits, expected):
    array = decode(np.array([50, 100, 200], "i2"), {"scale_factor": 0.01, "valid_range": limits}, "a")
    np.testing.assert_allclose(array[(slice(None),)], expected)


def test_arrays_of_nested_zarr_groups_are_listed(tmp_path):
    zarr.create_group(tmp_path / "n.zarr").create_group("k").create_array("a", data=np.arange(4.0))
    with pytest.raises(DataError, match="the group holds k/a"):
        read(tmp_path / "n.zarr")


def test_variables_in_netcdf_groups_are_read_as_hdf5(tmp_path):
    path = tmp_path / "x.nc"
    data = xarray.Dataset({"a": ("t", np.arange(3.0))})
    data.to_netcdf(path, group="g", engine="h5netcdf")
    with pytest.raises(DataError, match=r"as group/variable, with data\.format: hdf5"):
        read(path)
    np.testing.assert_array_equal(read(path, array="g/a", format="hdf5"), np.arange(3.0))


def test_variables_of_netcdf_groups_are_listed_where_another_is_named(tmp_path):
    xarray.Dataset({"a": ("t", np.arange(3.0))}).to_netcdf(tmp_path / "x.nc", group="g", engine="h5netcdf")
    with pytest.raises(DataError, match=r"no variable 'g/b'; the dataset holds g/a \(with data\.format: hdf5\)"):
        read(tmp_path / "x.nc", arrays=("g/b",))


def test_a_variable_that_is_named_in_the_path_of_netcdf_is_refused_with_the_way_to_name_it(tmp_path):
    path = tmp_path / "x.nc"
    xarray.Dataset({"a": ("t", np.arange(3.0))}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(DataError, match=r"x\.nc is there, but :: names a dataset of HDF5: .*data\.array: a"):
        read(f"{path}::a")
    np.testing.assert_array_equal(read(f"{path}::a", format="hdf5"), np.arange(3.0))
    np.testing.assert_array_equal(read(path, array="a"), np.arange(3.0))


ENCODINGS = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["i2", "u1", "i4", "f4", "f8"])},
    optional={"_FillValue": st.integers(0, 9), "scale_factor": st.sampled_from([0.5, 4.0]), "add_offset": st.just(2.0)},
)


def written(folder, form, variable, encoding):
    """Write a variable by xarray in one of its formats, or by h5py; return the path of its numbers, and these."""
    data, path = xarray.Dataset({"a": ("t", variable)}), folder / f"x.{form}"
    match form:
        case "zarr2" | "zarr3":
            path = folder / f"{form}.zarr"
            data.to_zarr(path, mode="w", zarr_format=int(form[-1]), consolidated=False, encoding={"a": encoding})
            return path, xarray.open_zarr(path, consolidated=False)["a"].values
        case "nc":
            data.to_netcdf(path, engine="h5netcdf", encoding={"a": encoding})
        case "h5":
            stored = xarray.conventions.encode_cf_variable(xarray.Variable("t", variable, encoding=dict(encoding)))
            with h5py.File(path, "w") as file:
                file.create_dataset("a", data=stored.values).attrs.update(stored.attrs)
            return f"{path}::a", xarray.conventions.decode_cf_variable("a", stored).values
    with xarray.open_dataset(path, engine="h5netcdf") as opened:
        return path, opened["a"].values


@pytest.mark.filterwarnings("ignore:saving variable")  # of floats as integers without a missing value: none is NaN
@pytest.mark.parametrize("form", ["zarr2", "zarr3", "nc", "h5"])
@settings(deadline=None, max_examples=12)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), ENCODINGS)
def test_what_xarray_and_h5py_write_is_read_to_the_numbers_that_xarray_reads(tmp_path_factory, form, values, encoding):
    is_ambiguous = form == "zarr2" and encoding.get("_FillValue") == 0 and len(encoding) == 2
    if is_ambiguous:
        encoding = {**encoding, "scale_factor": 2.0}
    values = np.array(values) * encoding.get("scale_factor", 1) + encoding.get("add_offset", 0)
    path, expected = written(tmp_path_factory.mktemp("x"), form, values, encoding)
    named = {} if form == "h5" else {"arrays": ("a",)}
    if form == "zarr2":
        named["missing_chunks"] = "fill"  # zarr writes no chunk of zeros, though no fill value is named
    np.testing.assert_allclose(read(path, **named), expected.squeeze(), rtol=1e-6)


def test_zeros_that_may_be_missing_values_are_told(tmp_path):
    data = xarray.Dataset({"a": ("t", np.array([0.0, 1.0, np.nan]))})
    data.to_zarr(tmp_path / "x.zarr", zarr_format=2, consolidated=False, encoding={"a": {"_FillValue": 0}})
    source = open_source(DataOptions(path=str(tmp_path / "x.zarr"), arrays=("a",)))
    (notice,) = source.notices
    assert "x.zarr/a: 0 is its fill value, and is data here; xarray takes it for missing" in notice


@pytest.mark.parametrize("damage", ["truncated", "without the dataset"])
def test_a_virtual_dataset_of_a_damaged_file_is_refused(tmp_path, damage):
    source = tmp_path / "s.h5"
    layout = h5py.VirtualLayout((2,), "f8")
    layout[:] = h5py.VirtualSource("s.h5", "x", (2,))
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_virtual_dataset("v", layout)
    with h5py.File(source, "w") as file:
        file["x"] = np.ones(2)
    np.testing.assert_array_equal(read(f"{tmp_path}/v.h5::v"), [1, 1])
    if damage == "truncated":
        source.write_bytes(source.read_bytes()[:-8])
    else:
        with h5py.File(source, "w") as file:
            file["y"] = np.ones(2)
    with pytest.raises(DataError, match=r"takes values from x in .*s\.h5"):
        read(f"{tmp_path}/v.h5::v")
