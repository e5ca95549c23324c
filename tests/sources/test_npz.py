"""Files of arrays by name that are read whole: .npz, and MATLAB's."""

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 4))
ROWS = arrays(st.sampled_from(["u1", "i4", "f4", "f8"]), SHAPES, elements=st.integers(0, 99))
X = np.arange(12.0).reshape(6, 2)


def write_mat73(path, **matrices):
    """Write matrices as MATLAB does in its version 7.3: HDF5 behind a header, axes the other way round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in matrices.items():
            dataset = file.create_dataset(name, data=values.T)
            dataset.attrs["MATLAB_class"] = np.bytes_("char" if values.dtype == "u2" else "double")
    with open(path, "r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


@settings(max_examples=15, deadline=None)
@given(ROWS)
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed, scipy.io.savemat, write_mat73])
def test_an_array_is_read_as_written(tmp_path_factory, write, values):
    folder = tmp_path_factory.mktemp("arrays")
    path = folder / ("a.npz" if write in (np.savez, np.savez_compressed) else "a.mat")
    write(path, {"X": values}) if write is scipy.io.savemat else write(path, X=values)
    source = open_source(DataOptions(str(path)))
    np.testing.assert_array_equal(source.array[(slice(None), slice(None))], values)
    np.testing.assert_array_equal(source.array[(slice(1, 4), slice(0, 1))], values[1:4, :1])


def test_one_of_several_is_named_with_weights_beside_it(tmp_path):
    np.savez(tmp_path / "a.npz", X=X, Y=X + 1, w=np.arange(6.0))
    path = str(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"data\.array is not set; the file holds X, Y, w"):
        open_source(DataOptions(path))
    source = open_source(DataOptions(path, array="Y", weights="w"))
    np.testing.assert_array_equal(source.array[(slice(None), slice(None))], X + 1)
    np.testing.assert_array_equal(source.weights[(slice(None),)], np.arange(6.0))
    assert open_source(DataOptions(path, array="Y", feature_axis=0)).array.shape == (2, 6)


def test_what_is_no_matrix_of_numbers_is_not_taken_for_rows(tmp_path):
    write_mat73(tmp_path / "new.mat", X=X, text=np.arange(4, dtype="u2")[None])
    scipy.io.savemat(tmp_path / "old.mat", {"X": X, "text": "abc"})
    for name in ("new.mat", "old.mat"):
        path = str(tmp_path / name)
        assert open_source(DataOptions(path)).array.shape == (6, 2)
        with pytest.raises(DataError, match=r"there is no .* 'text'; the file holds X"):
            open_source(DataOptions(path, array="text"))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.npz", b"x"), ("a.npz", b"PK\3\4x"), ("a.mat", b"x"), ("a.mat", b"MATLAB 5.0 MAT-file" + bytes(200))],
)
def test_a_file_of_another_kind_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}.* convert it to"):
        open_source(DataOptions(str(tmp_path / name)))


def test_a_pickle_inside_is_not_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"a\.npz cannot be read"):
        open_source(DataOptions(str(tmp_path / "a.npz")))


def test_an_empty_matrix_whose_file_holds_its_size_alone_is_not_taken_for_rows(tmp_path):
    write_mat73(tmp_path / "new.mat", X=X, E=np.array([[0, 5]], dtype="u8"))
    with h5py.File(tmp_path / "new.mat", "r+") as file:
        file["E"].attrs["MATLAB_empty"] = np.uint8(1)
    path = str(tmp_path / "new.mat")
    assert open_source(DataOptions(path)).array.shape == (6, 2)
    with pytest.raises(DataError, match=r"there is no .* 'E'; the file holds X"):
        open_source(DataOptions(path, array="E"))
