"""One task for each block, then a tree of combinations in the order of the blocks, never of arrival."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
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
from ..concurrency import COMPUTE_THREADS, compute_slot, current_execution, slot_lent
from ..errors import ClusterLostError
from . import sizeof as sizes
from .rows import CHUNK, Rows, align

FAN_IN = 16

sizes.register()

ChunkFunction = Callable[..., Any]  # (rows (m, d), weights (m,) or None, argument shared by all, own argument) -> value


def map_reduce(
    rows: Rows,
    chunk: ChunkFunction,
    combine: Callable[[list[Any]], Any],
    shared: Any,
    own: Mapping[int, Any] | da.Array,
    name: str,
) -> Delayed:
    """Return, lazily, combine over blocks of chunk(rows, weights, shared, own of the block).

    `own` names the blocks that are taken by their numbers, in rising order: all or some. Or it is an array (*grid) in
    the chunks of the rows: all are taken, each with its own block of that.

    `shared` enters the graph once, as a task of its own; on a cluster each worker fetches it once.
    """
    name = f"{name}-{uuid4().hex}"
    shared_key = f"{name}-shared"
    layer: dict[Any, Any] = {shared_key: DataNode(shared_key, shared)}
    keys: list[Any] = []
    block_keys = rows.block_keys
    for number, argument in (_blocks_of(own) if isinstance(own, da.Array) else own).items():
        block, weights = block_keys[number]
        key = (f"{name}{CHUNK}", number)
        weights_ref = None if weights is None else TaskRef(weights)
        layer[key] = Task(key, _on_block, chunk, TaskRef(block), weights_ref, TaskRef(shared_key), argument)
        keys.append(key)
    level = 0
    while len(keys) > 1 or level == 0:
        level += 1
        groups = [keys[at : at + FAN_IN] for at in range(0, len(keys), FAN_IN)]
        keys = [(f"{name}-combine", level, number) for number in range(len(groups))]
        for key, group in zip(keys, groups, strict=True):
            layer[key] = Task(key, combine, List(*(TaskRef(one) for one in group)))
    collections = [one for one in (rows.array, rows.weights, own) if isinstance(one, da.Array)]
    return Delayed(keys[0], HighLevelGraph.from_collections(name, layer, dependencies=collections), layer=name)


def _blocks_of(array: da.Array) -> dict[int, TaskRef]:
    """Return references to the blocks of an array, by their numbers in C order."""
    return {number: TaskRef(key) for number, key in enumerate(flatten(array.__dask_keys__()))}


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
    """Return what the function returns, called in one of the compute slots of the process that runs the task."""
    with compute_slot(_n_slots()):
        return function(*arguments)


def out_of_slot(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what the function returns, called by a task in a slot, which is lent meanwhile."""
    with slot_lent(_n_slots()):
        return function(*arguments)


def _n_slots() -> int | None:
    """Return the compute slots of a thread of a job's pool, or of the worker process that this is."""
    execution = current_execution()
    slots: int | None = execution.n_threads if execution else dask.config.get(COMPUTE_THREADS, None)
    return slots


def _on_block(chunk: ChunkFunction, block: NDArray[Any], weights: NDArray[Any] | None, shared: Any, own: Any) -> Any:
    flat = align(block).reshape(-1, block.shape[-1])
    return in_slot(chunk, flat, None if weights is None else align(weights).reshape(-1), shared, own)
