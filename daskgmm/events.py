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
class Connected:
    """The place where the job computes is there."""

    description: str
    dashboard: str | None


@dataclass(frozen=True)
class Iteration:
    """A pass over the full data is done."""

    iteration: int  # 1 for the first pass
    log_likelihood: float  # mean, nats per row, of the best trial
    gain: float | None  # since the pass before; None at the first
    remaining_gain: float | None  # estimated; None while there is no estimate
    seconds: float
    rows_per_second: float
    n_live: int  # finalists still running
    empty_components: tuple[int, ...]


@dataclass(frozen=True)
class Notice:
    """Something that a person should know about the data or the fit."""

    message: str


@dataclass(frozen=True)
class Finished:
    """All of the job is written and in its place."""

    directory: str  # where
    figures: Mapping[str, float]  # of a fit: log-likelihood and criteria, by name


Event = Phase | Connected | Iteration | Notice | Finished
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


def to_all(*listeners: Listener) -> Listener:
    """Return a listener that hands each event to all of these."""

    def listen(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return listen
