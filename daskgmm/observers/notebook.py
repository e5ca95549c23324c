"""A fit or a sweep as a bar in a notebook, in the manner of tqdm; without widgets, so that saved notebooks show it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from ..core.em.aitken import passes_left
from ..events import Event, Iteration, Listener

_BAR_WIDTH = 10  # characters of the bar where HTML is not shown

Bar = dict[str, str]  # as text and as HTML, by their MIME types


def notebook_bar(bar_of: Callable[[Iteration], Bar]) -> Listener:
    """Return a listener that shows the bar after each iteration in the cell that runs."""
    from IPython.display import display

    handle: Any = None

    def listen(event: Event) -> None:
        nonlocal handle
        if not isinstance(event, Iteration):
            return
        shown = bar_of(event)
        if handle is None:
            handle = display(shown, raw=True, display_id=True)
        else:
            handle.update(shown, raw=True)

    return listen


def bar_of_fit(event: Iteration, max_iter: int, tol: float) -> Bar:
    """Return the bar of the passes made and the estimated ones to come."""
    left = passes_left(event.gain, event.remaining_gain, tol)
    done, most = event.iteration, max(max_iter + 1, event.iteration)
    if event.n_live == 0:
        left = 0
    total = most if left is None else min(done + left, most)
    return _bar(done, total, f"{done}/{total if left is not None else '?'} passes, {_facts(event)}")


def bar_of_sweep(event: Iteration, n_candidates: int) -> Bar:
    """Return the bar of the candidates that have left; the log-likelihood is that of the one that leads."""
    done = n_candidates - event.n_live
    return _bar(done, n_candidates, f"{done}/{n_candidates} candidates done, pass {event.iteration}, {_facts(event)}")


def _bar(done: int, total: int, tail: str) -> Bar:
    share = done / total
    blocks = ("█" * round(share * _BAR_WIDTH)).ljust(_BAR_WIDTH)
    html = f'<progress value="{done}" max="{total}"></progress> {share:.0%} {escape(tail)}'
    return {"text/plain": f"{share:4.0%}|{blocks}| {tail}", "text/html": html}


def _facts(event: Iteration) -> str:
    gain = "" if event.gain is None else f", gain {event.gain:.1e}"
    return f"{event.seconds:.2f} s/pass, {event.level}{gain}"
