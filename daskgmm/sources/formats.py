"""The table of source formats: a new one is a module that holds its value, and a line here."""

from __future__ import annotations

from .hdf5 import HDF5
from .images import IMAGE
from .matlab import MATLAB
from .nifti import NIFTI
from .npy import NPY
from .npz import NPZ
from .samples import SAMPLE
from .source_format import SourceFormat
from .tables.source import TABLES
from .tiff import TIFF
from .xarray import XARRAY
from .zarr import ZARR

FORMATS: dict[str, SourceFormat] = {
    one.name: one
    for one in (
        ZARR,
        NPY,
        NPZ,
        HDF5,
        MATLAB,
        XARRAY,
        *TABLES,
        IMAGE,
        TIFF,
        NIFTI,
        SAMPLE,
    )
}
