"""The states of the EM loop told as events, with the time that each took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from time import perf_counter

from .core.loop import State, Trial
from .core.selection import Sweep, SweepOptions, best_candidate
from .events import Iteration, Listener


def iteration_teller(n_rows: int, listen: Listener) -> Callable[[State], None]:
    """Return a function that tells of each state that it is given as an iteration, timed since the one before."""
    last = perf_counter()

    def tell(state: State) -> None:
        nonlocal last
        now = perf_counter()
        seconds, last = now - last, now
        listen(_iteration(state.iteration, state.best, seconds, n_rows, len(state.live)))

    return tell


def sweep_teller(sweep: Sweep, options: SweepOptions, n_rows: int, listen: Listener) -> Callable[[Sweep], Sweep]:
    """Return a function that tells of each pass of a sweep as an iteration of the candidate that leads.

    It returns the sweep with the time of the pass shared among the candidates that took part, by their arithmetic.
    """
    last, before = perf_counter(), sweep

    def tell(sweep: Sweep) -> Sweep:
        nonlocal last, before
        now, leader = perf_counter(), best_candidate(sweep, options)
        spent, last = now - last, now
        if leader is not None:
            listen(_iteration(sweep.iteration, sweep.states[leader.name].best, spent, n_rows, sweep.n_live))
        seconds = dict(sweep.seconds)
        for name, share in _shares(before).items():
            seconds[name] = seconds.get(name, 0.0) + share * spent
        before = replace(sweep, seconds=seconds)
        return before

    return tell


def _shares(sweep: Sweep) -> dict[str, float]:
    """Return the share of each candidate in the arithmetic of the next pass, by its name."""
    work: dict[str, float] = {}
    for name, trial in sweep.live:
        mixture, candidate = trial.mixture, name.partition("/")[0]
        columns = mixture.structure.feature_map.n_columns(mixture.n_features)
        work[candidate] = work.get(candidate, 0.0) + mixture.n_components * columns
    total = sum(work.values())
    return {name: one / total for name, one in work.items()}


def _iteration(number: int, best: Trial, seconds: float, n_rows: int, n_live: int) -> Iteration:
    gain, remaining = (value if isfinite(value) else None for value in (best.gain, best.remaining_gain))
    return Iteration(
        iteration=number,
        log_likelihood=best.history[-1],
        gain=gain,
        remaining_gain=remaining,
        seconds=seconds,
        rows_per_second=n_rows / seconds,
        n_live=n_live,
        empty_components=best.mixture.empty,
    )
