"""Fit rows, for jobs and estimators alike: summarise and sample them, start on the sample, run EM on all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dask.delayed import Delayed

from ..chunked.data_summary import survey_and_sample
from ..chunked.e_step import Expectation
from ..chunked.initialization import raced, starts, suggest_from
from ..chunked.rows import Rows
from ..core.em.loop import EMOptions, State, Trial, iterate
from ..core.init.starts import Given, Race
from ..core.mixture.data_summary import Survey
from ..core.mixture.mixture import Mixture, project
from ..core.options.fit import FitOptions, ModelOptions
from ..events import Listener, Phase
from .checks import check_fittable


@dataclass(frozen=True, eq=False)
class Start:
    """Where EM starts on all rows: at a mixture, or at the best restarts on the sample."""

    mixture: Mixture | None = None
    n_before: int = 0  # M-steps that led to the mixture and count as this fit's
    origin: str = "given parameters"  # of the mixture, for messages
    given: Given = field(default_factory=Given)  # parameters that all restarts begin with


@dataclass(frozen=True, eq=False)
class Fit:
    """A fit before its first pass of EM: the rows, their summary and sample, and the options."""

    rows: Rows
    survey: Survey
    sample: Delayed  # of an Expectation
    model: ModelOptions
    options: FitOptions
    seed: int
    em: EMOptions


def prepare_fit(rows: Rows, model: ModelOptions, options: FitOptions, seed: int, *, accelerate: bool = True) -> Fit:
    """Summarise the rows and draw their sample, in one read; raise DataError if values or weights cannot be used."""
    survey, sample = survey_and_sample(rows, options.n_sample(model, rows.n_features), seed, model.resolution)
    return Fit(rows, survey, sample, model, options, seed, options.em(model, survey, accelerate=accelerate))


def initial_state(fit: Fit, start: Start, listen: Listener) -> tuple[State, Race]:
    """Return the state before the first pass, and the restarts on the sample that led to it, if any.

    Raises DataError if the rows cannot carry the model.
    """
    check_fittable(fit.survey, fit.model, fit.rows.naming.features, listen)
    if start.mixture is not None:
        listen(Phase("seed", f"from {start.origin}"))
        trial = Trial(project(start.mixture, fit.em.floor), n_before=start.n_before)
        return State(fit.survey, (trial,)), Race((), ())
    race = _run_restarts(fit, start.given, listen)
    return State(fit.survey, tuple(Trial(mixture) for mixture in race.mixtures)), race


def _run_restarts(fit: Fit, given: Given, listen: Listener) -> Race:
    """Return the restarts on the sample; if means are given, partitions by them without any EM."""
    n_sample = fit.options.n_sample(fit.model, fit.survey.n_features)
    listen(Phase("seed", f"{fit.options.n_init} restarts on {min(n_sample, fit.survey.n_rows):,} rows"))
    options = fit.options.seeding(fit.model, fit.survey, given)
    if given.means is None:
        return raced(fit.sample, options, fit.seed)
    return Race((), tuple(Trial(mixture) for mixture in starts(fit.sample, options, fit.seed)))


def run_em(fit: Fit, state: State, keep: Callable[[State], None]) -> State:
    """Run EM on all rows from a state until every trial has stopped; `keep` gets the state after each pass."""
    expect = Expectation(fit.rows, fit.survey, fit.options.compute_dtype)
    return iterate(state, expect, fit.em, keep, suggest_from(fit.sample, fit.survey, fit.em))
