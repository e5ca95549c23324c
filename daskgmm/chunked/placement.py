"""Which worker holds which blocks: a pass takes as long as the worker that holds most of them for its threads.

Left alone, a scheduler gives the next block to whichever worker asks, so that some hold far more than others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

import dask
from distributed import default_client

from ..concurrency import current_execution

HELD_SHARE = 0.5  # of the memory: what rows that are held between passes may take
_ANSWER_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, order=True)
class Worker:
    """A worker that can hold blocks."""

    address: str
    n_threads: int
    memory_limit: int = 0  # bytes; 0 for none


def scheduled_workers() -> Mapping[str, Any] | None:
    """Return the workers of the default client by address, as their scheduler describes them.

    None if there is no client, or one whose cluster never started.
    """
    try:
        workers: Mapping[str, Any] = default_client().scheduler_info(n_workers=-1)["workers"]
    except (ValueError, KeyError):
        return None
    return workers


def running_workers() -> list[Worker]:
    """Return the workers that blocks can be placed on, by address.

    There are none if the threads of this process compute, if the user's own annotations say where tasks run, if there
    is one worker only, or if workers that the job has asked for are yet to come: they get blocks as they come.
    """
    execution = current_execution()
    if dask.get_annotations() or (execution is not None and execution.n_threads):
        return []
    workers = [
        Worker(address, int(one["nthreads"]), int(one["memory_limit"] or 0))
        for address, one in (scheduled_workers() or {}).items()
        if one["status"] == "running"
    ]
    n_expected = max(2, execution.n_workers if execution else 0)
    return sorted(workers) if len(workers) >= n_expected else []


def place(n_items: int, item_bytes: int, workers: Sequence[Worker]) -> list[str | None]:
    """Return the address of the worker for each item, None where no worker has memory left.

    Consecutive items lie together, since a pass adds up their sums first. The counts keep the largest number of items a
    thread as small as can be.
    """
    counts = _shares(n_items, item_bytes, workers)
    placed: list[str | None] = [worker.address for worker, n in zip(workers, counts, strict=True) for _ in range(n)]
    return placed + [None] * (n_items - len(placed))


def holders(keys: Sequence[Any]) -> dict[Any, Sequence[str]]:
    """Return the addresses of the workers that hold the results of these keys now; none for what is not computed yet.

    It is a hint: without a client, or if its scheduler does not answer in time, there is none.
    """
    return _ask("who_has", keys=list(keys))


def threads_of_workers() -> dict[str, int]:
    """Return the number of threads of each worker there is now, by address; a hint as `holders` is."""
    return _ask("ncores")


def _ask(question: str, **arguments: Any) -> dict[Any, Any]:
    """Return what the scheduler of the default client answers by address or key; nothing where there is no answer."""
    try:
        client = default_client()
        if client.status != "running" or client.asynchronous:
            return {}
        return dict(client.sync(getattr(client.scheduler, question), callback_timeout=_ANSWER_TIMEOUT, **arguments))
    except (ValueError, OSError, RuntimeError):  # none, lost (TimeoutError is an OSError), or closed just now
        return {}


def hint(addresses: Mapping[Any, Sequence[str]]) -> AbstractContextManager[object]:
    """Return a context in which layers of tasks are made that go to one of these workers, by the keys of the tasks.

    A task goes elsewhere if its workers are gone, or if another one is idle; all others go anywhere.
    """
    if not any(addresses.values()):
        return nullcontext()
    # A method of a plain type: schedulers read it without this package.
    workers_of = defaultdict[Any, Sequence[str]](tuple, addresses).__getitem__
    annotated: AbstractContextManager[object] = dask.annotate(workers=workers_of, allow_other_workers=True)
    return annotated


def _shares(n_items: int, item_bytes: int, workers: Sequence[Worker]) -> list[int]:
    """Return the number of items for each worker: each item goes to the worker with fewest for a thread."""
    counts, bounds = [0] * len(workers), [_capacity(worker, n_items, item_bytes) for worker in workers]
    heap = [(1 / worker.n_threads, at) for at, worker in enumerate(workers) if bounds[at]]
    heapify(heap)
    for _ in range(min(n_items, sum(bounds))):
        _, at = heappop(heap)
        counts[at] += 1
        if counts[at] < bounds[at]:
            heappush(heap, ((counts[at] + 1) / workers[at].n_threads, at))
    return counts


def _capacity(worker: Worker, n_items: int, item_bytes: int) -> int:
    if not worker.memory_limit:
        return n_items
    return min(int(HELD_SHARE * worker.memory_limit) // max(item_bytes, 1), n_items)
