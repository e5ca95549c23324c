"""Hold BLAS to one thread while worker threads call it: the parallelism is over chunks, never inside a product."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController


class _Guard:
    """Counts who is inside; the first sets the limit and the last takes it away (the limit is per process)."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._controller: ThreadpoolController | None = None
        self._limit: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                if self._controller is None:
                    self._controller = ThreadpoolController()
                self._limit = self._controller.limit(limits=1, user_api="blas")
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


_guard = _Guard()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Within it, every BLAS call of this process runs on the thread that makes it; threads may nest and overlap."""
    _guard.enter()
    try:
        yield
    finally:
        _guard.leave()
