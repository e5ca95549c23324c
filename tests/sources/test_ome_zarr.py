"""OME-Zarr: channels are features of the finest level, whichever version of the format names the axes."""

import numpy as np
import pytest
import zarr

from daskgmm.sources import DataOptions, open_source

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("f4")  # t, c, y, x
TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write(path, values, axes, version):
    axes_of_4 = [{"name": axis, "type": TYPES[axis]} for axis in axes]
    image = {"axes": list(axes) if version == "0.3" else axes_of_4, "datasets": [{"path": "0"}, {"path": "1"}]}
    attributes = {"ome": {"multiscales": [image]}} if version == "0.5" else {"multiscales": [image]}
    group = zarr.create_group(str(path), zarr_format=3 if version == "0.5" else 2, attributes=attributes)
    names = {"dimension_names": list(axes)} if version == "0.5" else {}
    for level in (0, 1):
        data = values[..., :: 2**level, :: 2**level]
        group.create_array(str(level), data=data, chunks=(*[1] * (values.ndim - 2), 4, 4), **names)
    return str(path)


@pytest.mark.parametrize("version", ["0.3", "0.4", "0.5"])
def test_channels_of_the_finest_level_are_features(tmp_path, version):
    path = write(tmp_path / "a.zarr", IMAGE, "tcyx", version)
    for options in ({}, {"array": "0", "feature_axis": "c"}, {"feature_axis": 1}):
        source = open_source(DataOptions(path, **options))
        assert source.dims == ("t", "y", "x")
        assert source.stored_chunks == (1, 4, 4)
        np.testing.assert_array_equal(source.array[(slice(None),) * 4], np.moveaxis(IMAGE, 1, -1))
    coarse = open_source(DataOptions(path, array="1", feature_axis="c"))
    np.testing.assert_array_equal(coarse.array[(slice(None),) * 4], np.moveaxis(IMAGE, 1, -1)[:, ::2, ::2])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_without_channels_each_value_is_a_row(tmp_path, version):
    source = open_source(DataOptions(write(tmp_path / "a.zarr", IMAGE[0], "zyx", version)))
    assert source.dims == ("z", "y", "x")
    np.testing.assert_array_equal(source.array[(slice(None),) * 4], IMAGE[0][..., None])
