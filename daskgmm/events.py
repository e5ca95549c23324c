"""What happens during a job, as frozen values; who wants to show or keep it listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """A part of the job begins."""

    name: str  # read, seed, fit, predict
    detail: str = ""


@dataclass(frozen=True)
class Load:
    """The progress of a job's tasks, at this moment."""

    n_workers: int  # processes; 1 for the threads of this one
    n_threads: int
    tasks_done: int  # of the pass that is being made; 0 of 0 between passes
    tasks: int
    n_retries: int  # reads and writes that were tried again since the job began


@dataclass(frozen=True)
class Connected:
    """The place where the job computes is there."""

    description: str
    dashboard: str | None
    look: Callable[[], Load | None] | None = None  # reports progress when it is called; None: no answer


@dataclass(frozen=True)
class Opened:
    """The rows are there."""

    n_rows: int
    row_bytes: int
    streamed: bool  # read again at each pass, not kept in memory


@dataclass(frozen=True)
class Iteration:
    """A pass over the full data has led to a better mixture.

    A pass whose proposal was rejected is reported with the next one that was not: its number is left out.
    """

    iteration: int  # passes so far
    objective: float  # what the fit maximises: it never falls
    log_likelihood: float  # mean, nats per row, of the best trial
    gain: float | None  # since the iteration before; None at the first
    remaining_gain: float | None  # estimated; None while there is no estimate
    seconds: float
    rows_per_second: float
    n_live: int  # finalists still running
    empty_components: tuple[int, ...]

    @property
    def level(self) -> str:
        """What the fit has raised so far, by its name: the log-likelihood, or an objective that has more in it."""
        name = "log-likelihood" if self.objective == self.log_likelihood else "objective"
        return f"{name} {self.objective:.6f}"


@dataclass(frozen=True)
class Notice:
    """Something that a person should know about the data or the fit."""

    message: str


@dataclass(frozen=True)
class Labelled:
    """All rows of the job have their labels."""

    counts: tuple[int, ...]  # of the rows that are labelled each component


@dataclass(frozen=True)
class Finished:
    """All of the job is written and in its place."""

    directory: str  # where
    figures: Mapping[str, float]  # of a fit: log-likelihood and criteria, by name


Event = Phase | Connected | Opened | Iteration | Notice | Labelled | Finished
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


def to_all(*listeners: Listener) -> Listener:
    """Return a listener that hands each event to all of these."""

    def listen(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return listen
