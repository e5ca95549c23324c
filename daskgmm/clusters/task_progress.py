"""The progress of a job's tasks, for the user to see meanwhile. Nothing is asked unless one looks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dask.callbacks import Callback
from dask.system import CPU_COUNT
from distributed import Client

from ..concurrency import current_execution
from ..events import Load
from ..filesystem.retry_counts import TOPIC, retries_here
from .dask_internals import TaskStates, threads_and_task_states

_LOGGER = logging.getLogger(__name__)

Look = Callable[[], Load | None]
_ANSWER_TIMEOUT = 2.0  # seconds for an answer of the scheduler


@contextmanager
def watch_tasks(client: Client | None, compute_threads: int) -> Iterator[Look]:
    """Give a function that reports progress, each time that it is called, from any thread; None without an answer.

    Of the threads of each worker, compute_threads compute; others read ahead.
    """
    if client is None:
        with _Tasks() as tasks:
            before = retries_here()
            yield lambda: Load(1, tasks.n_threads, tasks.done, tasks.total, retries_here() - before)
        return
    retries = _Retries()
    client.subscribe_topic(TOPIC, retries)  # until the client is closed, which may have happened when this ends
    yield lambda: _ask_scheduler(client, compute_threads, retries.n)


class _Tasks(Callback):  # type: ignore[misc] # dask is not typed
    """Counts the tasks of the computation that the threads of this process are at."""

    done = total = 0

    def __init__(self) -> None:
        super().__init__(start_state=self._begin, posttask=self._count, finish=self._end)
        execution = current_execution()
        self.n_threads = (execution and execution.n_threads) or CPU_COUNT

    def _begin(self, graph: Any, state: Mapping[str, Any]) -> None:
        self.done, self.total = 0, len(state["ready"]) + len(state["waiting"]) + len(state["running"])

    def _count(self, *of_task: Any) -> None:
        self.done += 1

    def _end(self, *of_graph: Any) -> None:
        self.done = self.total = 0


@dataclass
class _Retries:
    """Counts the retries that workers tell of."""

    n: int = 0

    def __call__(self, event: Any) -> None:
        self.n += 1


def _ask_scheduler(client: Client, compute_threads: int, n_retries: int) -> Load | None:
    """Return the scheduler's answer; None if it does not come in time, or has an unexpected format."""
    try:
        threads, prefixes = client.sync(threads_and_task_states, client, callback_timeout=_ANSWER_TIMEOUT)
        done, total = tasks_of_pass(prefixes)
        n_threads = sum(min(one, compute_threads) for one in threads.values())
        return Load(len(threads), n_threads, done, total, n_retries)
    except Exception:  # a scheduler that is busy or gone, or of another release: there is nothing to show
        _LOGGER.debug("the scheduler reported no progress", exc_info=True)
        return None


def tasks_of_pass(prefixes: TaskStates) -> tuple[int, int]:
    """Return the numbers of done and of all tasks, of the task prefix with most still to do."""
    left = {name: states["processing"] + states["waiting"] for name, states in prefixes.items()}
    busiest = max(left, key=lambda name: left[name], default=None)
    if busiest is None or left[busiest] == 0:
        return 0, 0
    total = sum(prefixes[busiest].values())
    return total - left[busiest], total
