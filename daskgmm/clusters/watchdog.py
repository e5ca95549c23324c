"""A client that waits for a cluster never waits for ever: a thread of it looks whether tasks are completed.

What blocks the client is unknown here, and need not be known: its futures are cancelled, which wakes its threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import Any

from distributed import Client

from ..errors import ClusterLostError
from .dask_internals import cancel_all, count_tasks_left, pending_keys, tasks_by_worker, worker_descriptions
from .stall_detection import ClusterSnapshot, Stall, Timeouts, WorkerSnapshot, describe, stall_after
from .turnover import Turnover, turnover_after

_LOGGER = logging.getLogger(__name__)

_TICK_SECONDS = 0.5  # seconds between two looks at the client's own state
_LOOKS_PER_TIMEOUT = 10  # at the cluster, in the time after which a stall is one
_MAX_INTERVAL = 10.0  # seconds between two of them
_ANSWER_TIMEOUT = 30.0  # seconds that the scheduler has
_HELP_TIMEOUT = 30.0  # seconds that workers have to start over


@contextmanager
def watch(client: Client, patience: Timeouts, rescale: Callable[[], None] | None, own: bool) -> Iterator[None]:
    """Within it, threads that wait for results are woken when none will come; then raise ClusterLostError.

    That is at once where the connection to the scheduler is lost. Where no task was completed for stall_timeout
    help is tried first: workers that are silent (and those that are paused, where the cluster is our own) are started
    again by their nannies, and `rescale` asks for those that are missing. It is also raised where workers come and go
    again and again, and no task is gained by it.
    """
    watchdog = _Watchdog(client, patience, rescale, own)
    thread = Thread(target=watchdog.watch, name="daskgmm-watchdog", daemon=True)
    thread.start()
    try:
        yield
    except Exception as error:
        if (verdict := watchdog.verdict or _lost(client)) is None:
            raise
        raise ClusterLostError(verdict) from error
    finally:
        watchdog.over.set()


def _lost(client: Client) -> str | None:
    """Return that the connection is lost, if it is."""
    if client.status == "running":
        return None
    return "the connection to the scheduler was lost: look whether it still runs, and what its log says"


class _Watchdog:
    """Looks at a client and its cluster until it is over, or sure that nothing will come: it keeps what it has seen."""

    def __init__(self, client: Client, patience: Timeouts, rescale: Callable[[], None] | None, own: bool) -> None:
        self.over = Event()
        self.verdict: str | None = None
        self._client, self._patience, self._rescale, self._own = client, patience, rescale, own
        self._interval = min(patience.stall_timeout / _LOOKS_PER_TIMEOUT, _MAX_INTERVAL)
        self._stall: Stall | None = None
        self._turnover: Turnover | None = None

    def watch(self) -> None:
        """Look until it is over."""
        next_look = monotonic() + self._interval
        while not self.over.wait(min(_TICK_SECONDS, self._interval)):
            if self.verdict is None:
                self.verdict = _lost(self._client)
            if self.verdict is None and monotonic() >= next_look:
                self._look()
                next_look = monotonic() + self._interval
            if self.verdict is not None:  # also those that came since: it is over with this client
                self._cancel()

    def _look(self) -> None:
        awaited = pending_keys(self._client)
        look = self._ask_workers() if awaited else None
        self._check_turnover(awaited, look)
        if self.verdict is None:
            self._check_stall(awaited, look)

    def _check_turnover(self, awaited: frozenset[str], look: ClusterSnapshot | None) -> None:
        turnover = self._turnover = turnover_after(self._turnover, awaited, look, monotonic())
        if turnover is not None and turnover.is_in_vain(self._patience.stall_timeout, monotonic()):
            self.verdict = turnover.describe(monotonic())

    def _check_stall(self, awaited: frozenset[str], look: ClusterSnapshot | None) -> None:
        stall = self._stall = stall_after(self._stall, awaited, look, monotonic())
        if stall is None:
            return
        limit, key = self._patience.stall_timeout, "stall_timeout"
        if stall.waits_for_a_worker(look) and self._patience.start_timeout > limit:
            limit, key = self._patience.start_timeout, "start_timeout"
        if not stall.is_over(limit, look, monotonic()):
            return
        if stall.is_hopeless:
            self.verdict = (
                f"no task was completed for {monotonic() - stall.since:.0f} s: {describe(stall.first, look)}; look at "
                f"the logs of the workers, or raise cluster.{key}"
            )
        else:
            self._help(stall, look)
            self._stall = stall.after_help(look, monotonic())

    def _ask_workers(self) -> ClusterSnapshot | None:
        """Return the scheduler's view of its workers, None if it does not answer."""

        async def ask() -> ClusterSnapshot:
            workers, tasks = await worker_descriptions(self._client), await tasks_by_worker(self._client)
            seen = {address: _take_snapshot(worker) for address, worker in workers.items()}
            return ClusterSnapshot(seen, tasks, await count_tasks_left(self._client))

        look: ClusterSnapshot | None
        try:
            look = self._client.sync(ask, callback_timeout=min(self._patience.stall_timeout / 2, _ANSWER_TIMEOUT))
        except Exception:  # of the network, or of a client that is being closed
            _LOGGER.debug("the scheduler did not answer the watchdog", exc_info=True)
            return None
        return look

    def _help(self, stall: Stall, look: ClusterSnapshot | None) -> None:
        """Start workers again that are in the way, and ask for those that are missing; it may be in vain."""
        if look is None or stall.first is None:
            return
        stuck = {*look.silent_since(stall.first), *(look.paused if self._own else [])}
        restartable = [address for address in stuck if look.workers[address].has_nanny]
        try:
            if restartable:
                self._client.restart_workers(restartable, timeout=_HELP_TIMEOUT, raise_for_error=False)
        except Exception:  # whether it helped is seen afterwards
            _LOGGER.debug("workers %s were not restarted", restartable, exc_info=True)
        try:
            if self._rescale is not None:
                self._rescale()
        except Exception:  # as above
            _LOGGER.debug("the cluster was not scaled", exc_info=True)

    def _cancel(self) -> None:
        try:
            cancel_all(self._client, self.verdict)
        except Exception:  # a client that is closed has none
            _LOGGER.debug("results were not cancelled", exc_info=True)


def _take_snapshot(worker: Mapping[str, Any]) -> WorkerSnapshot:
    return WorkerSnapshot(
        last_heard=float(worker["last_seen"]),
        paused=worker["status"] == "paused",
        cpu=float(worker["metrics"].get("cpu", 0.0)),
        has_nanny=worker["nanny"] is not None,
    )
