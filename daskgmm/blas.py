"""Hold BLAS to one thread while worker threads call it: the parallelism is over chunks, never inside a product."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock, Thread
from typing import Any

import scipy.linalg.cython_blas  # noqa: F401 # compiled kernels call its BLAS: it must be there to be limited
from threadpoolctl import ThreadpoolController


class _Guard:
    """Counts who is inside; the first sets the limit and the last takes it away (the limit is per process).

    threadpoolctl >= 3.8 lets the first living thread that sets a limit control OpenBLAS, and ignores all others. So
    each change is made by a thread that ends at once: the next caller is free to make the next one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._limit: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._limit is None:  # it is there with nobody inside where a signal came in between
                call_in_own_thread(self._set)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                call_in_own_thread(self._unset)

    def _set(self) -> None:
        self._limit = _controller().limit(limits=1, user_api="blas")

    def _unset(self) -> None:
        limit, self._limit = self._limit, None
        limit.restore_original_limits()


@cache
def _controller() -> ThreadpoolController:
    """Return the controller of this process's libraries; to find them takes milliseconds."""
    return ThreadpoolController()


def call_in_own_thread(change: Callable[[], None]) -> None:
    """Call a function in a thread that ends with it; raise what it raises."""
    errors: list[BaseException] = []

    def call() -> None:
        try:
            change()
        except BaseException as error:  # raised below: a thread that ends with an error keeps it to itself
            errors.append(error)

    thread = Thread(target=call, name="daskgmm-blas-limit")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


_guard = _Guard()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Within it, every BLAS call of this process runs on the thread that makes it; threads may nest and overlap."""
    _guard.enter()
    try:
        yield
    finally:
        _guard.leave()
