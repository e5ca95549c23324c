"""GeoTIFF: bands as features, places as coordinates, missing values as NaN, through rasterio."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError, DataError
from .base import Coordinate, Source
from .container import MAX_COORDINATE
from .guarded import Guard, Reliable, optional
from .readable import OfShape, Slices

if TYPE_CHECKING:
    from .options import DataOptions


def open_geotiff(options: DataOptions, guard: Guard) -> Source:
    """Return the pixels of a GeoTIFF; values that its nodata, mask or alpha band leave out are NaN, others scaled."""
    if options.feature_axis not in {None, "band"}:
        raise ConfigurationError(
            f"data.feature_axis {options.feature_axis!r}: the features of {options.path} are its bands: leave it out"
        )
    path = str(Path(options.path).absolute())
    with _open_raster(path) as file:
        bands = _bands(file, options.path)
        names = [file.descriptions[band - 1] or f"band {band}" for band in bands]
        reader = RasterReader(path, bands, (*file.shape, len(bands)), _dtype(file, bands))
        return Source(
            Reliable(reader, options.path, guard),
            options.path,
            tuple(file.block_shapes[0]),
            feature_names=tuple(names) if len(set(names)) == len(names) else None,
            dims=("y", "x"),
            coordinates=_coordinates(file),
        )


_FILTERS = Lock()  # filters of warnings belong to the process


@contextmanager
def _open_raster(path: str) -> Iterator[Any]:
    """Open a raster, without rasterio's warning of one that lies nowhere on the Earth."""
    rasterio = optional("rasterio", "geotiff", path)
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        file = rasterio.open(path, driver="GTiff")
    with file:
        yield file


def _bands(file: Any, path: str) -> tuple[int, ...]:
    """Return the numbers of the bands that hold values; raise DataError for a palette, or for several images."""
    if file.subdatasets:
        raise DataError(f"{path} holds {len(file.subdatasets)} images: store the one to be read by itself")
    kinds = [kind.name for kind in file.colorinterp]
    if "palette" in kinds:
        raise DataError(f"{path} holds numbers of colours or classes, which are no amounts: convert it")
    return tuple(band for band, kind in enumerate(kinds, start=1) if kind != "alpha")


def _is_scaled(file: Any, bands: tuple[int, ...]) -> bool:
    return any((file.scales[band - 1], file.offsets[band - 1]) != (1.0, 0.0) for band in bands)


def _dtype(file: Any, bands: tuple[int, ...]) -> np.dtype[Any]:
    """Return the stored type, or a float type that holds its values where they are scaled or some are missing."""
    stored = np.result_type(*(np.dtype(file.dtypes[band - 1]) for band in bands))
    is_whole = all(flag.name == "all_valid" for band in bands for flag in file.mask_flag_enums[band - 1])
    if _is_scaled(file, bands):
        return np.dtype("f8")
    if is_whole or stored.kind not in "iu":
        return stored
    return np.dtype("f4" if stored.itemsize < 4 else "f8")


def _coordinates(file: Any) -> dict[str, Coordinate]:
    """Return the places of the middles of pixels, unless the axes are turned or longer than 2**20."""
    place = file.transform
    if place.is_identity or place.b or place.d or max(file.shape) > MAX_COORDINATE:
        return {}
    crs = {"crs": file.crs.to_string()} if file.crs else {}
    return {
        "y": Coordinate(place.f + place.e * (np.arange(file.height) + 0.5), crs),
        "x": Coordinate(place.c + place.a * (np.arange(file.width) + 0.5), crs),
    }


@dataclass(frozen=True)
class RasterReader(OfShape):
    """Bands of a raster as (height, width, bands), opened for each read."""

    path: str
    bands: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        (top, bottom, down), (left, right, along), *of_bands = (
            one.indices(size) for one, size in zip((*slices, *[slice(None)] * 3)[:3], self.shape, strict=True)
        )
        bands = [self.bands[index] for index in range(*of_bands[0])]
        with _open_raster(self.path) as file:
            values = self._read(file, bands, ((top, max(bottom, top)), (left, max(right, left))))
            if _is_scaled(file, self.bands):
                factors, offsets = (np.array([of[band - 1] for band in bands]) for of in (file.scales, file.offsets))
                values = values * factors + offsets
        return np.ascontiguousarray(values[::down, ::along], self.dtype)

    def _read(self, file: Any, bands: list[int], window: tuple[tuple[int, int], tuple[int, int]]) -> NDArray[Any]:
        """Return the values of a window as (height, width, bands), those left out as NaN."""
        if self.dtype.kind != "f":
            return np.moveaxis(file.read(bands, window=window), 0, -1)
        values = file.read(bands, window=window, masked=True).astype(self.dtype)
        return np.moveaxis(np.ma.filled(values, np.nan), 0, -1)
