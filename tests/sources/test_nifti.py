"""NIfTI: what nibabel writes is read to the same numbers in the same places."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

nibabel = pytest.importorskip("nibabel", reason="needs the package nibabel")


@settings(max_examples=20, deadline=None)
@given(
    values=arrays(
        st.sampled_from(["u1", "i2", "f4"]),
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(2, 5)) | st.tuples(*[st.integers(2, 4)] * 4),
        elements=st.integers(0, 99),
    ),
    scaling=st.sampled_from([(1.0, 0.0), (0.5, -3.0)]),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
)
def test_voxels_are_read_as_nibabel_scales_them(tmp_path_factory, values, scaling, suffix):
    folder = tmp_path_factory.mktemp("nifti")
    path = str(folder / f"a{suffix}")
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(*scaling)
    image.to_filename(path)
    expected = np.asarray(nibabel.load(path).dataobj)
    expected = expected[..., None] if expected.ndim == 3 else expected
    source = pickle.loads(pickle.dumps(open_source(DataOptions(path))))
    assert source.dims == ("x", "y", "z")
    assert len(source.notices) == (suffix == ".nii.gz")
    np.testing.assert_allclose(source.array[(slice(None),) * 4], expected)
    np.testing.assert_allclose(source.array[(slice(1, 3), slice(0, 4, 2))], expected[1:3, 0:4:2])


def test_raw_values_are_scaled(tmp_path):
    values = np.arange(24, dtype="i2").reshape(2, 3, 4)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header["scl_slope"], image.header["scl_inter"] = 0.5, 10
    header, path = image.header.copy(), tmp_path / "a.nii"
    header.set_data_offset(352)
    header["magic"] = b"n+1"
    path.write_bytes(header.binaryblock + bytes(4) + values.tobytes(order="F"))
    source = open_source(DataOptions(str(path)))
    np.testing.assert_array_equal(source.array[(slice(None),) * 4][..., 0], values * 0.5 + 10)
    assert source.stored_chunks == (2, 3, 1)


def test_a_file_that_is_no_nifti_or_is_truncated_is_named(tmp_path):
    for suffix in (".nii", ".nii.gz"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"x")
        with pytest.raises(DataError, match=r"cannot be read as NIfTI: .*convert it to"):
            open_source(DataOptions(str(path)))
        image = nibabel.Nifti1Image(np.random.default_rng(0).standard_normal((9, 9, 9)), np.eye(4))
        image.to_filename(path)
        path.write_bytes(path.read_bytes()[:-2000])
        source = open_source(DataOptions(str(path)))
        with pytest.raises(DataError, match="cannot be read"):
            source.array[(slice(None),) * 4]
