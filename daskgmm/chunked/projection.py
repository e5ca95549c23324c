"""Rows projected on principal components where a chunk is loaded, and the pass that finds these."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from dask.delayed import delayed
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import DataNode, Task, TaskRef
from numpy.typing import NDArray

from ..core.arrays.naming import UNNAMED, Naming, NotFiniteError, Place
from ..core.mixture.frame import Frame
from ..core.mixture.projection import Breadth, Projection, project_on_rows, project_on_scatter
from ..core.options.reduce import Reduce
from ..errors import DataError
from .data_summary import Drawn, summarise_and_draw
from .known_blocks import KnownBlock
from .map_reduce import compute, in_slot
from .prediction import check_n_features
from .rows import Region, Rows, check_columns, place_in

_MAX_COLUMNS = 512  # whose scatter over all rows is computed
_MAX_ROWS = 2**15  # of the sample, if there are more columns
_MAX_BYTES = 2**28  # of it in float64
_ROWS_PER_AXIS = 4  # at least


def sampled_rows(reduce: Reduce, n_columns: int) -> int:
    """Return the number of rows that principal components are found on; 0 for the scatter of all rows."""
    if n_columns <= _MAX_COLUMNS:
        return 0
    least = _ROWS_PER_AXIS * reduce.most_features(n_columns) if reduce.features else 0
    return max(min(_MAX_ROWS, _MAX_BYTES // (8 * n_columns)), least)


def find_projection(rows: Rows, reduce: Reduce, seed: int) -> tuple[Projection, Rows]:
    """Return the projection of rows, from one read of them, and the rows that later reads must find the same.

    Up to 512 columns the axes are those of the scatter of all rows, of more those of a sample. Raises
    ConfigurationError if there are too few columns, and DataError if values or weights cannot be used.
    """
    reduce.check(rows.n_features)
    size = sampled_rows(reduce, rows.n_features)
    found, drawn, names = summarise_and_draw(rows, max(size, 1), seed, by_column=size > 0, identify=rows.may_change)
    rows = rows.name_blocks(names)
    if not size:
        return project_on_scatter(found.mean, found.frame, found.total_covariance, reduce.breadth), rows
    (projection,) = compute(delayed(in_slot, pure=False)(_project_drawn, found.frame, drawn, reduce.breadth, seed))
    return projection, rows


def _project_drawn(frame: Frame, drawn: Drawn, breadth: Breadth, seed: int) -> Projection:
    return project_on_rows(frame, *drawn, breadth, seed)


def project_rows(rows: Rows, projection: Projection) -> Rows:
    """Return the rows in the coordinates of a projection, each block projected where it is loaded.

    Rows of weight 0 are not looked at. Tasks raise DataError for values of others that are not finite, but for rows of
    which all values are NaN; and for blocks that are not those that an earlier read has found.
    """
    check_n_features(rows.n_features, projection.n_columns)
    name = f"project-{uuid4().hex}"
    shared, indices = f"{name}-axes", [key[1:] for key, _ in rows.block_keys]
    layer: dict[Any, Any] = {shared: DataNode(shared, (projection, rows.naming))}
    each = zip(indices, rows.block_keys, rows.regions, rows.known_blocks, strict=True)
    for index, (block, weights), region, known in each:
        weights_ref = None if weights is None else TaskRef(weights)
        key = (name, *index)
        layer[key] = Task(key, in_slot, _project_block, TaskRef(block), weights_ref, TaskRef(shared), region, known)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=rows.arrays)
    chunks = (*rows.array.chunks[:-1], (projection.n_features,))
    array = da.Array(graph, name, chunks, dtype=projection.dtype(rows.array.dtype))
    return replace(rows, array=array, naming=replace(rows.naming, features=projection.names), known=()).fuse()


def project_lazily(array: da.Array, projection: Projection) -> da.Array:
    """Return an array (*grid, d) in the coordinates of a projection, (*grid, p), lazily, in the same chunks.

    Chunk sizes may be unknown; a row of a message is then counted from the start of its chunk.
    """
    check_n_features(array.shape[-1], projection.n_columns)
    array = array.rechunk({array.ndim - 1: -1})
    dtype = projection.dtype(array.dtype)
    projected: da.Array = da.map_blocks(
        _project_block,
        array,
        None,
        delayed((projection, UNNAMED), pure=False),
        None,
        dtype=dtype,
        chunks=(*array.chunks[:-1], (projection.n_features,)),
        meta=np.empty((0,) * array.ndim, dtype),
    )
    return projected


def _project_block(
    block: NDArray[Any],
    weights: NDArray[Any] | None,
    shared: tuple[Projection, Naming],
    region: Region | None,
    known: KnownBlock | None = None,
) -> NDArray[Any]:
    """Return a block (*grid, d) in the coordinates of the projection, (*grid, p)."""
    projection, naming = shared
    flat = check_columns(block, projection.n_columns)
    if known is not None:
        known.check(flat, None if weights is None else weights.reshape(-1))
    projected = projection.project(flat)
    suspect = ~np.isfinite(projected).all(axis=1)
    if weights is not None:
        suspect &= weights.reshape(-1) > 0
    for row in np.flatnonzero(suspect):
        place: Place = (int(row),) if region is None else place_in(region, int(row))
        _check_row(flat[row], place, naming)
    return projected.reshape((*block.shape[:-1], projection.n_features))


def _check_row(row: NDArray[Any], place: Place, naming: Naming) -> None:
    """Raise DataError for the first value of a row that is not finite, unless all are NaN: it is left out."""
    bad = np.flatnonzero(~np.isfinite(row))
    if len(bad) and not np.isnan(row).all():
        raise DataError(str(NotFiniteError(place, int(bad[0]), float(row[bad[0]]), naming)))
