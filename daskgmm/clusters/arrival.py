"""Workers that a job waits for: tasks bring those of an adaptive scheduler, which may have none without any."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from distributed import Client, Future

from ..errors import ClusterLostError
from .dask_internals import worker_descriptions

_LOGGER = logging.getLogger(__name__)

_TASK_SECONDS = 0.5  # distributed takes a task of unknown duration to be as long, and asks for a worker for 5 s of them
_TASKS_OF_A_WORKER = 10
_INTERVAL = 0.2  # seconds between two looks whether tasks are left


def wait_for_workers(client: Client, n_workers: int, description: str, start_timeout: float) -> None:
    """Wait for as many workers; raise ClusterLostError, with the remedy, if they don't come within start_timeout."""
    try:
        client.wait_for_workers(n_workers, timeout=start_timeout)
    except TimeoutError:
        missing = "no worker" if n_workers == 1 else f"not all of {n_workers} workers"
        raise ClusterLostError(
            f"{description}: {missing} came within {start_timeout:g} s; look whether the scheduler's queue or the "
            "workers' logs say why, or raise cluster.start_timeout"
        ) from None


@contextmanager
def brought(client: Client, n_workers: int, description: str, start_timeout: float) -> Iterator[None]:
    """Wait for as many workers, and keep one at least, for the block; raise as `wait_for_workers`.

    Short tasks that do nothing wait for them, and keep them from being retired as idle.
    """
    is_missing = _n_workers(client, start_timeout) < n_workers
    over = Event()
    n_tasks = _TASKS_OF_A_WORKER * n_workers if is_missing else 1
    thread = Thread(target=_ask, args=(client, n_tasks, over), name="daskgmm-arrival", daemon=True)
    thread.start()
    try:
        if is_missing:
            wait_for_workers(client, n_workers, description, start_timeout)
        yield
    finally:
        over.set()
        thread.join()


def _n_workers(client: Client, timeout: float) -> int:
    try:
        return len(client.sync(worker_descriptions, client, callback_timeout=timeout))
    except TimeoutError:
        raise ClusterLostError(
            f"the scheduler did not answer within {timeout:g} s: restart it if it is stuck, or raise "
            "cluster.start_timeout"
        ) from None


def _ask(client: Client, n_tasks: int, over: Event) -> None:
    """Keep as many tasks waiting or running until it is over. They are of the standard library, which all have."""
    asked: list[Future] = []
    try:
        while not over.wait(_INTERVAL if asked else 0):
            asked = [one for one in asked if not one.done()]
            missing = n_tasks - len(asked)
            asked += client.map(time.sleep, [_TASK_SECONDS] * missing, pure=False, key="daskgmm-arrival")
        client.cancel(asked)
    except Exception:  # of a client that has lost its scheduler: the watchdog reports it
        _LOGGER.debug("no more tasks ask for workers", exc_info=True)
