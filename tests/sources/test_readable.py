"""Arrays that are read where they are sliced: their parts are those of the array, whatever happens to the file."""

from itertools import product

import numpy as np
import pytest

from daskgmm.sources.readable import NpyReader

PARTS = [slice(None), slice(1, 3), slice(2, 2), slice(3, 99), slice(0, None, 2), slice(None, None, -1), slice(3, 0, -2)]


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "i2", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(7,), (5, 4), (4, 3, 5), (0, 3)])
def test_parts_of_a_file_are_those_of_the_array(tmp_path, shape, order, dtype):
    array = np.random.default_rng(0).integers(0, 99, shape).astype(dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    reader = NpyReader.open(tmp_path / "a.npy")
    for part in product(PARTS, repeat=len(shape)):
        read = reader[part]
        np.testing.assert_array_equal(read, array[part], strict=True)
        assert read.flags.c_contiguous
    np.testing.assert_array_equal(reader[slice(1, 3),], array[1:3])


@pytest.mark.parametrize("order", ["C", "F"])
def test_what_was_read_stays_when_the_file_changes(tmp_path, order):
    array, path = np.asarray(np.arange(20000.0).reshape(10000, 2), order=order), tmp_path / "a.npy"
    np.save(path, array)
    reader = NpyReader.open(path)
    part = reader[slice(5000, 9000), slice(None)]
    np.save(path, array[:100] + 1)
    np.testing.assert_array_equal(part, array[5000:9000])
    with pytest.raises(EOFError, match="the file is shorter than when it was opened: put it back, or start over"):
        reader[slice(5000, 9000), slice(None)]
