"""Pictures: PNG and JPEG through Pillow, PNG of 16-bit colours through imagecodecs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import DataError
from .base import Source
from .guarded import Guard, Reliable, optional
from .source_format import SourceFormat
from .whole import Whole, stamp_of

if TYPE_CHECKING:
    from .options import DataOptions


def open_image(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the pixels of a PNG or JPEG."""
    reader = open_picture(Path(options.path))
    names = ("red", "green", "blue") if reader.shape[-1] == 3 else ("grey",)
    return Source(Reliable(reader, options.path, guard), options.path, feature_names=names, is_image=True)


def open_picture(path: Path) -> Whole:
    """Return a picture as (height, width, bands), decoded once in each process; grey stays grey, the rest is RGB.

    Raise DataError for a file that is no picture, holds several, or has samples that would be cut.
    """
    try:
        with _open_picture(path) as image:
            _check_image(path, image)
            bands = 1 if _is_grey(image) else 3
            dtype = np.dtype("u2" if _is_deep(image) else "u1")
            shape = (image.height, image.width, bands)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image (PNG, JPEG): {error}: {_REMEDY}") from None
    return Whole(str(path.absolute()), "", stamp_of(path), shape, dtype, _pixels)


_GREY = {"1", "L", "LA"}
_EIGHT_BITS = {*_GREY, "P", "RGB", "RGBA"}
_FORMATS = ("PNG", "JPEG")  # Pillow cuts samples of other formats to 8 bits without a word
_REMEDY = "convert it to .npy or zarr"


_FILTERS = Lock()  # filters of warnings belong to the process, and pictures are opened in many threads


@contextmanager
def _open_picture(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture without Pillow's warning of a large one; one of twice that size is still an error."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=_FORMATS)
    with image:
        yield image


def _is_grey(image: Image.Image) -> bool:
    """Return whether samples are grey, as they are stored: Pillow opens 16-bit grey with alpha as colours."""
    raw = [str(tile[3]) for tile in getattr(image, "tile", ())]
    return image.mode in _GREY or image.mode.startswith("I;16") or any(one.startswith("LA;16") for one in raw)


def _is_deep(image: Image.Image) -> bool:
    """Return whether samples have 16 bits, which Pillow would cut where they are colours."""
    return image.mode.startswith("I;16") or any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def _check_image(path: Path, image: Image.Image) -> None:
    """Raise DataError where pages would be left out, or samples are of a kind that is not read."""
    if (pages := getattr(image, "n_frames", 1)) > 1:
        raise DataError(f"{path} holds {pages} pictures, and one would be read: {_REMEDY}")
    if image.mode not in _EIGHT_BITS and not image.mode.startswith("I;16"):
        raise DataError(f"{path} has the mode {image.mode}, which is not read: {_REMEDY}")
    if _is_deep(image):
        optional("imagecodecs", "tiff", f"{path}, of 16 bits a sample,")


def _pixels(path: str, name: str) -> NDArray[Any]:
    """Return all pixels, without alpha; a palette is looked up."""
    with _open_picture(path) as image:
        if _is_deep(image):
            return _deep_pixels(Path(path).read_bytes())
        if image.mode in _GREY:
            return np.asarray(image.convert("L"))[..., None]
        has_palette_alpha = image.mode == "P" and "transparency" in image.info
        return np.asarray((image.convert("RGBA") if has_palette_alpha else image).convert("RGB"))


def _deep_pixels(data: bytes) -> NDArray[Any]:
    imagecodecs = optional("imagecodecs", "tiff", "a picture of 16 bits a sample")
    pixels: NDArray[Any] = imagecodecs.png_decode(data)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    return pixels[..., : 1 if pixels.shape[-1] < 3 else 3]


IMAGE = SourceFormat("image", open_image, (".png", ".jpg", ".jpeg"))
