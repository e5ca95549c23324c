"""The job on a terminal: a line for each event, and a display below them where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from ..events import Connected, Event, Iteration, Listener, Notice, Phase, to_all
from ..text import printable
from .live_display import Board, show


def iteration_line(event: Iteration) -> str:
    """Return the line that tells of an iteration; its format is stable."""
    gain = "-" if event.gain is None else f"{event.gain:.3e}"
    remaining = "-" if event.remaining_gain is None else f"{event.remaining_gain:.1e}"
    line = (
        f"iteration {event.iteration:3d}  {event.level}  gain {gain}  "
        f"remaining {remaining}  {event.seconds:.2f} s  {event.rows_per_second:,.0f} rows/s"
    )
    if event.empty_components:
        line += f"  empty components {', '.join(map(str, event.empty_components))}"
    return line


def plain(console: Console) -> Listener:
    """Return a listener that prints a line for each event."""

    def say(line: str) -> None:
        console.print(printable(line), markup=False)

    def listen(event: Event) -> None:
        match event:
            case Phase(name, detail):
                say(f"{name}: {detail}" if detail else name)
            case Connected(description, dashboard, _):
                say(f"computing on {description}" + (f", dashboard {dashboard}" if dashboard else ""))
            case Iteration():
                say(iteration_line(event))
            case Notice(message):
                say(f"note: {message}")

    return listen


@contextmanager
def terminal(console: Console, max_iter: int, tol: float | None = None) -> Iterator[Listener]:
    """Give a listener that prints lines and keeps a display of the job below them."""
    board = Board(max_iter, tol)
    with show(board, console):
        yield to_all(plain(console), board)


@contextmanager
def listen_on(console: Console, max_iter: int, tol: float | None = None) -> Iterator[Listener]:
    """Give the listener that suits the console; `tol` is the bound that the estimated remaining gain is shown with."""
    if console.is_terminal and not console.quiet:
        with terminal(console, max_iter, tol) as listener:
            yield listener
    else:
        yield plain(console)
