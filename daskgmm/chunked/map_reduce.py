"""One task for each block, then a tree of combinations in the order of the blocks, never of arrival.

Where blocks are held in groups, one task does the parts of this tree that are over its groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from itertools import repeat
from operator import add
from typing import Any, NamedTuple
from uuid import uuid4

import dask
import dask.array as da
from dask.core import flatten
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.task_spec import DataNode, List, Task, TaskRef
from dask.utils import key_split
from distributed import KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.scheduler import NoValidWorkerError, NoWorkerError
from numpy.typing import NDArray

from ..blas import single_threaded
from ..concurrency import COMPUTE_THREADS, compute_slot, current_execution, helped_slot, slot_lent
from ..errors import ClusterLostError
from . import sizeof as sizes
from .groups import GROUP_SUFFIX, Groups, Held, Span
from .known_blocks import KnownBlock
from .placement import hint
from .rows import CHUNK, Rows, Shape, align, check_shape

FAN_IN = 16

sizes.register()

Layer = dict[Any, Any]  # tasks by their keys
Combine = Callable[[list[Any]], Any]
ChunkFunction = Callable[..., Any]  # (rows (m, d), weights (m,) or None, argument shared by all, own argument) -> value


class _Expected(NamedTuple):
    """What a block must be."""

    shape: Shape  # (*grid, d)
    known: KnownBlock | None  # what an earlier read has found


def map_reduce(
    rows: Rows,
    chunk: ChunkFunction,
    combine: Combine,
    shared: Any,
    own: Mapping[int, Any] | da.Array,
    name: str,
) -> Delayed:
    """Return, lazily, combine over blocks of chunk(rows, weights, shared, own of the block).

    `own` names the blocks that are taken by their numbers, in rising order: all or some. Or it is an array (*grid) in
    the chunks of the rows: all are taken, each with its own block of that.

    `shared` enters the graph once, as a task of its own; on a cluster each worker fetches it once. A task raises
    DataError for a block that is not as large as its array says, or not what an earlier read has found.
    """
    name = f"{name}-{uuid4().hex}"
    of_own = (own,) if isinstance(own, da.Array) else ()
    if isinstance(own, da.Array) and own.chunks != rows.array.chunks[:-1]:
        raise ValueError(f"an array of the chunks {own.chunks} beside rows of {rows.array.chunks[:-1]}")
    arguments = _blocks_of(own) if isinstance(own, da.Array) else own
    groups = rows.held_groups if len(arguments) == len(rows.block_sizes) else None
    if groups is None:
        layer, dependencies, hints = _block_tasks(rows, name, chunk, arguments), rows.arrays, {}
        root = _add_tree(layer, f"{name}-combine", combine)
    else:
        n_levels, n_parts = _levels_in(groups.size)
        spans, dependencies = groups.share_out(FAN_IN // n_parts), groups.held[:1]  # all are of one graph
        work = partial(_on_groups, chunk, combine, n_levels)
        layer = _group_tasks(groups, spans, rows, name, work, arguments)
        hints = {key: (span.owner,) for key, span in zip(layer, spans, strict=True) if span.owner}
        lengths = [span.n_groups * n_parts for span in spans]
        root = _add_tree_of_lists(layer, f"{name}-combine", combine, lengths)
    layer[_shared_key(name)] = DataNode(_shared_key(name), shared)
    with hint(hints):
        graph = HighLevelGraph.from_collections(name, layer, dependencies=(*dependencies, *of_own))
    return Delayed(root, graph, layer=name)


def _shared_key(name: str) -> str:
    """Return the key of the argument that all tasks of a pass share."""
    return f"{name}-shared"


def _block_tasks(rows: Rows, name: str, chunk: ChunkFunction, own: Mapping[int, Any]) -> Layer:
    """Return a task for each block, in their order."""
    layer: Layer = {}
    block_keys, expected = rows.block_keys, _expected_blocks(rows)
    for number, argument in own.items():
        block, weights = block_keys[number]
        key = (f"{name}{CHUNK}", number)
        weights_ref = None if weights is None else TaskRef(weights)
        arguments = TaskRef(block), weights_ref, expected[number], TaskRef(_shared_key(name)), argument
        layer[key] = Task(key, _on_block, chunk, *arguments)
    return layer


def _group_tasks(
    groups: Groups,
    spans: Sequence[Span],
    rows: Rows,
    name: str,
    work: Callable[..., Any],
    own: Mapping[int, Any],
) -> Layer:
    """Return a task for each span of groups, in their order."""
    layer: Layer = {}
    arguments, expected = list(own.values()), _expected_blocks(rows)
    for span in spans:
        part = slice(span.first * groups.size, min(span.stop * groups.size, len(own)))
        key = (f"{name}{GROUP_SUFFIX}", part.start, part.stop)
        held = List(*(TaskRef(one.key) for one in groups.held[span.first : span.stop]))
        layer[key] = Task(key, work, held, expected[part], TaskRef(_shared_key(name)), List(*arguments[part]))
    return layer


def _expected_blocks(rows: Rows) -> list[_Expected]:
    """Return what each block must be."""
    return list(map(_Expected, rows.block_shapes, rows.known_blocks))


def _levels_in(size: int) -> tuple[int, int]:
    """Return the number of tree levels within a group of so many blocks, and of the parts that are left of it."""
    n_levels = 0
    while size >= FAN_IN:
        n_levels, size = n_levels + 1, size // FAN_IN
    return n_levels, size


def _add_tree(layer: Layer, name: str, combine: Combine, level: int = 0, keys: Sequence[Any] | None = None) -> Any:
    """Add a tree of combinations of tasks in their order; return its root.

    Those of `keys` are of this level; without, they are all tasks there are.
    """
    keys = list(layer) if keys is None else keys
    while len(keys) > 1 or level == 0:
        level += 1
        together = [keys[at : at + FAN_IN] for at in range(0, len(keys), FAN_IN)]
        keys = [(name, level, number) for number in range(len(together))]
        for key, parts in zip(keys, together, strict=True):
            layer[key] = Task(key, combine, List(*map(TaskRef, parts)))
    return keys[0]


def _add_tree_of_lists(layer: Layer, name: str, combine: Combine, lengths: Sequence[int]) -> Any:
    """Add the tree over the members of the lists that the tasks there are return, of these lengths; return its root.

    The last group may have fewer parts than others, and the last list be that much shorter than is said here.
    """
    members = [(key, at) for key, length in zip(list(layer), lengths, strict=True) for at in range(length)]
    keys = [(name, 1, number) for number in range(-(-len(members) // FAN_IN))]
    for key, first in zip(keys, range(0, len(members), FAN_IN), strict=True):
        numbers: dict[Any, list[int]] = {}
        for of, at in members[first : first + FAN_IN]:
            numbers.setdefault(of, []).append(at)
        sections = [slice(some[0], some[-1] + 1) for some in numbers.values()]
        layer[key] = Task(key, _combine_sections, combine, List(*map(TaskRef, numbers)), sections)
    return _add_tree(layer, name, combine, 1, keys)


def _blocks_of(array: da.Array) -> dict[int, TaskRef]:
    """Return references to the blocks of an array, by their numbers in C order."""
    return {number: TaskRef(key) for number, key in enumerate(flatten(array.__dask_keys__()))}


def add_up(parts: Sequence[Any]) -> Any:
    """Return the sum of the parts, in their order."""
    return reduce(add, parts)


def add_up_each(parts: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the sums of the first members of the parts, of their second members, and so on."""
    return tuple(map(add_up, zip(*parts, strict=True)))


