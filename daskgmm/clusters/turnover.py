"""Workers that come and go faster than tasks are done: each of them works, and nothing comes of it.

What a worker has read and computed is lost with it unless another one takes it over. If workers live for less than a
task and what it needs take, the same tasks are begun for ever, and a look at any moment sees a cluster that computes.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from .stall_detection import ClusterSnapshot

MAX_LIVES = 20  # of workers, in which nothing is gained


@dataclass(frozen=True)
class Turnover:
    """The workers that have gone since a client was last closer to the results that it waits for."""

    since: float  # seconds, of a monotonic clock
    awaited: frozenset[str]  # keys of the results
    n_left: int  # the fewest tasks that were left for them
    present: frozenset[str]  # addresses of the workers at the last look
    gone: frozenset[str] = frozenset()  # of those that were there at one look, and not at a later one

    def is_in_vain(self, limit: float, now: float) -> bool:
        """Return whether too many workers have gone, and the limit (seconds) has passed."""
        return len(self.gone) >= MAX_LIVES and now - self.since >= limit

    def describe(self, now: float) -> str:
        """Return the observation and the remedy, in a line."""
        return (
            f"{len(self.gone)} workers came and went within {now - self.since:.0f} s, and never were fewer than "
            f"{self.n_left} tasks left: workers must live longer than a task and what it reads take, so raise their "
            "lifetime, or cluster.stall_timeout to try for longer"
        )


def turnover_after(
    before: Turnover | None, awaited: Set[str], look: ClusterSnapshot | None, now: float
) -> Turnover | None:
    """Return the turnover as it is at another look: it starts again once fewer tasks are left, or other results are."""
    if look is None or not awaited:
        return before if awaited else None
    present = frozenset(look.workers)
    if before is None or awaited != before.awaited or look.n_left < before.n_left:
        return Turnover(now, frozenset(awaited), look.n_left, present)
    gone = before.gone | (before.present - present)
    return Turnover(before.since, before.awaited, before.n_left, present, gone)
