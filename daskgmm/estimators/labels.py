"""The labels of rows that a user hands to the estimator as y, as an array over the grid of the rows."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from ..core.em.labelled_rows import UNKNOWN
from ..errors import DataError
from .row_weights import by_dimension, is_xarray, refuse_mask, with_known_chunks


def read_labels(y: Any, grid: tuple[int, ...], labelled: Any = None) -> da.Array | None:
    """Read y as labels (*grid); None unless it has integers of which some are -1.

    Pipelines hand over classes and targets of other estimators, which are no numbers of components. A DataArray goes by
    its dimensions and coordinates if `labelled`, a DataArray (*grid), has those of the rows. Raises DataError for
    labels of another shape than the rows, and for masked ones.
    """
    if y is None:
        return None
    values = _values(y)
    if values.dtype.kind != "i" or not bool((values == UNKNOWN).any()):
        return None
    if is_xarray(y):
        values = _values(by_dimension(y, labelled, "y"))
    if values.shape != grid:
        raise DataError(f"y has the shape {values.shape}, but the rows have {grid}: give one label for each row")
    return da.asarray(values)


def _values(y: Any) -> NDArray[Any] | da.Array:
    """Return y as an array; raise DataError for integers of which some are masked."""
    if is_xarray(y):
        y = y.data
    if hasattr(y, "to_dask_array"):
        y = y.to_dask_array()
    if getattr(getattr(y, "dtype", None), "kind", "") == "i":
        refuse_mask(y, "y", "fill them with -1, for rows whose component is not known")
    return with_known_chunks(y) if isinstance(y, da.Array) else np.asarray(y)
