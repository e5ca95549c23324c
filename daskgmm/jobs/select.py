"""Select: the data flow of a sweep, from a configuration to a run directory.

open source -> data summary -> sample + seed all candidates -> [ pass of all -> M-steps ] x iterations -> save the best
model and the table -> predict pass
"""

from __future__ import annotations

from ..chunked.data_summary import summarise
from ..config import Config
from ..core.em.fitted_model import Model
from ..core.em.loop import State
from ..core.em.update import keep_statistics
from ..core.init.starts import RestartResults
from ..core.mixture.projection import Projection
from ..core.selection.sweep import Candidate, Sweep
from ..core.selection.table import Selection
from ..errors import ConfigurationError, DataError
from ..events import Finished, Iteration, Listener, Notice, ignore
from ..filesystem.location import guard_write, resolve_location
from ..fitting.checks import check_fittable, report_mask
from ..fitting.reduction import Reduced
from ..fitting.sweep import SelectionResult, SelectionSpec, check_sweep, finish_sweep, start_sweep
from ..observers.mlflow import track
from ..observers.recorder import Recorder
from ..sources import Source, open_source
from ..storage.formats.model import save_model
from ..storage.formats.provenance import save_beginning, save_course
from ..storage.formats.selection import read_selection, write_selection
from ..storage.formats.sweep_checkpoint import notes_of, sweep_of
from ..storage.run.checkpoint_policy import keep_checkpoints
from ..storage.run.directory import CONFIG, MODEL, RECORD, SELECTION, RunDirectory
from ..storage.run.reopening import reopen_damaged
from ..storage.run.staging import Unfinished
from .plan import check_sweep_plan, plan_sweep
from .record import keep_beginning, mend_record
from .report import leave_finished, report_of_fit
from .resume import find_finished_sweep, projection_before, read_fitted, select_plan
from .scoring import check_clusters, options_of, write_scores
from .seen_rows import keep_seen, known_rows, seen_rows
from .session import open_session, reduce_rows_of


def select(
    config: Config, listen: Listener = ignore, *, overwrite: bool = False, resume: bool = False
) -> tuple[Model, Selection]:
    """Run the sweep that the configuration describes, and write the best model to the run directory.

    Parameters
    ----------
    config : Config
        The configuration, as `daskgmm.config.load_config` returns it. Its section `select` names the candidates.
    listen : callable
        Called with each event (`daskgmm.events`) of the job; the default ignores them.
    overwrite : bool
        Replace a run that the output directory already holds.
    resume : bool
        Continue an interrupted sweep from its last checkpoint. A finished one is left as it is; if there is none, start
        it.

    Returns
    -------
    model : Model
        The best model.
    table : Selection
        A row for each candidate, and the choice; `selection.json` holds the same.

    Raises
    ------
    DaskGMMError
        As `daskgmm.jobs.fit.fit` does.
    """
    check_clusters(config.output, min(config.select.sizes))
    _check_selectable(config)
    directory = RunDirectory(resolve_location(config.output.directory, config.output.storage_options))
    with track(config, "select", listen) as tell, directory.hold_lock(tell):
        if resume:
            reopen_damaged(directory.path, tell)
        if resume and (before := find_finished_sweep(directory, config)) is not None:
            leave_finished(directory, config.output, tell)
            return before
        directory.check_writable(overwrite, resume)
        source, recorder = open_source(config.data), Recorder(tell)
        plan = plan_sweep(config, source)
        check_sweep_plan(plan)
        with (
            open_session(plan, recorder) as stored,
            directory.write_fit(config.to_yaml(), select_plan(stored, config), resume, overwrite) as work,
        ):
            before = read_selected(work, recorder)
            known = before[0].projection if before else projection_before(work)
            reduced = reduce_rows_of(stored, config, recorder, known)
            rows = reduced.rows
            mend_record(rows, source, config, work, recorder)
            best, table = before or select_rows(reduced, source, config, work, recorder)
            chosen = config.of(best_of(table, config))
            with guard_write(work.path):
                (work.path / CONFIG).write_text(chosen.to_yaml(), encoding="utf-8")
            model = write_scores(best, rows, source, chosen, work, recorder)
        if config.output.report:
            report_of_fit(directory.path, tell)
        tell(Finished(config.output.directory, model.summary.figures))
    return model, table


