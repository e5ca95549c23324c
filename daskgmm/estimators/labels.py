"""The labels of rows that a user hands to the estimator as y, as an array over the grid of the rows."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np

from ..core.em.labelled_rows import UNKNOWN
from ..errors import DataError
from .row_weights import is_xarray, with_known_chunks


def read_labels(y: Any, grid: tuple[int, ...]) -> da.Array | None:
    """Read y as labels (*grid); None unless it has integers of which some are -1.

    Pipelines hand over classes and targets of other estimators, which are no numbers of components. Raises DataError
    for labels of another shape than the rows.
    """
    if y is None:
        return None
    if is_xarray(y):
        y = y.data
    if hasattr(y, "to_dask_array"):
        y = y.to_dask_array()
    values = with_known_chunks(y) if isinstance(y, da.Array) else np.asarray(y)
    if values.dtype.kind != "i" or not bool((values == UNKNOWN).any()):
        return None
    if values.shape != grid:
        raise DataError(f"y has the shape {values.shape}, but the rows have {grid}: give one label for each row")
    return da.asarray(values)
