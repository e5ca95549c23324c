"""The job on a terminal: a bar where there is one, else a line for each iteration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from ..events import Connected, Event, Iteration, Listener, Notice, Phase


def iteration_line(event: Iteration) -> str:
    """Return the line that tells of an iteration; its format is stable."""
    gain = "-" if event.gain is None else f"{event.gain:.3e}"
    remaining = "-" if event.remaining_gain is None else f"{event.remaining_gain:.1e}"
    line = (
        f"iteration {event.iteration:3d}  log-likelihood {event.log_likelihood:.6f}  gain {gain}  "
        f"remaining {remaining}  {event.seconds:.2f} s  {event.rows_per_second:,.0f} rows/s"
    )
    if event.empty_components:
        line += f"  empty components {', '.join(map(str, event.empty_components))}"
    return line


def plain(console: Console) -> Listener:
    """Return a listener that prints a line for each event."""

    def listen(event: Event) -> None:
        match event:
            case Phase(name, detail):
                console.print(f"{name}: {detail}" if detail else name)
            case Connected(description, dashboard):
                console.print(f"computing on {description}" + (f", dashboard {dashboard}" if dashboard else ""))
            case Iteration():
                console.print(iteration_line(event))
            case Notice(message):
                console.print(f"note: {message}")

    return listen


@contextmanager
def terminal(console: Console, max_iter: int) -> Iterator[Listener]:
    """Give a listener that prints lines and keeps a progress bar of the iterations below them."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar: TaskID = progress.add_task("starting", total=None)
        lines = plain(progress.console)

        def listen(event: Event) -> None:
            lines(event)
            match event:
                case Phase("fit"):
                    progress.update(bar, description="fit", total=max_iter, completed=0)
                case Phase(name):
                    progress.update(bar, description=name, total=None)
                case Iteration(iteration=done):
                    progress.update(bar, completed=done)

        yield listen


@contextmanager
def listening(console: Console, max_iter: int) -> Iterator[Listener]:
    """Give the listener that suits the console."""
    if console.is_terminal:
        with terminal(console, max_iter) as listener:
            yield listener
    else:
        yield plain(console)
