"""Arrays that are read where they are sliced: picklable, with `shape`, `dtype` and `[slices]`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import DataError
from ..options import STRICT

Slices = tuple[slice, ...]


class Readable(Protocol):
    """What a source hands on: an array that reads what is sliced from it."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def ndim(self) -> int: ...

    def __getitem__(self, slices: Slices, /) -> Any: ...


@dataclass(frozen=True)
class NpyReader:
    """A .npy file, memory-mapped where it is read."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int  # bytes of the header, which is read once: Python 3.11 fails where threads parse headers at a time
    order: Literal["C", "F"]

    @classmethod
    def open(cls, path: Path) -> NpyReader:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read as .npy: {error}") from None
        if not isinstance(array, np.memmap):
            names = ", ".join(array.files)
            array.close()
            raise DataError(f"{path} is an .npz of the arrays {names}: store the one to be read with numpy.save")
        order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
        return cls(str(path.absolute()), array.shape, array.dtype, array.offset, order)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)[slices]


@dataclass(frozen=True)
class ImageReader:
    """A PNG or JPEG as (height, width, bands), decoded once in each process that reads it."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stamp: tuple[int, int]  # time of change and size: another picture under the same name is decoded anew

    @classmethod
    def open(cls, path: Path) -> ImageReader:
        try:
            with _opened(path) as image:
                _check_image(path, image)
                bands, dtype = _bands(image)
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_size)
                return cls(str(path.absolute()), (image.height, image.width, bands), np.dtype(dtype), stamp)
        except (UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} cannot be read as an image (PNG, JPEG): {error}: {_REMEDY}") from None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        return _decoded(self.path, self.stamp)[slices]


_GREY = {"1", "L", "LA"}
_EIGHT_BITS = {*_GREY, "P", "RGB", "RGBA"}
_FORMATS = ("PNG", "JPEG")  # Pillow cuts samples of other formats to 8 bits without a word
_REMEDY = "convert it to .npy or zarr"


_FILTERS = Lock()  # filters of warnings belong to the process, and pictures are opened in many threads


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture without Pillow's warning of a large one; one of twice that size is still an error."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=_FORMATS)
    with image:
        yield image


def _check_image(path: Path, image: Image.Image) -> None:
    """Raise DataError where Pillow would leave out pages, or cut samples to 8 bits."""
    if (pages := getattr(image, "n_frames", 1)) > 1:
        raise DataError(f"{path} holds {pages} pictures, and one would be read: {_REMEDY}")
    if image.mode.startswith("I;16"):
        return
    is_cut = any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if is_cut or image.mode not in _EIGHT_BITS:
        depth = " with 16 bits a sample" if is_cut else ""
        raise DataError(f"{path} has the mode {image.mode}{depth}, which is not read: {_REMEDY}")


@lru_cache(maxsize=1)
def _decoded(path: str, stamp: tuple[int, int]) -> NDArray[Any]:
    with _opened(path) as image:
        bands, _ = _bands(image)
        pixels = np.asarray(_converted(image))
    return pixels.reshape(*pixels.shape[:2], bands)


def _converted(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return image
    if image.mode in _GREY:
        return image.convert("L")
    has_palette_alpha = image.mode == "P" and "transparency" in image.info
    return (image.convert("RGBA") if has_palette_alpha else image).convert("RGB")


def _bands(image: Image.Image) -> tuple[int, str]:
    """Return the number of bands that the pixels are read with, and their dtype: grey stays grey, the rest is RGB."""
    if image.mode in _GREY:
        return 1, "uint8"
    if image.mode.startswith("I;16"):
        return 1, "uint16"
    return 3, "uint8"


@dataclass(frozen=True)
class SyntheticOptions:
    """A mixture of Gaussians whose rows are made where they are read; used by `path: sample:synthetic`."""

    __pydantic_config__: ClassVar = STRICT

    n_samples: Annotated[int, Ge(1)] = 1_000_000
    """Rows."""
    n_features: Annotated[int, Ge(1)] = 8
    """Columns."""
    n_components: Annotated[int, Ge(1)] = 8
    """Gaussians in the mixture."""
    separation: Annotated[float, Ge(0)] = 3.0
    """Standard deviation of the means along each feature, in units of a component's own."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the mixture and of the rows."""
    dtype: Literal["float32", "float64"] = "float32"
    """Type of the rows."""


_PAGE = 65_536  # rows with a generator of their own: a row does not depend on how the array is sliced


@dataclass(frozen=True)
class SyntheticReader:
    """Rows of a random mixture, made when they are read."""

    options: SyntheticOptions

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.options.n_samples, self.options.n_features)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.options.dtype)

    @property
    def ndim(self) -> int:
        return 2

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        start, stop, _ = slices[0].indices(self.options.n_samples)
        rows = np.empty((stop - start, self.options.n_features), self.dtype)
        for page in range(start // _PAGE, -(-stop // _PAGE)):
            first = page * _PAGE
            a, b = max(start, first), min(stop, first + _PAGE)
            rows[a - start : b - start] = self._page(page)[a - first : b - first]
        return rows[(slice(None), *slices[1:])]

    def _page(self, page: int) -> NDArray[Any]:
        means, factors, weights = _parameters(self.options)
        rng = np.random.default_rng([self.options.seed, 1, page])
        labels = rng.choice(len(weights), size=_PAGE, p=weights)
        noise = rng.standard_normal((_PAGE, self.options.n_features), dtype=np.float32)
        rows = np.empty_like(noise)
        for component in range(len(weights)):
            own = labels == component
            rows[own] = noise[own] @ factors[component].T + means[component]
        return rows.astype(self.dtype, copy=False)


@lru_cache(maxsize=4)
def _parameters(options: SyntheticOptions) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return means (k, d), lower factors of the covariances (k, d, d), float32, and weights (k,)."""
    k, d = options.n_components, options.n_features
    rng = np.random.default_rng([options.seed, 0])
    means = options.separation * rng.standard_normal((k, d))
    factors = np.tril(rng.standard_normal((k, d, d)) * 0.5 / np.sqrt(d), k=-1)
    factors += np.eye(d) * rng.uniform(0.5, 1.5, (k, 1, d))
    weights = rng.dirichlet(np.full(k, 5.0))
    return means.astype(np.float32), factors.astype(np.float32), weights
