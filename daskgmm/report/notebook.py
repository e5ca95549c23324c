"""The fit as a bar in a notebook's cell, in the manner of tqdm; without widgets, so that saved notebooks show it."""

from __future__ import annotations

from html import escape
from typing import Any

from ..core.forecast import passes_left
from ..events import Event, Iteration, Listener

_WIDTH = 10  # characters of the bar where HTML is not shown


def notebook_bar(max_iter: int, tol: float) -> Listener:
    """Return a listener that shows a bar in the cell that runs, of the passes made and the estimated ones to come."""
    from IPython.display import display

    handle: Any = None

    def listen(event: Event) -> None:
        nonlocal handle
        if not isinstance(event, Iteration):
            return
        shown = bar_of(event, max_iter, tol)
        if handle is None:
            handle = display(shown, raw=True, display_id=True)
        else:
            handle.update(shown, raw=True)

    return listen


def bar_of(event: Iteration, max_iter: int, tol: float) -> dict[str, str]:
    """Return the bar after an iteration, as text and as HTML, by their MIME types."""
    left = passes_left(event.gain, event.remaining_gain, tol)
    done, most = event.iteration, max(max_iter + 1, event.iteration)
    if event.n_live == 0:
        left = 0
    total = most if left is None else min(done + left, most)
    share = done / total
    tail = f"{done}/{total if left is not None else '?'} passes, {_facts(event)}"
    blocks = ("█" * round(share * _WIDTH)).ljust(_WIDTH)
    html = f'<progress value="{done}" max="{total}"></progress> {share:.0%} {escape(tail)}'
    return {"text/plain": f"{share:4.0%}|{blocks}| {tail}", "text/html": html}


def _facts(event: Iteration) -> str:
    gain = "" if event.gain is None else f", gain {event.gain:.1e}"
    return f"{event.seconds:.2f} s/pass, log-likelihood {event.log_likelihood:.6f}{gain}"