def compute(*results: Any) -> tuple[Any, ...]:
    """Return the values of lazy results, computed together by the active scheduler.

    BLAS is held to one thread from outside the tasks: theirs is then a mere count, where they run in this process.
    Raises ClusterLostError where workers or scheduler are gone.
    """
    return _on_the_scheduler(dask.compute, results)


def persist(*results: Any) -> tuple[Any, ...]:
    """Return lazy results that are computed, or being computed, and kept where they are; raise as `compute`."""
    return _on_the_scheduler(dask.persist, results)


def _on_the_scheduler(call: Callable[..., tuple[Any, ...]], results: tuple[Any, ...]) -> tuple[Any, ...]:
    try:
        with single_threaded():
            execution = current_execution()
            return call(*results, **(execution.keywords() if execution else {}))
    except KilledWorker as error:
        raise ClusterLostError(describe_lost_task(f"task {key_split(error.task)}", error)) from error
    except (NoWorkerError, NoValidWorkerError) as error:
        raise ClusterLostError(f"all workers are gone, and none came for {error.timeout:g} s") from error
    except (FutureCancelledError, CommClosedError) as error:
        raise ClusterLostError(f"the connection to the scheduler was lost: {error}") from error


def describe_lost_task(what: str, error: KilledWorker) -> str:
    """Return the message for a task that no worker survives, with the remedy."""
    return (
        f"{what}: each of the {error.allowed_failures + 1} workers that ran it died, the last at "
        f"{error.last_worker.address}; they may have run out of memory (lower compute.chunk_bytes or give them more), "
        "else their logs say why"
    )


