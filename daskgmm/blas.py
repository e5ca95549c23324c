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
    each change is made by a thread that ends at once: whoever comes next is free to make the next one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._limit: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                _in_a_thread_of_its_own(self._set)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                _in_a_thread_of_its_own(self._limit.restore_original_limits)

    def _set(self) -> None:
        self._limit = _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> ThreadpoolController:
    """Return the controller of this process's libraries; to find them takes milliseconds."""
    return ThreadpoolController()


def _in_a_thread_of_its_own(change: Callable[[], None]) -> None:
    thread = Thread(target=change, name="daskgmm-blas-limit")
    thread.start()
    thread.join()


_guard = _Guard()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Within it, every BLAS call of this process runs on the thread that makes it; threads may nest and overlap."""
    _guard.enter()
    try:
        yield
    finally:
        _guard.leave()
