"""NIfTI: voxels as rows, volumes as features, scaled as the header says, through nibabel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .base import Source
from .container import Member, source_of, source_of_numbers
from .guarded import Guard, Reliable, optional
from .readable import OfShape, Readable, Slices
from .source_format import SourceFormat
from .whole import Stamp, Whole, check_stamp, stamp_of

if TYPE_CHECKING:
    from .options import DataOptions

_DIMS = ("x", "y", "z", "time", "vector", "u", "v")


def open_nifti(options: DataOptions, guard: Guard, weighted: bool) -> Source:
    """Return the voxels of an image: of three axes each has one feature, of more the last axis holds them."""
    image = _image(options.path)
    shape, dtype = tuple(image.shape), _dtype(image)
    path = str(Path(options.path).absolute())
    is_packed = path.lower().endswith(".gz")
    reader: Readable = VolumeReader(path, stamp_of(path), shape, dtype)
    notices: tuple[str, ...] = ()
    stored: tuple[int, ...] | None = tuple(1 if axis >= 2 else size for axis, size in enumerate(shape))
    if is_packed:
        reader, stored = Whole(path, "", stamp_of(path), shape, dtype, _volume), None
        notices = (f"{options.path}: each process decompresses all of it: .nii, .npy or zarr is read in parts",)
    member = Member(Reliable(reader, options.path, guard), stored, _DIMS[: len(shape)], notices)
    if len(shape) <= 3 and options.feature_axis is None:
        return source_of_numbers(member, "value", options.path)
    return source_of(member, options.path, options.feature_axis)


def _image(path: str) -> Any:
    nibabel = optional("nibabel", "nifti", path)
    try:
        image = nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError, OSError, EOFError) as error:
        text = " ".join(str(error).split())
        raise DataError(f"{path} cannot be read as NIfTI: {text}: convert it to .npy or zarr") from None
    if not isinstance(image, nibabel.Nifti1Image):
        raise DataError(f"{path} is no NIfTI but {type(image).__name__}: convert it to .npy or zarr")
    return image


def _dtype(image: Any) -> np.dtype[Any]:
    """Return the stored type, or float64 where values are scaled."""
    stored = np.dtype(image.get_data_dtype())
    is_scaled = (image.dataobj.slope, image.dataobj.inter) != (1.0, 0.0)
    return np.dtype("f8") if is_scaled and stored.kind in "iuf" else stored


def _volume(path: str, name: str) -> NDArray[Any]:
    return np.asarray(_image(path).dataobj)


@dataclass(frozen=True)
class VolumeReader(OfShape):
    """The voxels of an image that is not packed, opened for each read."""

    path: str
    stamp: Stamp
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, slices: Slices) -> NDArray[Any]:
        check_stamp(self.path, self.stamp)
        return np.asarray(_image(self.path).dataobj[slices], self.dtype)


NIFTI = SourceFormat("nifti", open_nifti, (".nii", ".nii.gz"), takes=frozenset({"feature_axis"}))
