"""The states of the EM loop told as events, with the time that each took."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from time import perf_counter

from .core.loop import State
from .events import Iteration, Listener


def iteration_teller(n_rows: int, listen: Listener) -> Callable[[State], None]:
    """Return a function that tells of each state that it is given as an iteration, timed since the one before."""
    event_of = iteration_events(n_rows)
    return lambda state: listen(event_of(state))


def iteration_events(n_rows: int) -> Callable[[State], Iteration]:
    """Return a function that gives the event of each state that it is given, timed since the one before."""
    last = perf_counter()

    def event_of(state: State) -> Iteration:
        nonlocal last
        now, best = perf_counter(), state.best
        seconds, last = now - last, now
        gain, remaining = (value if isfinite(value) else None for value in (best.gain, best.remaining_gain))
        return Iteration(
            iteration=state.iteration,
            log_likelihood=best.history[-1],
            gain=gain,
            remaining_gain=remaining,
            seconds=seconds,
            rows_per_second=n_rows / seconds,
            n_live=len(state.live),
            empty_components=best.mixture.empty,
        )

    return event_of
