"""Fit rows, for jobs and estimators alike: summarise and sample them, start on the sample, run EM on all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import dask.array as da
from dask.delayed import Delayed

from ..blas import single_threaded
from ..chunked.data_summary import summarise
from ..chunked.e_step import Expectation
from ..chunked.initialization import run_labelled, run_restarts, starts, suggest_from
from ..chunked.labelled_rows import (
    LabelledGaps,
    cut_labels,
    name_labels,
    sample_beside_labelled,
    summarise_labelled,
    without_labelled,
)
from ..chunked.rows import Rows
from ..core.em.labelled_rows import LabelledRows
from ..core.em.loop import EMOptions, State, Trial, iterate, no_suggestion
from ..core.init.starts import Given, RestartResults
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.mixture import Mixture
from ..core.mixture.projection import Projection
from ..core.options.fit import FitOptions, ModelOptions
from ..events import Listener, Phase
from ..text import pluralize
from .checks import check_fittable, check_model
from .width import FitConditions


@dataclass(frozen=True, eq=False)
class Start:
    """Where EM starts on all rows: at a mixture, or at the best restarts on the sample."""

    mixture: Mixture | None = None
    n_before: int = 0  # M-steps that led to the mixture and count as this fit's
    origin: str = "given parameters"  # of the mixture, for messages
    given: Given = field(default_factory=Given)  # parameters that all restarts begin with
    projection: Projection | None = None  # of the rows that the mixture was fitted to


@dataclass(frozen=True, eq=False)
class Fit:
    """A fit before its first pass of EM: the rows, their summary and sample, and the options."""

    rows: Rows
    data_summary: DataSummary
    sample: Delayed  # of an Expectation
    model: ModelOptions
    options: FitOptions
    seed: int
    em: EMOptions
    labelled: LabelledRows | None = None  # further rows, whose components are known; the summary is of them too
    gappy: LabelledGaps | None = None  # and those of them that have gaps
    fingerprints: tuple[str, ...] = ()  # of each block of the rows, if they were asked for


@single_threaded()  # all the while: to set the limit takes as long as a pass over few rows
def prepare_fit(
    rows: Rows,
    model: ModelOptions,
    options: FitOptions,
    seed: int,
    *,
    accelerate: bool = True,
    labels: da.Array | None = None,
    identify: bool = False,
) -> Fit:
    """Summarise the rows and draw their sample, in one read; raise DataError if values or weights cannot be used.

    `labels` (*grid) are numbers of components, or -1 where they are not known: these rows are the sample's. They take
    two more reads of the data. `identify` takes fingerprints of the blocks too. Raises ConfigurationError, before
    any read, for a model that no rows of so many features can carry.
    """
    check_model(model, rows.n_features, FitConditions(rows.missing, labels is not None, options.inference))
    size = options.n_sample(model, rows.n_features)
    summary = summarise(rows, size, seed, model.resolution_of_rows, identify=identify)
    data_summary, sample, names = summary.data_summary, summary.sample, summary.fingerprints
    em = options.em(model, data_summary, accelerate=accelerate)
    rows = rows.name_blocks(names)
    if labels is None:
        return Fit(rows, data_summary, sample, model, options, seed, em, fingerprints=names)
    labels = cut_labels(labels, rows)
    found = summarise_labelled(rows, labels, model.n_components, data_summary)
    labels = name_labels(labels, rows, found.label_names)
    gappy = LabelledGaps(rows, labels) if found.has_gaps else None
    rows = without_labelled(rows, labels).name_blocks(found.names if identify else ())
    sample = sample_beside_labelled(rows, found.all_rows, size, seed)
    return Fit(rows, data_summary, sample, model, options, seed, em, found.complete, gappy, names)


@single_threaded()
def initial_state(fit: Fit, start: Start, listen: Listener) -> tuple[State, RestartResults]:
    """Return the state before the first pass, and the restarts on the sample that led to it, if any.

    Raises DataError if the rows cannot carry the model.
    """
    check_fittable(fit.data_summary, fit.model, fit.rows.naming.features, listen)
    if start.mixture is not None:
        listen(Phase("seed", f"from {start.origin}"))
        trial = Trial(fit.model.adopt(start.mixture, fit.data_summary), n_before=start.n_before)
        return State(fit.data_summary, (trial,)), RestartResults((), ())
    restarts = _restarts(fit, start.given, listen)
    return State(fit.data_summary, tuple(Trial(mixture) for mixture in restarts.mixtures)), restarts


def _restarts(fit: Fit, given: Given, listen: Listener) -> RestartResults:
    """Return the restarts on the sample; if means are given, partitions by them without any EM."""
    n_sample = fit.options.n_sample(fit.model, fit.data_summary.n_features)
    options = fit.options.seed_options(fit.model, fit.data_summary, given)
    listen(Phase("seed", f"{pluralize(options.n_init, 'restart')} on {min(n_sample, fit.data_summary.n_rows):,} rows"))
    if given.means is None and fit.labelled is not None:
        return run_labelled(fit.sample, options, fit.seed)
    if given.means is None:
        return run_restarts(fit.sample, options, fit.seed)
    return RestartResults((), tuple(Trial(mixture) for mixture in starts(fit.sample, options, fit.seed)))


def run_em(fit: Fit, state: State, keep: Callable[[State], None]) -> State:
    """Run EM on all rows from a state until every trial has stopped; `keep` gets the state after each pass."""
    expect = Expectation(fit.rows, fit.data_summary, fit.options.dtype, fit.labelled, fit.gappy)
    suggest = suggest_from(fit.sample, fit.data_summary, fit.em) if fit.labelled is None else no_suggestion
    return iterate(state, expect, fit.em, keep, suggest)