def in_slot(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in one of the compute slots of the process that runs the task."""
    with compute_slot(_n_slots()):
        return function(*arguments)


def in_helped_slot(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a compute slot as `in_slot` does; threads help it while other slots are free."""
    with helped_slot(_n_slots()):
        return function(*arguments)


def out_of_slot(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function from a task in a slot, and release the slot meanwhile."""
    with slot_lent(_n_slots()):
        return function(*arguments)


def _n_slots() -> int | None:
    """Return the compute slots of a thread of a job's pool, or of the worker process that this is."""
    execution = current_execution()
    slots: int | None = execution.n_threads if execution else dask.config.get(COMPUTE_THREADS, None)
    return slots


def _on_block(
    chunk: ChunkFunction, block: NDArray[Any], weights: NDArray[Any] | None, expected: _Expected, shared: Any, own: Any
) -> Any:
    shape, known = expected
    block = check_shape(align(block), shape)
    weights = None if weights is None else check_shape(align(weights), shape[:-1], "weights")
    return in_slot(_on_known, known, chunk, block, weights, shared, own)


def _on_known(
    known: KnownBlock | None,
    chunk: ChunkFunction,
    block: NDArray[Any],
    weights: NDArray[Any] | None,
    shared: Any,
    own: Any,
) -> Any:
    if known is not None:
        known.check_held(block, weights)
    flat_weights = None if weights is None else weights.reshape(-1)
    return chunk(block.reshape(-1, block.shape[-1]), flat_weights, shared, own)


def _on_groups(
    chunk: ChunkFunction,
    combine: Combine,
    n_levels: int,
    groups: list[Held],
    expected: list[_Expected],
    shared: Any,
    own: list[Any],
) -> list[Any]:
    """Return the parts that are left of groups after `n_levels` of the tree over each."""
    left, at = list[Any](), 0
    with single_threaded():  # once for all blocks: it takes longer than a small one
        for blocks, weights in groups:
            part = slice(at, at + len(blocks))
            each = zip(blocks, weights or repeat(None, len(blocks)), expected[part], own[part], strict=True)
            parts = [
                _on_block(chunk, block, own_weights, one_expected, shared, argument)
                for block, own_weights, one_expected, argument in each
            ]
            for _ in range(n_levels):
                parts = [combine(parts[first : first + FAN_IN]) for first in range(0, len(parts), FAN_IN)]
            left, at = left + parts, part.stop
    return left


def _combine_sections(combine: Combine, lists: list[list[Any]], sections: list[slice]) -> Any:
    """Return the combination of sections of lists."""
    return combine([part for parts, section in zip(lists, sections, strict=True) for part in parts[section]])
