"""The table of source formats: a new one is a module that holds its value, and a line here."""

from __future__ import annotations

from .hdf5 import HDF5
from .npy import IMAGE, NPY
from .samples import SAMPLE
from .source_format import SourceFormat
from .tables.source import TABLES
from .xarray import XARRAY
from .zarr import ZARR

FORMATS: dict[str, SourceFormat] = {
    one.name: one
    for one in (
        ZARR,
        NPY,
        HDF5,
        XARRAY,
        *TABLES,
        IMAGE,
        SAMPLE,
    )
}
