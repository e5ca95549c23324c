"""Groups of consecutive blocks that one worker holds, for many small blocks; a task of a pass works on one or several.

What a task of a pass costs client and scheduler, half a millisecond, does not depend on how large it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import ceil
from typing import Any
from uuid import uuid4

import dask
import dask.array as da
from dask.array.utils import meta_from_array
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.system import CPU_COUNT
from dask.task_spec import DataNode, GraphNode, List, Task, TaskRef
from distributed import Future
from numpy.typing import NDArray

from ..concurrency import current_execution
from .placement import hint, holders, scheduled_workers, threads_of_workers

# Ends the name of tasks on several blocks: their keys are (name, first block, block after the last).
GROUP_SUFFIX = "-group"
MAX_GROUP = 256  # blocks
_GROUP_BYTES = 64 * 2**20  # at most: what a worker that is lost, or a task that is moved, takes with it stays small
_GROUPS_PER_THREAD = 8  # groups, at least: threads wait for the last one of a pass
_FEW_TASKS = 200  # of a pass: about so many on the threads of all workers, or one for each if there are more threads
_MOST_IN_SPAN = 8  # groups that a task works on: it needs all of them in the memory of one worker

Key = Any  # of a task
Held = tuple[list[NDArray[Any]], list[NDArray[Any]]]  # blocks of a group, and their weights (none without)


@dataclass(frozen=True)
class Span:
    """Consecutive groups that one task of a pass works on, and a worker that holds all of them, if one is known."""

    first: int
    stop: int
    owner: str | None = None

    @property
    def n_groups(self) -> int:
        return self.stop - self.first


@dataclass(frozen=True, eq=False)
class Groups:
    """Blocks in groups of `size`, a power of two, in their order; the last one may have fewer."""

    names: tuple[str, ...]  # of the arrays that the blocks, and their weights, are of
    size: int
    held: tuple[Delayed, ...]  # a `Held` for each group, all of one graph

    def persist(self, **keywords: Any) -> Groups:
        """Return the groups held in the memory of the scheduler's workers.

        All are in one layer: passes over a thousand layers would take a third more of the scheduler's time.
        """
        held = dask.persist(*self.held, **keywords)
        name = f"held-{uuid4().hex}"
        results = {key: value for one in held for key, value in one.__dask_graph__().items()}
        whole = HighLevelGraph.from_collections(name, results)
        return replace(self, held=tuple(Delayed(one.key, whole, layer=name) for one in held))

    def share_out(self, most: int = _MOST_IN_SPAN) -> list[Span]:
        """Return the groups in spans of at most so many, one for each task of a pass, by the workers that hold them."""
        held = holders([one.key for one in self.held])
        threads = threads_of_workers() if held else {}
        return cut_spans([held.get(one.key, ()) for one in self.held], threads, min(most, _MOST_IN_SPAN))

    def array(self, like: da.Array, keys: Sequence[Key], take: Callable[[Held, int], NDArray[Any]]) -> da.Array:
        """Return an array like another one, whose blocks have these keys and are taken from the groups."""
        layer = {
            key: Task(key, take, TaskRef(self.held[at // self.size].key), at % self.size) for at, key in enumerate(keys)
        }
        graph = HighLevelGraph.from_collections(like.name, layer, dependencies=self.held)
        return da.Array(graph, like.name, like.chunks, meta=meta_from_array(like))


def group_size(n_blocks: int, block_bytes: int) -> int:
    """Return the number of consecutive blocks for each task, by the threads that compute."""
    n_threads, size = _computing_threads(), 1
    while (
        n_threads
        and size < MAX_GROUP
        and 2 * size * n_threads * _GROUPS_PER_THREAD <= n_blocks
        and 2 * size * block_bytes <= _GROUP_BYTES
    ):
        size *= 2
    return size


def _computing_threads() -> int:
    """Return the threads of the pool or of the workers there are; 0 for a cluster that has none yet."""
    execution = current_execution()
    if execution is not None and execution.n_threads:
        return execution.n_threads
    workers = scheduled_workers()
    return int(CPU_COUNT) if workers is None else sum(int(worker["nthreads"]) for worker in workers.values())


def cut_spans(held: Sequence[Sequence[str]], threads: Mapping[str, int], most: int) -> list[Span]:
    """Return spans of at most so many groups, in the order of these.

    `held` are the addresses of the workers that hold each group, and `threads` the threads of all workers. Those of a
    worker are cut into as many spans as its threads, or a multiple of that: all threads then end at about the same
    time. It has more spans if it holds more than its share, so that others may take some. Groups of which no worker is
    known are alone, and no span goes on beyond a group of another worker.
    """
    n_threads = max(sum(threads.values()), 1)
    most = min(most, ceil(len(held) / (n_threads * max(round(_FEW_TASKS / n_threads), 1))))
    owners = _choose_owners(held, threads)
    n_owned = Counter(owners)
    found, first = list[Span](), 0
    for owner, run in groupby(owners):
        n = n_spans = len(list(run))
        if owner is not None:
            n_rounds = ceil(n_owned[owner] / (most * threads[owner]))
            n_spans = min(n, ceil(n * n_rounds * threads[owner] / n_owned[owner]))
        edges = [first + ceil(n * number / n_spans) for number in range(n_spans + 1)]
        found += [Span(a, b, owner) for a, b in pairwise(edges)]
        first += n
    return found


def _choose_owners(held: Sequence[Sequence[str]], threads: Mapping[str, int]) -> list[str | None]:
    """Return one of the workers that hold each group: that of the group before, until it has its share of all.

    Else it is the one that has fewest for its threads; None where none is known.
    """
    share = len(held) / max(sum(threads.values()), 1)
    owners, counts = list[str | None](), Counter[str]()
    for addresses in held:
        known = [one for one in addresses if threads.get(one)]
        owner = owners[-1] if owners else None
        if owner not in known or counts[owner] >= share * threads[owner]:
            owner = min(known, key=lambda one: counts[one] / threads[one], default=None)
        owners.append(owner)
        if owner is not None:
            counts[owner] += 1
    return owners


def group_tasks(
    graph: Mapping[Key, Any],
    names: tuple[str, ...],
    blocks: Sequence[Key],
    weights: Sequence[Key],
    size: int,
    places: Sequence[str | None] = (),
) -> Groups | None:
    """Return groups, not computed yet, each of which reads its blocks (and their weights) in one task.

    `graph` has the tasks of the blocks. What several groups need stays a task of its own. `places` names a worker for
    each group, if any. None if workers hold blocks already, or what these need, wherever they are.
    """
    nodes = {key: _node(key, value) for key, value in graph.items()}
    if not all(node is not None and node.dependencies <= nodes.keys() for node in nodes.values()):
        return None
    spans = [(first, min(first + size, len(blocks))) for first in range(0, len(blocks), size)]
    needed = [_find_needed(nodes, [*blocks[a:b], *weights[a:b]]) for a, b in spans]
    uses = Counter(key for keys in needed for key in keys)
    name = f"held-{uuid4().hex}{GROUP_SUFFIX}"
    layer = {key: node for key, node in nodes.items() if uses[key] > 1}
    keys = [(name, a, b) for a, b in spans]
    for key, (a, b), own in zip(keys, spans, needed, strict=True):
        hold = Task(key, _hold, _refs(blocks[a:b]), _refs(weights[a:b]))
        layer[key] = Task.fuse(*(nodes[one] for one in own if uses[one] == 1), hold)
    with hint({key: (place,) for key, place in zip(keys, places, strict=bool(places)) if place}):
        whole = HighLevelGraph.from_collections(name, layer)
    return Groups(names, size, tuple(Delayed(key, whole, layer=name) for key in keys))


def _node(key: Key, value: Any) -> GraphNode | None:
    """Return the node of a key in a graph; None for values held by workers, and for possible legacy tasks."""
    if isinstance(value, GraphNode):
        return value
    return None if isinstance(value, Future | tuple | str) else DataNode(key, value)


def _find_needed(nodes: Mapping[Key, GraphNode], keys: Collection[Key]) -> list[Key]:
    """Return the keys of the nodes that these keys need, themselves included."""
    found, todo = dict.fromkeys(keys), list(keys)
    while todo:
        for key in nodes[todo.pop()].dependencies:
            if key not in found:
                found[key] = None
                todo.append(key)
    return list(found)


def _refs(keys: Sequence[Key]) -> List:
    return List(*map(TaskRef, keys))


def _hold(blocks: list[NDArray[Any]], weights: list[NDArray[Any]]) -> Held:
    return blocks, weights


def block_in(held: Held, number: int) -> NDArray[Any]:
    """Return a block of a group."""
    return held[0][number]


def weights_in(held: Held, number: int) -> NDArray[Any]:
    """Return the weights of a block of a group."""
    return held[1][number]
