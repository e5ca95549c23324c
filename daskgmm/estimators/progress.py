"""What estimators print of a running fit or sweep; in a notebook, a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rich.console import Console

from ..core.em.loop import State
from ..events import Listener, ignore
from ..fitting.iteration_events import iteration_teller
from ..observers.console import plain
from ..observers.notebook import bar_of_fit, bar_of_sweep, notebook_bar


def iteration_listener(verbose: int, interval: int, n_rows: int, max_iter: int, tol: float) -> Callable[[State], None]:
    """Return a listener that prints every `interval`-th iteration if verbose, each one if verbose > 1.

    In a notebook it shows a bar instead.
    """
    if not verbose:
        return lambda state: None
    console = _console()
    if console.is_jupyter:
        return iteration_teller(n_rows, notebook_bar(partial(bar_of_fit, max_iter=max_iter, tol=tol)))
    every = 1 if verbose > 1 else interval
    tell = iteration_teller(n_rows, plain(console))
    return lambda state: tell(state) if state.iteration % every == 0 or not state.live else None


def sweep_listener(verbose: int, n_candidates: int) -> Listener:
    """Return a listener that prints each pass if verbose, and in a notebook shows a bar."""
    if not verbose:
        return ignore
    console = _console()
    if console.is_jupyter:
        return notebook_bar(partial(bar_of_sweep, n_candidates=n_candidates))
    return plain(console)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)
