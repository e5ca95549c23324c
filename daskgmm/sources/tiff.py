"""TIFF: the samples, pages and tiles of a file as one array, read by tiles and strips through tifffile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ..errors import DataError
from .base import Source
from .container import Member, source_of, source_of_numbers
from .geotiff import open_geotiff
from .guarded import Guard, Reliable, optional
from .readable import OfShape, Slices
from .source_format import SourceFormat
from .whole import Stamp, check_stamp, stamp_of

if TYPE_CHECKING:
    from .options import DataOptions

_GEOTIFF_TAGS = (33550, 33922, 34264, 34735, 42112, 42113)  # tags of GeoTIFF, and GDAL's of scale, offset and nodata
_NAMES = {"S": "sample", "C": "channel", "Q": "page", "I": "page", "T": "time", "Z": "z", "Y": "y", "X": "x"}
_READ_INTERPRETATIONS = {"MINISBLACK", "MINISWHITE", "RGB", "YCBCR"}  # tifffile gives YCbCr of JPEG as RGB


def open_tiff(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the pixels of a TIFF: its samples or channels are features, else each pixel has one.

    Raise DataError for pages that may be features or rows unless feature_axis says so, for a palette and for several
    images of different shapes.
    """
    optional("tifffile", "tiff", options.path)
    path = str(Path(options.path).absolute())
    with _open_series(path) as file:
        if any(tag in file.pages[0].tags for tag in _GEOTIFF_TAGS):
            return open_geotiff(options, guard)
        series = _only_series(file, options.path)
        _check_samples(series.keyframe, options.path)
        axes, (stored, shape, dtype) = series.axes, _find_stored_shape(series)
        notices = (f"{options.path}: 0 is white in it",) if series.keyframe.photometric == 0 else ()
    axis = options.feature_axis if options.feature_axis is not None else _feature_axis(axes, options.path)
    array = Reliable(TiffReader(path, stamp_of(path), shape, dtype), options.path, guard)
    member = Member(array, stored, tuple(_NAMES.get(one, one.lower()) for one in axes), notices)
    return source_of_numbers(member, "grey", options.path) if axis is None else source_of(member, options.path, axis)


@contextmanager
def _open_series(path: str) -> Iterator[Any]:
    tifffile = optional("tifffile", "tiff", path)
    try:
        file = tifffile.TiffFile(path)
    except tifffile.TiffFileError as error:
        raise DataError(f"{path} cannot be read as TIFF: {error}: convert it to .npy or zarr") from None
    with file:
        yield file


def _only_series(file: Any, path: str) -> Any:
    if len(file.series) != 1:
        shapes = ", ".join(" x ".join(map(str, one.shape)) for one in file.series)
        raise DataError(f"{path} holds {len(file.series)} images ({shapes}): store the one to be read by itself")
    series = file.series[0]
    if any(page is None for page in series):  # tifffile would fill it
        raise DataError(
            f"{path} lacks pages that its description names, or the files that hold them: put them next to it"
        )
    return series


def _check_samples(page: Any, path: str) -> None:
    """Raise DataError where the stored numbers are no amounts of light, but numbers of colours."""
    kind = getattr(page.photometric, "name", str(page.photometric))
    if kind not in _READ_INTERPRETATIONS:
        raise DataError(f"{path} has samples of the kind {kind}, which are not read: convert it to grey or RGB")


def _find_stored_shape(series: Any) -> tuple[tuple[int, ...], tuple[int, ...], np.dtype[Any]]:
    """Return the shape of tiles or strips, that of the whole, and the dtype."""
    array = zarr.open_array(series.aszarr(level=0), mode="r")
    return array.chunks, array.shape, np.dtype(array.dtype)


def _feature_axis(axes: str, path: str) -> int | None:
    """Return the axis of the samples or channels, None where each pixel is one number."""
    found = [index for index, axis in enumerate(axes) if axis in "SC"]
    if len(found) == 1 and set(axes) <= set("TZYXSC"):
        return found[0]
    if not found and set(axes) <= set("TZYX"):
        return None
    names = [_NAMES.get(one, one.lower()) for one in axes]
    such = names[found[-1] if found else 0]
    raise DataError(
        f"{path} has the axes {', '.join(names)}: set data.feature_axis to the one of the features, such as {such}, or "
        "store it with axes that are named (OME-TIFF, ImageJ) or as zarr"
    )


@dataclass(frozen=True)
class TiffReader(OfShape):
    """The only image of a TIFF, opened for each read."""

    path: str
    stamp: Stamp
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        check_stamp(self.path, self.stamp)
        with _open_series(self.path) as file:
            return np.asarray(zarr.open_array(file.series[0].aszarr(level=0), mode="r")[slices])


TIFF = SourceFormat(
    "tiff",
    open_tiff,
    (".tif", ".tiff", ".btf"),
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    takes=frozenset({"feature_axis"}),
)
