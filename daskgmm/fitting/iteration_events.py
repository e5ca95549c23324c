"""The states of the EM loop as events, with the time that each took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from time import perf_counter

from ..core.em.loop import State, Trial
from ..core.selection.sweep import Sweep, SweepOptions, best_candidate
from ..events import Iteration, Listener


def iteration_teller(n_rows: int, listen: Listener) -> Callable[[State], None]:
    """Return a function that tells of each state that it is given as an iteration, timed since the one before."""
    event_of = iteration_events(n_rows)

    def tell(state: State) -> None:
        event = event_of(state)
        if event is not None:
            listen(event)

    return tell


def iteration_events(n_rows: int) -> Callable[[State], Iteration | None]:
    """Return a function that gives the event of each state that it is given, timed since the one before.

    None where the pass was in vain: its time counts to the next one.
    """
    last = perf_counter()

    def event_of(state: State) -> Iteration | None:
        nonlocal last
        if all(trial.came_back for trial in (state.best, *state.live)):
            return None
        now = perf_counter()
        seconds, last = now - last, now
        return _iteration(state.iteration, state.best, seconds, n_rows, len(state.live))

    return event_of


def sweep_events(sweep: Sweep, options: SweepOptions, n_rows: int) -> Callable[[Sweep], tuple[Sweep, Iteration | None]]:
    """Return a function that gives the event of each pass of a sweep: an iteration of the candidate that leads, if any.

    Beside it the sweep, with the time of the pass shared among the candidates that took part, by their arithmetic.
    """
    last, before = perf_counter(), sweep

    def event_of(sweep: Sweep) -> tuple[Sweep, Iteration | None]:
        nonlocal last, before
        now, leader = perf_counter(), best_candidate(sweep, options)
        spent, last = now - last, now
        seconds = dict(sweep.seconds)
        for name, share in _shares(before).items():
            seconds[name] = seconds.get(name, 0.0) + share * spent
        before = replace(sweep, seconds=seconds)
        if leader is None:
            return before, None
        return before, _iteration(sweep.iteration, sweep.states[leader.name].best, spent, n_rows, sweep.n_live)

    return event_of


def _shares(sweep: Sweep) -> dict[str, float]:
    """Return the share of each candidate in the arithmetic of the next pass, by its name."""
    work: dict[str, float] = {}
    for name, trial in sweep.live:
        mixture, candidate = trial.mixture, name.partition("/")[0]
        columns = mixture.feature_map.n_columns(mixture.n_features)
        work[candidate] = work.get(candidate, 0.0) + mixture.n_components * columns
    total = sum(work.values())
    return {name: one / total for name, one in work.items()}


def _iteration(number: int, best: Trial, seconds: float, n_rows: int, n_live: int) -> Iteration:
    gain, remaining = (value if isfinite(value) else None for value in (best.gain, best.remaining_gain))
    assert best.statistics is not None, "an iteration has been evaluated"
    return Iteration(
        iteration=number,
        objective=best.history[-1],
        log_likelihood=best.statistics.mean_log_likelihood,
        gain=gain,
        remaining_gain=remaining,
        seconds=seconds,
        rows_per_second=n_rows / seconds,
        n_live=n_live,
        empty_components=best.mixture.empty,
    )
