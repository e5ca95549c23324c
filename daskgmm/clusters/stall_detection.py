"""What can be seen of a cluster without progress, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

BUSY_PATIENCE = 10  # times as long is waited while a worker that has tasks computes: a task may take its time
MAX_HELPS = 3  # in one computation; a cluster that stands still again and again will not finish it
_BUSY_PERCENT = 10.0  # percent of a core; a worker that waits takes less for its heartbeat


class Timeouts(Protocol):
    """How long a cluster is waited for, seconds."""

    @property
    def start_timeout(self) -> float:
        """For its first worker, and later for one while there is none."""

    @property
    def stall_timeout(self) -> float:
        """For a task to be completed."""


@dataclass(frozen=True)
class WorkerSnapshot:
    """A worker as the scheduler knows it."""

    last_heard: float  # by the scheduler's clock, seconds
    paused: bool = False  # it takes no task, since its memory is full
    cpu: float = 0.0  # percent of a core
    has_nanny: bool = True


@dataclass(frozen=True)
class ClusterSnapshot:
    """The answer of a scheduler: its workers, and the tasks that they have."""

    workers: Mapping[str, WorkerSnapshot]
    processing: Mapping[str, frozenset[str]]  # keys of tasks by the address of the worker
    n_left: int = 0  # tasks that are not done of those that the client waits for

    @property
    def tasks(self) -> frozenset[str]:
        """Keys of the tasks that workers have."""
        return frozenset[str]().union(*self.processing.values())

    def silent_since(self, before: ClusterSnapshot) -> list[str]:
        """Return the workers that were not heard since an earlier look."""
        known = (address for address in self.workers if address in before.workers)
        return [one for one in known if self.workers[one].last_heard == before.workers[one].last_heard]

    @property
    def paused(self) -> list[str]:
        """The workers that are paused."""
        return [address for address, worker in self.workers.items() if worker.paused]

    def busy_since(self, before: ClusterSnapshot) -> bool:
        """Return whether a worker that has tasks computes."""
        idle = {*self.silent_since(before), *self.paused}
        candidates = (address for address, keys in self.processing.items() if keys and address not in idle)
        return any(address in self.workers and self.workers[address].cpu >= _BUSY_PERCENT for address in candidates)


@dataclass(frozen=True)
class Stall:
    """Since when no task was completed, and how the workers were then."""

    since: float  # seconds, of a monotonic clock
    awaited: frozenset[str]  # keys of the results that the client waits for
    first: ClusterSnapshot | None  # None: the scheduler did not answer
    helps: int = 0  # how often help was tried for these results
    helped: bool = False  # in this stall

    def is_over(self, limit: float, look: ClusterSnapshot | None, now: float) -> bool:
        """Return whether the limit (seconds) has passed; it is longer while workers compute."""
        busy = look is not None and self.first is not None and look.busy_since(self.first)
        return now - self.since >= limit * (BUSY_PATIENCE if busy else 1)

    def waits_for_a_worker(self, look: ClusterSnapshot | None) -> bool:
        """Return whether there is none though help was tried: one may stand in a queue."""
        return self.helped and look is not None and not look.workers

    @property
    def is_hopeless(self) -> bool:
        """Whether help was tried in vain."""
        return self.helped or self.helps >= MAX_HELPS

    def after_help(self, look: ClusterSnapshot | None, now: float) -> Stall:
        """Return the stall that begins when help was tried."""
        return Stall(now, self.awaited, look, self.helps + 1, helped=True)


def stall_after(
    before: Stall | None, awaited: frozenset[str], look: ClusterSnapshot | None, now: float
) -> Stall | None:
    """Return the stall as it is at another look: the one before, unless something was completed; None without tasks."""
    if not awaited:
        return None
    if before is None or awaited != before.awaited:
        return Stall(now, awaited, look)
    if look is not None and (before.first is None or look.tasks != before.first.tasks):
        return Stall(now, awaited, look, before.helps)
    return before


def describe(first: ClusterSnapshot | None, now: ClusterSnapshot | None) -> str:
    """Describe the workers, and what may keep them from completing a task."""
    if now is None:
        return "the scheduler does not answer"
    if not now.workers:
        return "there is no worker"
    n, silent, paused = len(now.workers), now.silent_since(first or now), now.paused
    if first is not None and silent:
        return f"{len(silent)} of {n} workers are not heard of, such as {silent[0]}"
    if paused:
        return f"{len(paused)} of {n} workers are paused since their memory is full, such as {paused[0]}"
    if not now.tasks:
        return f"none of {n} workers has a task"
    return f"{n} workers have the same {len(now.tasks)} tasks since, such as {min(now.tasks)}"
