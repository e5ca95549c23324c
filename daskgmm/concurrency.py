"""Compute slots: how many threads of a process compute at once, beside those that read ahead.

A process has more threads than slots while it reads its rows again at each pass. Whoever has read a chunk takes a slot
before it computes, so that waiting for a store and decoding go on beside n computing threads. Chunks in flight, and
with them the memory, are as many as the threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from typing import Annotated, Any, Literal, TypeVar

from annotated_types import Ge

T = TypeVar("T")
R = TypeVar("R")

ReadAhead = Annotated[int, Ge(0)] | Literal["auto"]

READ_AHEAD = "daskgmm.compute.read_ahead"  # key of dask's configuration: what all jobs want
COMPUTE_THREADS = "daskgmm.compute-threads"  # the slots; set where threads are started, and handed on to workers


@dataclass(frozen=True)
class Execution:
    """Where the lazy results of a job are computed; jobs in other threads of the process have their own."""

    scheduler: Any  # a name or a client, as dask's keyword takes it
    n_threads: int | None = None  # that compute, where they are threads of this process
    pool: Any = None  # executor of these threads and of those that read ahead
    n_workers: int = 0  # processes that the job has asked for, some of which may come later

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of dask's functions that compute."""
        threads = {"num_workers": self.n_threads} if self.pool is None else {"pool": self.pool}
        return {"scheduler": self.scheduler, **(threads if self.n_threads else {})}


_EXECUTION: ContextVar[Execution | None] = ContextVar("daskgmm-execution", default=None)


def current_execution() -> Execution | None:
    """Return the execution of the job that this thread works for; None where dask's configuration decides."""
    return _EXECUTION.get()


@contextmanager
def execute_in(execution: Execution) -> Iterator[None]:
    """Compute there what this thread computes within the block."""
    token = _EXECUTION.set(execution)
    try:
        yield
    finally:
        _EXECUTION.reset(token)


def enter_pool(execution: Execution) -> None:
    """Have a thread of a pool work for an execution for as long as it lives."""
    _EXECUTION.set(execution)


class _Slots(BoundedSemaphore):
    """Slots: one that is free goes to whoever waits for it before it goes to a helper."""

    def __init__(self, n: int) -> None:
        super().__init__(n)
        self._counting, self._n_waiting = Lock(), 0

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a slot, as a semaphore does; return whether it was free."""
        self._count(1)
        try:
            return super().acquire(blocking, timeout)
        finally:
            self._count(-1)

    __enter__ = acquire

    def take_free(self, most: int) -> int:
        """Take slots that are free and nobody waits for, so many at most; return how many."""
        taken = 0
        while taken < most and not self._n_waiting and super().acquire(blocking=False):
            taken += 1
        return taken

    def _count(self, change: int) -> None:
        with self._counting:
            self._n_waiting += change


_SLOTS: dict[int, _Slots] = {}  # of this process, by their number


_READ_AHEAD: ContextVar[ReadAhead | None] = ContextVar("daskgmm-read-ahead", default=None)


@contextmanager
def own_read_ahead(read_ahead: ReadAhead) -> Iterator[None]:
    """Have this thread's job read ahead so within the block, whatever is configured for the process."""
    token = _READ_AHEAD.set(read_ahead)
    try:
        yield
    finally:
        _READ_AHEAD.reset(token)


def n_reading_ahead(configured: ReadAhead, compute_threads: int) -> int:
    """Return the number of threads that read ahead, by the job's option or else the process's configuration.

    auto gives each computing thread one that reads its next chunk.
    Then a pass takes no longer than the longer of reading and computing alone: with w the time to read a chunk and c
    that to compute it, 2n threads finish 2n chunks in w + c, which is at most twice the larger of the two.
    """
    own = _READ_AHEAD.get()
    read_ahead = configured if own is None else own
    return compute_threads if read_ahead == "auto" else read_ahead


def compute_slot(compute_threads: int | None) -> AbstractContextManager[object]:
    """Return a context in which no more than this many threads of the process are at once; None sets no limit."""
    if compute_threads is None:
        return nullcontext()
    return _SLOTS.setdefault(compute_threads, _Slots(compute_threads))


_MIN_WORK = 350_000  # of an item, in numbers: threads that compute less wait for the interpreter more than they help
_HELPING: ContextVar[_Slots | None] = ContextVar("daskgmm-helping", default=None)


@contextmanager
def helped_slot(compute_threads: int | None) -> Iterator[None]:
    """Be in a slot as in `compute_slot`; within it `map_helped` takes others that are free."""
    with compute_slot(compute_threads):
        token = _HELPING.set(None if compute_threads is None else _SLOTS[compute_threads])
        try:
            yield
        finally:
            _HELPING.reset(token)


def map_helped(function: Callable[[T], R], items: Sequence[T], work: float) -> Iterator[R]:
    """Yield what a function makes of each of the items, in their order, whoever computes it.

    In a `helped_slot` threads help for as many slots as are free when it begins, if an item is enough work: that many
    numbers, of rows times components times columns of the feature map. What threads call is helped by none, and has the
    context of the caller, such as NumPy's errstate. No more results wait than there are threads.
    """
    slots = _HELPING.get()
    n_helpers = 0 if slots is None or work < _MIN_WORK else slots.take_free(len(items) - 1)
    if slots is None or not n_helpers:
        yield from map(function, items)
        return
    try:
        with ThreadPoolExecutor(n_helpers + 1, "daskgmm-helper") as pool:  # for the time being, this thread waits
            going = deque[Future[R]]()
            for item in items:
                if len(going) > n_helpers:
                    yield going.popleft().result()
                going.append(pool.submit(copy_context().run, _call_alone, function, item))
            while going:
                yield going.popleft().result()
    finally:
        slots.release(n_helpers)


def _call_alone(function: Callable[[T], R], item: T) -> R:
    """Call a function that nobody helps."""
    _HELPING.set(None)
    return function(item)


@contextmanager
def slot_lent(compute_threads: int | None) -> Iterator[None]:
    """Give the slot that this thread holds to another meanwhile, as while it writes to a store."""
    if compute_threads is None:
        yield
        return
    slots = _SLOTS[compute_threads]
    slots.release()
    try:
        yield
    finally:
        slots.acquire()
