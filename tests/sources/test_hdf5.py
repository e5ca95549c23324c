import pickle
import sys

import numpy as np
import pytest

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

h5py = pytest.importorskip("h5py")
VALUES = np.random.default_rng(0).standard_normal((100, 4, 3)).astype("float32")
PART = (slice(10, 70), slice(1, 3), slice(None))


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("swath/pixels", data=VALUES, chunks=(30, 4, 3), compression="gzip")
        file["swath/quality"] = np.arange(400).reshape(100, 4) % 2
        file["swath/area"] = np.arange(400.0).reshape(100, 4)
        file["red"], file["blue"] = VALUES[..., 0], VALUES[..., 2].astype("int16")
        file["name"] = "granule"
    return str(tmp_path / "a.h5")


def test_a_dataset_is_read_in_its_chunks_by_whoever_unpickles_the_reader(path):
    source = pickle.loads(pickle.dumps(open_source(DataOptions(f"{path}::swath/pixels"))))
    assert source.stored_chunks == (30, 4)
    assert source.array.dtype == "float32"
    np.testing.assert_array_equal(source.array[PART], VALUES[PART])


def test_weights_and_mask_are_datasets_of_the_same_file(path):
    source = open_source(DataOptions(path, array="swath/pixels", weights="swath/area", mask="~swath/quality"))
    np.testing.assert_array_equal(source.weights[PART[:2]], np.arange(400.0).reshape(100, 4)[PART[:2]])
    np.testing.assert_array_equal(source.valid[PART[:2]], np.arange(400).reshape(100, 4)[PART[:2]] % 2 == 0)


def test_datasets_are_stacked_as_features(path):
    source = open_source(DataOptions(path, arrays=("blue", "red")))
    assert source.feature_names == ("blue", "red")
    expected = np.stack([VALUES[..., 2].astype("int16"), VALUES[..., 0]], -1)
    np.testing.assert_array_equal(source.array[PART], expected[PART])


def test_the_only_dataset_needs_no_name(tmp_path):
    with h5py.File(tmp_path / "a.he5", "w") as file:
        file["deep/down/rows"], file["w"] = VALUES[:, 0], np.ones(100)
    source = open_source(DataOptions(str(tmp_path / "a.he5"), weights="w"))
    assert source.array.shape == (100, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"array": "pixels"}, r"no dataset 'pixels'; the file holds blue, name, red, swath/area, swath/pixels"),
        ({"array": "swath"}, r"there is no dataset 'swath'"),
        ({}, r"data\.array is not set; the file holds blue"),
        ({"array": "name"}, "not numbers"),
        ({"array": "swath/pixels", "weights": "nix"}, "there is no dataset 'nix'"),
        (
            {"array": "red", "weights": "swath/area"},
            r"data.weights 'swath/area' has the shape \(100, 4\), but the rows .* \(100,\)",
        ),
        ({"array": "swath/pixels", "mask": "name"}, r"data\.mask: name holds object, not numbers"),
        ({"arrays": ("red", "swath/pixels")}, r"one shape to be stacked, but they have: red \(100, 4\), swath/pixels"),
    ],
)
def test_what_is_not_there_is_named(path, options, message):
    with pytest.raises(DataError, match=message):
        open_source(DataOptions(path, **options))


def test_a_dataset_is_named_once(path):
    with pytest.raises(DataError, match=r"leave data\.array and data\.arrays out"):
        open_source(DataOptions(f"{path}::red", array="blue"))


def test_a_truncated_file_is_named(path):
    with open(path, "r+b") as file:
        file.truncate(3000)
    with pytest.raises(DataError, match=r"a\.h5::red cannot be read: .*truncated file"):
        open_source(DataOptions(f"{path}::red"))


def test_a_damaged_chunk_is_named_when_it_is_read(path):
    with h5py.File(path) as file:
        chunk = file["swath/pixels"].id.get_chunk_info(2)
    with open(path, "r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(b"\0" * chunk.size)
    source = open_source(DataOptions(f"{path}::swath/pixels"))
    np.testing.assert_array_equal(source.array[(slice(0, 60),)], VALUES[:60])
    with pytest.raises(DataError, match=r"part \[60:90\] of .*a\.h5::swath/pixels cannot be read: .*(filter|inflate)"):
        source.array[(slice(60, 90),)]


def test_without_its_package_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"needs the package h5py: pip install 'daskgmm\[hdf5\]'"):
        open_source(DataOptions(f"{path}::red"))


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match=r"data.path 'nowhere\.h5' does not exist"):
        open_source(DataOptions("nowhere.h5::red"))


def test_a_chunk_that_a_plugin_cannot_read_is_told_with_the_plugin(tmp_path):
    pytest.importorskip("hdf5plugin", reason="needs the package hdf5plugin")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stored = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        stored.set_chunk((4, 3))
        stored.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (0,))
        space = h5py.h5s.create_simple((4, 3))
        dataset = h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, stored)
        dataset.write_direct_chunk((0, 0), np.zeros((4, 3)).tobytes(), 0)
    source = open_source(DataOptions(str(tmp_path / "a.h5")))
    with pytest.raises(DataError, match=r"filter 32001.* fails: .* another hdf5plugin"):
        source.array[(slice(None), slice(None))]
