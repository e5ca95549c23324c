"""A sweep over rows: starts of all candidates on one sample, then passes that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dask.delayed import Delayed

from ..blas import single_threaded
from ..chunked.rows import Rows
from ..chunked.sweep import Starts, SweepExpectation, seed_all
from ..core.em.inference import Inference
from ..core.em.loop import Trial
from ..core.init.splitting import Seeded
from ..core.init.starts import first_stage_rows
from ..core.mixture.data_summary import DataSummary
from ..core.options.fit import FitOptions, ModelOptions
from ..core.options.select import SelectOptions, seed_options
from ..core.selection.folds import FoldSplit
from ..core.selection.sweep import Candidate, Sweep, SweepOptions, best_candidate, initial_sweep, run_sweep
from ..core.selection.table import Selection, selection
from ..errors import DataError, SingularCovarianceError
from ..events import Iteration, Listener, Notice, Phase
from .checks import check_family, check_model
from .iteration_events import sweep_events
from .width import FitConditions

Keep = Callable[[Sweep, Iteration | None], None]  # takes the sweep after a pass, and its event


@dataclass(frozen=True)
class SelectionSpec:
    """What is searched for, and how."""

    select: SelectOptions
    model: ModelOptions  # of which n_components and covariance_type are the candidates'
    fit: FitOptions
    seed: int

    def n_sample(self, n_features: int) -> int:
        """Return the rows of the sample that all candidates share."""
        return self.select.n_sample(self.fit, self.model, n_features)


@dataclass(frozen=True, eq=False)
class SelectionResult:
    """What a search has found."""

    sweep: Sweep
    selection: Selection
    best: Candidate
    trial: Trial  # of the best candidate
    inference: Inference  # by which it was found


@single_threaded()
def search(
    rows: Rows, data_summary: DataSummary, sample: Delayed, spec: SelectionSpec, listen: Listener
) -> SelectionResult:
    """Run a sweep over all rows; raise DataError if every candidate fails."""
    return finish_sweep(start_sweep(data_summary, sample, spec, listen), rows, spec, listen)


def check_sweep(spec: SelectionSpec, n_features: int, *, missing: bool) -> None:
    """Raise ConfigurationError for a sweep that rows of so many features cannot carry, whatever their values are.

    `missing` says whether values may be missing.
    """
    conditions = FitConditions(missing, inference=spec.fit.inference)
    for candidate in spec.select.candidates:
        check_model(spec.select.model(candidate, spec.model), n_features, conditions)


def start_sweep(data_summary: DataSummary, sample: Delayed, spec: SelectionSpec, listen: Listener) -> Sweep:
    """Return the sweep before its first pass: the best starts of each candidate on the sample."""
    for one in spec.select.types:
        check_family(one, data_summary)
    n_sample = min(spec.n_sample(data_summary.n_features), data_summary.n_rows)
    listen(Phase("seed", f"{len(spec.select.candidates)} candidates on {n_sample:,} rows"))
    seeds = _seeds(data_summary, sample, spec, n_sample)
    return initial_sweep(spec.select.candidates, seeds, data_summary, spec.select.n_folds)


def finish_sweep(
    sweep: Sweep, rows: Rows, spec: SelectionSpec, listen: Listener, keep: Keep = lambda sweep, event: None
) -> SelectionResult:
    """Run the remaining passes of a sweep; `keep` gets each pass before it is reported."""
    data_summary, n_sample = sweep.data_summary, min(spec.n_sample(rows.n_features), sweep.data_summary.n_rows)
    options = spec.select.sweep(spec.fit, spec.model, data_summary, n_sample)
    dealing = FoldSplit(spec.select.n_folds, spec.seed)
    expect = SweepExpectation(rows, data_summary, dealing, spec.fit.dtype, spec.select.batch_bytes)
    listen(Phase("fit", f"EM of {len(sweep.candidates)} candidates on all {data_summary.n_rows:,} rows"))
    event_of = sweep_events(sweep, options, data_summary.n_rows)

    def tell(sweep: Sweep) -> Sweep:
        sweep, event = event_of(sweep)
        keep(sweep, event)
        if event is not None:
            listen(event)  # what is reported has been kept
        return sweep

    return _result_of(run_sweep(sweep, expect, options, tell), options, listen)


def _seeds(data_summary: DataSummary, sample: Delayed, spec: SelectionSpec, n_sample: int) -> dict[str, Seeded]:
    """Return the finalists of each candidate on the sample, by its name, or why it has none."""
    few = f"{data_summary.n_rows} rows of positive weight cannot be split into that many components"
    fitting = [one for one in spec.select.candidates if one.n_components <= data_summary.n_rows]
    starts: Starts = {}
    for one in fitting:
        on_first, on_sample = (
            seed_options(one, spec.fit, spec.select.model(one, spec.model), data_summary, n)
            for n in (first_stage_rows(n_sample), n_sample)
        )
        starts[one] = on_first, on_sample
    seeds = seed_all(sample, starts, spec.seed)
    return {one.name: seeds.get(one.name, SingularCovarianceError(few)) for one in spec.select.candidates}


def _result_of(sweep: Sweep, options: SweepOptions, listen: Listener) -> SelectionResult:
    table, best = selection(sweep, options), best_candidate(sweep, options)
    for name, why in sweep.failures.items():
        listen(Notice(f"candidate {name} failed: {why}"))
    if table is None or best is None:
        raise DataError(_why_none(sweep, options))
    return SelectionResult(sweep, table, best, sweep.states[best.name].best, options.em.inference)


def _why_none(sweep: Sweep, options: SweepOptions) -> str:
    """Return why no candidate can be chosen: all failed, or the criterion has no finite value of those that did not."""
    if len(sweep.failures) == len(sweep.candidates):
        why = next(iter(sweep.failures.values()))
        return f"none of {len(sweep.candidates)} candidates could be fitted; the first: {why}"
    d = sweep.data_summary.n_features
    least = min(one.n_parameters(d) for one in sweep.candidates if one.name in sweep.states)
    return (
        f"no candidate has a finite {options.criterion}: the smallest has {least} parameters, of which aicc takes at "
        f"most n - 2 = {sweep.data_summary.weight_sum - 2:,.6g} (rows by their weights); choose another criterion, "
        "fewer components or covariance_type diag or spherical"
    )