def _check_selectable(config: Config) -> None:
    """Raise ConfigurationError for options that only a fit takes."""
    if config.data.labels is not None:
        raise ConfigurationError(
            f"data.labels {config.data.labels!r} is for daskgmm fit: a sweep renumbers components as it splits and "
            "merges them; fit each number of components, and take daskgmm compare"
        )
    if config.model.frozen:
        raise ConfigurationError(
            f"model.frozen {list(config.model.frozen)} is for daskgmm fit: a sweep renumbers components as it "
            "splits and merges them; fit each number of components, and take daskgmm compare"
        )


def best_of(table: Selection, config: Config) -> Candidate:
    """Return the candidate of the configuration that the table names as the best."""
    return next(one for one in config.select.candidates if one.name == table.best)


def read_selected(work: Unfinished, listen: Listener) -> tuple[Model, Selection] | None:
    """Return the results of an interrupted sweep; None if it had not ended, or if they are damaged."""
    model = read_fitted(work, listen)
    try:
        return None if model is None else (model, read_selection(work.path / SELECTION))
    except DataError as error:
        listen(Notice(f"{error}: the sweep continues from a checkpoint"))
        return None


def select_rows(
    reduced: Reduced, source: Source, config: Config, work: Unfinished, listen: Recorder
) -> tuple[Model, Selection]:
    """Return the best model of the rows and the table of the sweep, which are saved: from where it stood, or again."""
    spec = SelectionSpec(config.select, config.model, config.fit, config.fit.random_state)
    rows, projection = reduced.rows, reduced.projection
    with keep_checkpoints(work, config.output.checkpoint_every, listen, projection) as checkpoints:

        def keep(sweep: Sweep, event: Iteration | None) -> None:
            if event is not None:
                checkpoints.metrics(event)
            if sweep.states:  # where all have failed, there is nothing to continue with
                checkpoints.keep(sweep.states, notes_of(sweep))

        if checkpoints.before.states:
            sweep = sweep_of(checkpoints.before, config.select.candidates, config.select.n_folds)
        else:
            sweep = start_sweep_job(reduced, source, spec, config, work, listen)
        keep(sweep, None)
        found = finish_sweep(sweep, known_rows(rows, work), spec, listen, keep)
    return save_found(found, source, projection, config, work, listen), found.selection


def start_sweep_job(
    reduced: Reduced, source: Source, spec: SelectionSpec, config: Config, work: Unfinished, listen: Listener
) -> Sweep:
    """Return the sweep before the first pass: the data summary, and the starts of all candidates on a sample."""
    rows = reduced.rows
    check_sweep(spec, rows.n_features, missing=rows.missing)
    size, resolution = spec.n_sample(rows.n_features), spec.model.resolution_of_rows
    summary = summarise(rows, size, spec.seed, resolution, identify=True)
    data_summary, sample = summary.data_summary, summary.sample
    check_fittable(data_summary, config.of(config.select.smallest).model, rows.naming.features, listen)
    report_mask(config.data.mask, data_summary, rows.n_rows, listen, reduced=config.model.reduce is not None)
    sweep = start_sweep(data_summary, sample, spec, listen)
    save_beginning(
        keep_beginning(rows, source, data_summary, sample, RestartResults((), ()), config), work.path / RECORD
    )
    seen = seen_rows(reduced, data_summary, summary.fingerprints, config.data)
    keep_seen(seen, "select", work)
    return sweep


def save_found(
    found: SelectionResult,
    source: Source,
    projection: Projection | None,
    config: Config,
    work: Unfinished,
    listen: Recorder,
) -> Model:
    """Write the table, the record and last the best model, by which all three are known to be there; return it."""
    write_selection(found.selection, work.path / SELECTION)
    state: State = found.sweep.states[found.best.name]
    save_course(listen.course(state), work.path / RECORD)
    kept = keep_statistics(found.trial, state.data_summary)
    options = options_of(config.of(found.best))
    model = Model.of(found.trial, found.inference, source.feature_names, kept, options, projection)
    save_model(model, work.path / MODEL)
    return model
