"""TIFF: what tifffile and Pillow write is read to the same numbers in the same places."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from daskgmm.errors import DataError
from daskgmm.sources import DataOptions, open_source

tifffile = pytest.importorskip("tifffile", reason="needs the package tifffile")
pytest.importorskip("imagecodecs", reason="needs the package imagecodecs")

RAMP = np.arange(24, dtype="u2").reshape(4, 6) * 2700
BANDS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]])
DTYPES = st.sampled_from(["u1", "u2", "i2", "u4", "i4", "f4", "f8"])
LAYOUTS = st.fixed_dictionaries(
    {
        "bigtiff": st.booleans(),
        "byteorder": st.sampled_from("<>"),
        "compression": st.sampled_from([None, "zlib", "lzw", "zstd"]),
    }
)
CUTS = st.sampled_from([{}, {"tile": (16, 16)}, {"rowsperstrip": 3}])


def whole(source):
    return source.array[(slice(None),) * source.array.ndim]


@settings(max_examples=25, deadline=None)
@given(data=st.data(), dtype=DTYPES, layout=LAYOUTS, cut=CUTS, bands=st.sampled_from([None, 2, 3, 4, 5]))
def test_samples_are_read_as_written(tmp_path_factory, data, dtype, layout, cut, bands):
    path = str(tmp_path_factory.mktemp("tiff") / "a.tif")
    shape = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40)), *([bands] if bands else []))
    finite = {} if dtype[0] != "f" else {"elements": {"allow_nan": False, "allow_infinity": False}}
    values = data.draw(arrays(dtype, shape, **finite))
    planar = {"planarconfig": data.draw(st.sampled_from(["contig", "separate"]))} if bands else {}
    written = np.moveaxis(values, -1, 0) if planar.get("planarconfig") == "separate" else values
    tifffile.imwrite(path, written, photometric="minisblack", metadata=None, **layout, **cut, **planar)
    source = open_source(DataOptions(path))
    expected = values.reshape(*shape[:2], bands or 1)
    np.testing.assert_array_equal(whole(source), expected)
    top = data.draw(st.integers(0, shape[0]))
    np.testing.assert_array_equal(source.array[(slice(top, None), slice(1, 9), slice(None))], expected[top:, 1:9])


def test_the_stored_tiles_are_whole_in_the_chunks(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 96, 3), "u1"), photometric="rgb", tile=(16, 32))
    source = open_source(DataOptions(str(tmp_path / "a.tif")))
    assert source.stored_chunks == (16, 32)
    assert source.dims == ("y", "x")


@pytest.mark.parametrize(
    ("metadata", "dims", "shape"),
    [
        ({"axes": "CYX"}, ("y", "x"), (4, 6, 3)),
        ({"axes": "ZYX"}, ("z", "y", "x"), (3, 4, 6, 1)),
        ({"axes": "TYX"}, ("time", "y", "x"), (3, 4, 6, 1)),
    ],
)
@pytest.mark.parametrize("name", ["a.ome.tif", "a.tif"])
def test_channels_are_features_and_planes_are_rows(tmp_path, metadata, dims, shape, name):
    tifffile.imwrite(tmp_path / name, BANDS, metadata=metadata, photometric="minisblack", imagej=name == "a.tif")
    source = open_source(DataOptions(str(tmp_path / name)))
    assert source.dims == dims
    np.testing.assert_array_equal(
        whole(source), np.moveaxis(BANDS, 0, -1) if "C" in metadata["axes"] else BANDS[..., None]
    )
    assert source.array.shape == shape


def test_pages_of_no_known_meaning_are_features_if_the_options_say_so(tmp_path):
    first, *others = (Image.fromarray(band) for band in BANDS)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    with pytest.raises(DataError, match=r"axes page, y, x: set data\.feature_axis .* such as page"):
        open_source(DataOptions(str(tmp_path / "a.tif")))
    for axis in ("page", 0):
        source = pickle.loads(pickle.dumps(open_source(DataOptions(str(tmp_path / "a.tif"), feature_axis=axis))))
        np.testing.assert_array_equal(whole(source), np.moveaxis(BANDS, 0, -1))


def test_the_first_level_of_a_pyramid_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(np.zeros((64, 64), "u2") + 7, subifds=1, tile=(16, 16))
        writer.write(np.zeros((32, 32), "u2"), subfiletype=1, tile=(16, 16))
    assert open_source(DataOptions(str(tmp_path / "a.ome.tif"))).array.shape == (64, 64, 1)


def test_numbers_of_colours_are_refused(tmp_path):
    Image.fromarray((RAMP >> 8).astype("u1")).convert("P").save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="kind PALETTE"):
        open_source(DataOptions(str(tmp_path / "a.tif")))


def test_images_of_several_shapes_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for image in (RAMP, RAMP[:2]):
            writer.write(image, metadata=None)
    with pytest.raises(DataError, match=r"holds 2 images \(4 x 6, 2 x 6\)"):
        open_source(DataOptions(str(tmp_path / "a.tif")))


def test_a_file_that_is_no_tiff_or_has_changed_is_named(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.tif is no tiff file.* convert it to"):
        open_source(DataOptions(str(path)))
    tifffile.imwrite(path, RAMP)
    source = open_source(DataOptions(str(path)))
    tifffile.imwrite(path, BANDS, photometric="minisblack")
    with pytest.raises(DataError, match="has changed since it was opened"):
        whole(source)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_truncated_file_is_named(tmp_path, compression):
    path = tmp_path / "a.tif"
    values = np.random.default_rng(0).integers(0, 60000, (64, 64)).astype("u2")
    tifffile.imwrite(path, values, compression=compression, rowsperstrip=16)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(DataError, match=r"a\.tif cannot be read"):
        whole(open_source(DataOptions(str(path))))


def ome(file, other):
    """Return the description of an image of two channels, the second of which is in another file."""
    planes = "".join(
        f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'
        for c, name in enumerate((file, other))
    )
    size = 'DimensionOrder="XYCZT" Type="uint16" SizeX="6" SizeY="4" SizeC="2" SizeZ="1" SizeT="1"'
    channels = '<Channel ID="Channel:0:0" SamplesPerPixel="1"/><Channel ID="Channel:0:1" SamplesPerPixel="1"/>'
    return (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" {size}>{channels}{planes}</Pixels></Image></OME>'
    )


def test_an_image_that_lacks_one_of_its_files_is_refused(tmp_path):
    for name, values in (("a.ome.tif", RAMP), ("b.ome.tif", RAMP + 1)):
        tifffile.imwrite(tmp_path / name, values, description=ome("a.ome.tif", "b.ome.tif"), metadata=None)
    source = open_source(DataOptions(str(tmp_path / "a.ome.tif")))
    np.testing.assert_array_equal(whole(source), np.stack([RAMP, RAMP + 1], axis=-1))
    (tmp_path / "b.ome.tif").unlink()
    with pytest.raises(DataError, match="lacks pages that its description names"):
        open_source(DataOptions(str(tmp_path / "a.ome.tif")))
