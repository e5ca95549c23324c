"""Rows: the data of a fit as a dask array of blocks, with weights and the grid that the rows came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from math import prod
from typing import Any
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from dask.core import flatten
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import Task, TaskRef
from numpy.typing import NDArray

from ..concurrency import current_execution
from ..core.arrays.blocks import check_numbers
from ..core.arrays.naming import UNNAMED, Naming
from ..errors import DataError
from .chunk_plan import ChunkBytes, Stored, keep_or_plan, plan_chunks
from .groups import GROUP_SUFFIX, Groups, block_in, group_size, group_tasks, weights_in
from .known_blocks import KnownBlock
from .mask import presence
from .placement import place, running_workers

Region = tuple[slice, ...]
Shape = tuple[int, ...]
CHUNK = "-chunk"  # ends the name of tasks that work on one block, whose number is in their key
_HELD_SUFFIX = "-held"  # ends the name of blocks that workers hold


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows of d features: an array (*grid, d) with one chunk along d, and row weights (*grid) with the same chunks.

    A block of the array holds its rows in C order. Rows are numbered block by block, blocks in C order; for arrays
    (n, d) that is the order of the rows.
    """

    array: da.Array  # (*grid, d)
    weights: da.Array | None = None  # (*grid)
    naming: Naming = UNNAMED  # of features, and of files along the first axis
    missing: bool = False  # whether NaN is a missing value, not a fault
    groups: Groups | None = None  # of the blocks and their weights, if they are held so
    known: tuple[str, ...] = ()  # names of the blocks, as an earlier read has found them: passes check them
    in_memory: bool = False  # whether the blocks are views of an array of this process, or are made of such

    @classmethod
    def of(cls, array: da.Array, weights: da.Array | None = None, chunk_bytes: ChunkBytes = "auto") -> Rows:
        """Return rows of a dask array (*grid, d) of known chunks, rechunked where its chunks do not serve."""
        grid_chunks, row_bytes = array.chunks[:-1], array.shape[-1] * array.dtype.itemsize
        planned = keep_or_plan(grid_chunks, max(row_bytes, 1), chunk_bytes)
        chunks = (*planned, (array.shape[-1],))
        array = array if chunks == array.chunks else as_declared(array).rechunk(chunks)
        if weights is not None:
            _check_weights(array, weights)
            weights = weights if weights.chunks == planned else as_declared(weights, "weights").rechunk(planned)
        return cls(array, weights).fuse()

    @classmethod
    def of_memory(
        cls, array: NDArray[Any], weights: NDArray[Any] | None = None, chunk_bytes: ChunkBytes = "auto"
    ) -> Rows:
        """Return rows of a NumPy array (*grid, d) in views of it, without a copy."""
        if weights is not None:
            _check_weights(array, np.asarray(weights))
        row_bytes = max(array.shape[-1] * array.dtype.itemsize, 1)
        chunks = plan_chunks(array.shape[:-1], row_bytes, None, chunk_bytes)
        blocks = da.core.normalize_chunks((*chunks, array.shape[-1]), shape=array.shape)
        lazy_weights = None if weights is None else _views(np.asarray(weights), blocks[:-1])
        return cls(_views(array, blocks), lazy_weights, in_memory=True)

    @classmethod
    def of_readable(
        cls,
        array: Any,
        stored: Stored = None,
        weights: Any | None = None,
        valid: Any | None = None,
        fill_values: tuple[float, ...] = (),
        chunk_bytes: ChunkBytes = "auto",
    ) -> Rows:
        """Return rows of anything with shape, dtype and [slices]; each block is one read of whole stored chunks.

        An array of one axis holds one feature. Rows are left out where `valid` (*grid) is False, and where a feature
        equals one of `fill_values` (NaN: is NaN). For `stored` see `plan_chunks`. What it takes to say how the rows are
        cut is arithmetic: only `fuse` makes something for each block.
        """
        for what in (weights, valid):
            if what is not None:
                _check_weights(array, what)
        masked = valid is not None or bool(fill_values)
        if isinstance(array, np.ndarray):
            array = array if array.ndim > 1 else array[:, None]
            weights = presence(array, weights, _read(valid), fill_values) if masked else weights
            return cls.of_memory(array, weights, chunk_bytes)
        grid, n_features = (array.shape, 1) if array.ndim == 1 else (array.shape[:-1], array.shape[-1])
        chunks = plan_chunks(grid, max(n_features * array.dtype.itemsize, 1), stored, chunk_bytes)
        read = _lazy(array, chunks if array.ndim == 1 else (*chunks, n_features))
        if array.ndim == 1:
            read = read[:, None]
        lazy_weights, lazy_valid = (None if one is None else _lazy(one, chunks) for one in (weights, valid))
        if masked:
            lazy_weights = _presence(read, lazy_weights, lazy_valid, fill_values)
        return cls(read, lazy_weights)

    @property
    def grid(self) -> tuple[int, ...]:
        grid: tuple[int, ...] = self.array.shape[:-1]
        return grid

    @property
    def n_features(self) -> int:
        return int(self.array.shape[-1])

    @property
    def n_rows(self) -> int:
        return prod(self.grid)

    @property
    def n_bytes(self) -> int:
        return int(self.array.nbytes) + (0 if self.weights is None else int(self.weights.nbytes))

    @property
    def regions(self) -> list[Region]:
        """The part of the grid that each block holds, in the order of the blocks."""
        return self.regions_of(self.array.chunks[:-1])

    @staticmethod
    def regions_of(chunks: tuple[tuple[int, ...], ...]) -> list[Region]:
        """Return the part of a grid that each block of chunks holds, in the order of the blocks."""
        edges = [np.concatenate([[0], np.cumsum(sizes)]).tolist() for sizes in chunks]
        slices = [[slice(a, b) for a, b in pairwise(e)] for e in edges]
        return list(product(*slices))

    @property
    def block_sizes(self) -> list[int]:
        """The number of rows of each block."""
        return [prod(sizes) for sizes in product(*self.array.chunks[:-1])]

    @property
    def block_shapes(self) -> list[Shape]:
        """The shape of each block, (*grid, d)."""
        return [(*sizes, self.n_features) for sizes in product(*self.array.chunks[:-1])]

    @property
    def block_keys(self) -> list[tuple[Any, Any]]:
        """The keys of each block and of its weights (None without), in the order of the blocks."""
        indices = list(product(*(range(len(sizes)) for sizes in self.array.chunks[:-1])))
        weights = [None if self.weights is None else (self.weights.name, *index) for index in indices]
        return [((self.array.name, *index, 0), weight) for index, weight in zip(indices, weights, strict=True)]

    @property
    def held_groups(self) -> Groups | None:
        """The groups that hold these blocks with these weights, None without."""
        names = tuple(one.name for one in self.arrays)
        return self.groups if self.groups is not None and self.groups.names == names else None

    @property
    def may_change(self) -> bool:
        """Whether a later pass may find other rows: they are not in the memory of this process.

        Those that a worker held are read again if it is lost.
        """
        return not self.in_memory

    @property
    def arrays(self) -> tuple[da.Array, ...]:
        """The array and, if there are any, the weights."""
        return (self.array,) if self.weights is None else (self.array, self.weights)

    @property
    def _names(self) -> set[str]:
        return {one.name for one in self.arrays}

    def region_of(self, key: Any) -> Region | None:
        """Return the part of the grid of the block that a task reads, or works on, by its key; None for other tasks."""
        match key:
            case (str(name), int(number)) if name.endswith(CHUNK):
                return self.regions[number]
            case (str(name), int(first), int(stop)) if name.endswith(GROUP_SUFFIX):
                return _around(self.regions[first:stop])
            case (str(name), *index) if name.removesuffix(_HELD_SUFFIX) in self._names:
                edges = [np.concatenate([[0], np.cumsum(sizes)]).tolist() for sizes in self.array.chunks[:-1]]
                return tuple(slice(edge[i], edge[i + 1]) for edge, i in zip(edges, index, strict=False))
        return None

    @property
    def first_rows(self) -> dict[int, int]:
        """The number of the first row of each block, by the block's number."""
        return dict(enumerate(np.concatenate([[0], np.cumsum(self.block_sizes)[:-1]]).tolist()))

    def place(self, row: int) -> tuple[int, ...]:
        """Return the grid index of a row number."""
        ends = np.cumsum(self.block_sizes)
        block = int(np.searchsorted(ends, row, side="right"))
        return place_in(self.regions[block], int(row - (ends[block] - self.block_sizes[block])))

    def name_blocks(self, names: tuple[str, ...]) -> Rows:
        """Return the same rows whose blocks must have these names (`chunked.known_blocks`) whenever they are read."""
        return replace(self, known=names)

    @cached_property  # of each pass
    def known_blocks(self) -> list[KnownBlock | None]:
        """What an earlier read has found of each block, None where nothing is known."""
        if not self.known:
            return [None] * len(self.block_sizes)
        return [KnownBlock(name, name_rows(region)) for name, region in zip(self.known, self.regions, strict=True)]

    def fuse(self) -> Rows:
        """Return the same rows with the reading of each block as one task, since every pass builds on this graph."""
        if self.weights is None or self.array.name not in self.weights.__dask_graph__().layers:
            array, *weights = dask.optimize(*self.arrays)
            return replace(self, array=array, weights=weights[0] if weights else None)
        (array,) = dask.optimize(self.array)  # alone: weights that are made of the rows would read them once more
        graph = HighLevelGraph.merge(self.weights.__dask_graph__(), array.__dask_graph__())
        weights = da.Array(graph, self.weights.name, self.weights.chunks, meta=meta_from_array(self.weights))
        return replace(self, array=array, weights=weights)

    def persist(self) -> Rows:
        """Return the same rows held in the memory of the scheduler's workers, aligned for the kernel.

        Many small blocks are held in groups, which are then the tasks of a pass.
        """
        held = self._align()
        execution = current_execution()
        keywords = execution.keywords() if execution else {}
        groups = held._group()
        if groups is not None:
            return _in_groups(held, groups.persist(**keywords))
        array, *weights = dask.persist(*held.arrays, **keywords)
        return replace(held, array=array, weights=weights[0] if weights else None)

    def _align(self) -> Rows:
        array, *weights = (
            one.map_blocks(align, name=one.name + _HELD_SUFFIX, dtype=one.dtype, meta=meta_from_array(one))
            for one in self.arrays
        )
        return replace(self, array=array, weights=weights[0] if weights else None)

    def _group(self) -> Groups | None:
        """Return the groups of the blocks, not computed yet; None if one task for each block, anywhere, is as good."""
        block_bytes = max(self.block_sizes) * (self.n_bytes // max(self.n_rows, 1))
        size = group_size(len(self.block_sizes), block_bytes)
        places = place(-(-len(self.block_sizes) // size), size * block_bytes, running_workers())
        if size == 1 and not any(places):
            return None
        graph = HighLevelGraph.merge(*(one.__dask_graph__() for one in self.arrays))
        blocks, weights = zip(*self.block_keys, strict=True)
        names = tuple(one.name for one in self.arrays)
        return group_tasks(graph, names, blocks, () if self.weights is None else weights, size, places)


def _in_groups(rows: Rows, groups: Groups) -> Rows:
    """Return rows whose blocks and weights are taken from groups."""
    blocks, weights = zip(*rows.block_keys, strict=True)
    array = groups.array(rows.array, blocks, block_in)
    lazy_weights = None if rows.weights is None else groups.array(rows.weights, weights, weights_in)
    return replace(rows, array=array, weights=lazy_weights, groups=groups)


def _around(regions: list[Region]) -> Region:
    """Return the smallest region that has several in it."""
    axes = zip(*regions, strict=True)
    return tuple(slice(min(one.start for one in axis), max(one.stop for one in axis)) for axis in axes)


def align(block: NDArray[Any]) -> NDArray[Any]:
    """Return the block, or a copy where its numbers lie across their natural boundaries, as what a worker got may.

    Kernels take 1.6 times as long on such a block, and have to be compiled once more for it. Raises DataError for a
    block that is no NumPy array of real numbers, whatever dask was told of it.
    """
    return np.require(check_numbers(block), requirements="A")


def place_in(region: Region, row: int) -> tuple[int, ...]:
    """Return the grid index of a row of the block that holds a region."""
    within = np.unravel_index(row, [one.stop - one.start for one in region])
    return tuple(one.start + int(i) for one, i in zip(region, within, strict=True))


def name_rows(region: Region) -> str:
    """Name the rows of a region of the grid, for a message."""
    return f"rows [{', '.join(f'{one.start}:{one.stop}' for one in region)}]"


def _presence(
    read: da.Array, weights: da.Array | None, valid: da.Array | None, fill_values: tuple[float, ...]
) -> da.Array:
    """Return `core.presence` of each block, lazily."""
    axes = tuple(range(read.ndim))
    grid = axes[:-1]
    pairs = [part for one in (weights, valid) for part in ((one, None) if one is None else (one, grid))]
    dtype = np.dtype(bool) if weights is None else weights.dtype
    lazy: da.Array = da.blockwise(
        presence, grid, read, axes, *pairs, fill_values, None, dtype=dtype, concatenate=True, meta=np.empty((), dtype)
    )
    return lazy


def _read(array: Any | None) -> NDArray[Any] | None:
    """Return the whole of what is read where it is sliced, None for None."""
    return None if array is None else np.asarray(array[(slice(None),) * array.ndim])


def _lazy(array: Any, chunks: tuple[Any, ...]) -> da.Array:
    return da.from_array(array, chunks=chunks, name=f"read-{uuid4().hex}", asarray=True)


def _views(array: NDArray[Any], chunks: tuple[tuple[int, ...], ...]) -> da.Array:
    """Return a dask array whose blocks are views of `array` (da.from_array copies it)."""
    name = f"rows-{uuid4().hex}"
    layer = {
        (name, *index): array[part]
        for index, part in zip(
            product(*(range(len(sizes)) for sizes in chunks)), da.core.slices_from_chunks(chunks), strict=True
        )
    }
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[])
    return da.Array(graph, name, chunks, dtype=array.dtype)


def as_declared(array: da.Array, what: str = "rows") -> da.Array:
    """Return the array, of which a block that is not as large as its chunks say is refused when it is computed.

    Passes look at that themselves; rechunking would cut such blocks, or put them together, in silence.
    """
    name = f"{array.name}-declared"
    layer: dict[Any, Any] = {}
    for key, shape in zip(flatten(array.__dask_keys__()), product(*array.chunks), strict=True):
        layer[(name, *key[1:])] = Task((name, *key[1:]), check_shape, TaskRef(key), shape, what)
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[array])
    return da.Array(graph, name, array.chunks, meta=meta_from_array(array))


def check_shape(block: Any, shape: Shape, what: str = "rows") -> Any:
    """Return a block of an array; raise DataError unless it is as large as the array says."""
    found = getattr(block, "shape", None)
    if found != shape:
        raise DataError(
            f"a block of {what} has the shape {found}, where its dask array says {shape}: call "
            "compute_chunk_sizes() on the array, or give map_blocks the chunks that its function makes"
        )
    return block


def check_columns(block: NDArray[Any], n_features: int) -> NDArray[Any]:
    """Return the rows (m, n_features) of a block (*grid, n_features), aligned; raise DataError for another width."""
    block = align(block)
    checked: NDArray[Any] = check_shape(block, (*block.shape[:-1], n_features))
    return checked.reshape(-1, n_features)


def _check_weights(array: Any, weights: Any) -> None:
    grid = array.shape if array.ndim == 1 else array.shape[:-1]
    if weights.shape != grid:
        raise DataError(f"weights or mask have the shape {weights.shape}, but the rows have {grid}: give one each")
