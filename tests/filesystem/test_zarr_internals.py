"""What is relied on of zarr that it does not document."""

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from daskgmm.filesystem.zarr_internals import StoreWrapper, chunk_key, is_consolidated, list_keys, read_key


class Wrapper(StoreWrapper):
    def wrap(self, store):
        return Wrapper(store)


@pytest.fixture
def store():
    store = MemoryStore()
    group = zarr.create_group(store)
    array = group.create_array("rows", shape=(4, 2), chunks=(2, 2), dtype="f8")
    array[:2] = 1.0
    return store


def test_keys_of_a_store_are_listed_and_read(store):
    assert list_keys(store, "rows/") == {"rows/zarr.json", "rows/c/0/0"}
    assert read_key(store, "rows/zarr.json").startswith(b"{")
    assert read_key(store, "rows/c/1/0") is None


@pytest.mark.parametrize(("zarr_format", "key"), [(2, "1.0"), (3, "c/1/0")])
def test_chunks_are_named_as_in_the_store(zarr_format, key):
    store = MemoryStore()
    array = zarr.create_array(store, shape=(4, 2), chunks=(2, 2), dtype="f8", zarr_format=zarr_format)
    assert chunk_key(array, (1, 0)) == key
    array[2:] = np.ones((2, 2))
    assert key in list_keys(store, "")


def test_consolidated_metadata_are_seen(store):
    assert not is_consolidated(zarr.open_group(store, mode="r"))
    with pytest.warns(UserWarning, match="Consolidated metadata"):
        zarr.consolidate_metadata(store)
    assert is_consolidated(zarr.open_group(store, mode="r"))


def test_copies_of_a_wrapper_are_made_by_the_wrapper(store):
    copy = Wrapper(store).with_read_only(True)
    assert isinstance(copy, Wrapper)
    assert copy.read_only
    assert zarr.open_array(copy, path="rows", mode="r")[:2].tolist() == [[1.0, 1.0]] * 2
