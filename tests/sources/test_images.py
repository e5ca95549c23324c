"""PNG: what Pillow and imagecodecs write is read to the same numbers, of 8 and of 16 bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from daskgmm.sources import DataOptions, open_source

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))


def pixels(path):
    return open_source(DataOptions(str(path))).array[(slice(None),) * 3]


@settings(max_examples=20, deadline=None)
@given(size=SIZES, bands=st.sampled_from([1, 2, 3, 4]), data=st.data())
def test_samples_of_8_bits_are_read_without_alpha(tmp_path_factory, size, bands, data):
    values = data.draw(arrays("u1", (*size, bands)))
    path = tmp_path_factory.mktemp("png") / "a.png"
    Image.fromarray(values[..., 0] if bands == 1 else values).save(path)
    np.testing.assert_array_equal(pixels(path), values[..., : 3 if bands > 2 else 1])


@settings(max_examples=20, deadline=None)
@given(size=SIZES, bands=st.sampled_from([1, 2, 3, 4]), data=st.data())
def test_samples_of_16_bits_are_not_cut(tmp_path_factory, size, bands, data):
    imagecodecs = pytest.importorskip("imagecodecs", reason="needs the package imagecodecs")
    values = data.draw(arrays("u2", (*size, bands)))
    path = tmp_path_factory.mktemp("png") / "a.png"
    path.write_bytes(imagecodecs.png_encode(values[..., 0] if bands == 1 else values))
    read = pixels(path)
    assert read.dtype == "u2"
    np.testing.assert_array_equal(read, values[..., : 3 if bands > 2 else 1])
