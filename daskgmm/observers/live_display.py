"""The display below the lines of a job on a terminal: where it is, how fast, and how long still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Thread

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from ..core.em.aitken import passes_left
from ..events import Connected, Event, Iteration, Load, Opened, Phase
from ..text import pluralize

_REFRESH_SECONDS = 1.0  # seconds between looks at the cluster


def _bar() -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    bar = Progress(*columns)
    bar.add_task("starting", total=None)
    return bar


@dataclass
class Board:
    """What the display shows; it changes with the events that it hears."""

    max_iter: int
    tol: float | None = None
    phase: str = "starting"
    iteration: Iteration | None = None
    opened: Opened | None = None
    dashboard: str | None = None
    look: Callable[[], Load | None] | None = None
    load: Load | None = None  # when it was last looked at
    reached: float = 0.0  # the largest share of the tasks that were done in this phase: the bar never runs backwards
    bar: Progress = field(default_factory=_bar)

    def __call__(self, event: Event) -> None:
        match event:
            case Phase(name):
                self.phase, self.reached = name, 0.0
                self.bar.reset(self.bar.task_ids[0], total=None)
            case Connected(dashboard=dashboard, look=look):
                self.dashboard, self.look = dashboard, look
            case Opened():
                self.opened = event
            case Iteration():
                self.iteration, self.reached = event, 0.0

    def __rich__(self) -> Group:
        load = self.load
        done = load.tasks_done / load.tasks if load and load.tasks else 0.0
        self.reached = max(self.reached, done)
        known = done == self.reached > 0  # a phase of several computations: how far all of it is cannot be known
        self.bar.update(self.bar.task_ids[0], description=self._what(), completed=done)
        self.bar.tasks[0].total = 1.0 if known else None  # an update leaves it as it is if it is None
        return Group(self.bar, *(Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in self.lines()))

    def lines(self) -> list[str]:
        """Return the lines below the bar."""
        return ["   ".join(facts) for facts in (self._of_fit(), self._of_place()) if facts]

    def _what(self) -> str:
        if self.phase != "fit":
            return self.phase
        done = self.iteration.iteration if self.iteration else 0
        if self.iteration and self.iteration.n_live == 0:
            return f"fit, done after {pluralize(done, 'pass')}"
        return f"fit, pass {done + 1} of at most {self.max_iter + 1}"

    def _of_fit(self) -> list[str]:
        one = self.iteration
        if one is None:
            return []
        left = None if self.tol is None else passes_left(one.gain, one.remaining_gain, self.tol)
        against = "" if self.tol is None else f" (tol {self.tol:.1e})"
        facts = [
            f"iteration {one.iteration}",
            one.level,
            None if one.gain is None else f"gain {one.gain:.2e}",
            None if one.remaining_gain is None else f"remaining {one.remaining_gain:.1e}{against}",
            f"about {left} passes left" if left and self.phase == "fit" else None,
        ]
        return [fact for fact in facts if fact]

    def _of_place(self) -> list[str]:
        one, load, opened = self.iteration, self.load, self.opened
        facts = [
            f"{one.rows_per_second:,.0f} rows/s" if one else None,
            f"{one.rows_per_second * opened.row_bytes / 2**20:,.0f} MiB/s read"
            if one and opened and opened.streamed
            else None,
            _workers(load) if load else None,
            f"{load.n_retries} retries" if load else None,
            f"dashboard {self.dashboard}" if self.dashboard else None,
        ]
        return [fact for fact in facts if fact]


def _workers(load: Load) -> str:
    workers = "" if load.n_workers == 1 else f"{load.n_workers} workers, "
    return f"{workers}{pluralize(load.n_threads, 'thread')}"


@contextmanager
def show(board: Board, console: Console) -> Iterator[None]:
    """Show the board below what the console prints, and look at the cluster each second, until the end."""
    ended = Flag()

    def keep_looking() -> None:
        while not ended.wait(_REFRESH_SECONDS):
            if board.look is not None:
                board.load = board.look()

    looking = Thread(target=keep_looking, name="daskgmm-display", daemon=True)
    with Live(board, console=console, transient=True, refresh_per_second=4):
        looking.start()
        try:
            yield
        finally:
            ended.set()
            looking.join(timeout=3 * _REFRESH_SECONDS)
