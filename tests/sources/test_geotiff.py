"""GeoTIFF: what rasterio writes is read to the same numbers in the same places, missing values as NaN."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

rasterio = pytest.importorskip("rasterio", reason="needs the package rasterio")
pytest.importorskip("tifffile", reason="needs the package tifffile")

PLACE = rasterio.Affine(10, 0, 500, 0, -20, 9000)


def write(path, values, **profile):
    """Write bands (bands, height, width)."""
    bands, height, width = values.shape
    what = {"count": bands, "height": height, "width": width, "dtype": values.dtype}
    where = {"crs": "EPSG:32633", "transform": PLACE}
    with rasterio.open(path, "w", driver="GTiff", **(what | where | profile)) as file:
        file.write(values)
    return str(path)


def whole(source):
    return source.array[(slice(None),) * 3]


@settings(max_examples=20, deadline=None)
@given(
    values=arrays(
        st.sampled_from(["u1", "u2", "i2", "f4"]),
        st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20)),
        elements=st.integers(0, 9),
    ),
    nodata=st.sampled_from([None, 0, 7]),
    interleave=st.sampled_from(["pixel", "band"]),
)
def test_bands_are_features_and_what_is_missing_is_nan(tmp_path_factory, values, nodata, interleave):
    profile = {"nodata": nodata, "interleave": interleave, "photometric": "minisblack", "alpha": "unspecified"}
    path = write(tmp_path_factory.mktemp("geo") / "a.tif", values, **profile)
    source = open_source(DataOptions(path))
    expected = np.moveaxis(values, 0, -1).astype(source.array.dtype)
    if nodata is not None:
        expected[expected == nodata] = np.nan
        assert source.array.dtype.kind == "f"
    np.testing.assert_array_equal(whole(source), expected)
    np.testing.assert_array_equal(source.array[(slice(1, 9), slice(2, 7), slice(0, 1))], expected[1:9, 2:7, :1])


def test_the_grid_lies_where_the_pixels_lie(tmp_path):
    source = open_source(DataOptions(write(tmp_path / "a.tif", np.zeros((1, 3, 4), "f4"))))
    assert source.dims == ("y", "x")
    np.testing.assert_array_equal(source.coordinates["y"].values, [8990, 8970, 8950])
    np.testing.assert_array_equal(source.coordinates["x"].values, [505, 515, 525, 535])
    assert source.coordinates["x"].attributes == {"crs": "EPSG:32633"}


def test_scaled_bands_are_decoded_each_by_its_own_numbers(tmp_path):
    path = write(
        tmp_path / "a.tif",
        np.arange(24, dtype="i2").reshape(2, 3, 4),
        nodata=5,
        tiled=True,
        blockxsize=16,
        blockysize=16,
    )
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.5, 2.0), (10.0, 0.0)
        file.descriptions = ("red", "near infrared")
    source = open_source(DataOptions(path))
    expected = np.stack([np.arange(12) * 0.5 + 10, np.arange(12, 24) * 2.0], -1).reshape(3, 4, 2)
    expected[1, 1, 0] = np.nan
    np.testing.assert_array_equal(whole(source), expected)
    np.testing.assert_array_equal(source.array[(slice(None), slice(None), slice(1, 2))], expected[..., 1:])
    assert source.feature_names == ("red", "near infrared")
    assert source.stored_chunks == (16, 16)


def test_what_alpha_leaves_out_is_missing_and_alpha_is_no_feature(tmp_path):
    values = np.full((4, 3, 4), 9, "u1")
    values[3], values[3, 0, 0] = 255, 0
    source = open_source(DataOptions(write(tmp_path / "a.tif", values, photometric="rgb", alpha="non-premultiplied")))
    assert source.array.shape == (3, 4, 3)
    assert np.isnan(whole(source)[0, 0]).all()
    assert np.isnan(whole(source)).sum() == 3


def test_a_nodata_value_without_a_place_is_missing_too(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it lies nowhere
        path = write(tmp_path / "a.tif", np.arange(12, dtype="f4").reshape(1, 3, 4), nodata=3, crs=None, transform=None)
    source = open_source(DataOptions(path))
    assert np.isnan(whole(source)).ravel().nonzero()[0].tolist() == [3]
    assert source.coordinates == {}


def test_numbers_of_classes_are_refused(tmp_path):
    path = write(tmp_path / "a.tif", np.zeros((1, 3, 4), "u1"), photometric="palette")
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {0: (255, 0, 0, 255)})
    with pytest.raises(DataError, match="numbers of colours or classes"):
        open_source(DataOptions(path))
