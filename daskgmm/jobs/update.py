"""Update: the data flow of a finished run that continues with new rows.

open what is new of the source -> data summary -> [ pass over new rows + kept statistics -> M-step ] x iterations
-> drift pass -> optionally one pass over all rows -> save model -> predict pass
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ..chunked.data_summary import summarise
from ..chunked.prediction import check_n_features
from ..chunked.projection import project_rows
from ..chunked.read_ahead import ready
from ..chunked.rows import Rows
from ..config import Config
from ..core.em.fitted_model import Model
from ..core.em.loop import Trial
from ..core.em.update import KeptStatistics, Update
from ..core.init.starts import RestartResults
from ..core.mixture.mixture import Mixture
from ..errors import ConfigurationError, DataError
from ..events import Finished, Listener, Notice, Phase, ignore
from ..filesystem.location import public, resolve_location
from ..fitting.checks import check_same_features, report_mask
from ..fitting.reduction import Reduced
from ..fitting.update import (
    SAMPLED_ROWS,
    check_updatable,
    finish_update,
    initial_update,
    measure_drift,
    run_update,
    step_on_all,
    update_of,
)
from ..observers.mlflow import track
from ..observers.recorder import Recorder
from ..report.drift import drift_lines
from ..sources import Source, open_source
from ..storage.formats.history import Entry, History, SeenRows, check_unseen, read_history, write_history
from ..storage.formats.model import fingerprint, save_model
from ..storage.formats.provenance import save_beginning, save_course
from ..storage.run.checkpoint_policy import keep_checkpoints
from ..storage.run.directory import HISTORY, MODEL, RECORD, RunDirectory
from ..storage.run.reopening import reopen_damaged
from ..storage.run.staging import Unfinished
from .plan import plan_fit, rows_of
from .record import keep_beginning, mend_record
from .report import leave_finished, report_of_fit
from .resume import find_finished_update, read_fitted, update_plan
from .scoring import check_clusters, options_of, write_scores
from .seen_rows import NewRows, absolute, check_old_rows, keep_seen, new_rows, old_sources, seen_rows
from .session import keep_iterations, open_session, reduce_rows_of


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run that goes on: what it has found, and the rows that it has seen."""

    model: Model
    kept: KeptStatistics
    history: History
    path: str


def load_run(run_dir: str, model: Model) -> FinishedRun:
    """Return a run that can continue with new rows; raise ConfigurationError or DataError if it cannot."""
    check_updatable(model.mixture)
    path = resolve_location(run_dir)
    history = read_history(path / HISTORY)
    if model.kept is None or history is None:
        raise DataError(
            f"{public(run_dir)} has kept no statistics of its rows, as an older daskgmm wrote it, or it is no run "
            "directory: fit again to continue with new rows later"
        )
    return FinishedRun(model, model.kept, history, public(str(path)))


def update(
    config: Config, run: FinishedRun, listen: Listener = ignore, *, overwrite: bool = False, resume: bool = False
) -> Model:
    """Continue with the new rows that the configuration names; return the model, which the run directory then holds.

    Parameters
    ----------
    config : Config
        The configuration of the run with `data.path` of the new rows; of a store that has grown, the old rows are not
        read. `update` says what old rows count for.
    run : FinishedRun
        The run that goes on, which stays as it is.
    listen : callable
        Called with each event (`daskgmm.events`) of the job; the default ignores them.
    overwrite : bool
        Replace a run that the output directory already holds.
    resume : bool
        Continue an interrupted update from its last checkpoint. A finished one is left as it is.

    Raises
    ------
    DaskGMMError
        As `daskgmm.jobs.fit.fit` does; DataError if the run has seen the rows before.
    """
    check_update(config, run)
    directory = RunDirectory(resolve_location(config.output.directory, config.output.storage_options))
    with track(config, "update", listen) as tell, directory.hold_lock(tell):
        if resume:
            reopen_damaged(directory.path, tell)
        if resume and (before := find_finished_update(directory, config, run.model)) is not None:
            leave_finished(directory, config.output, tell)
            return before
        directory.check_writable(overwrite, resume)
        new, recorder = open_new(config, run), Recorder(tell)
        with (
            open_session(plan_fit(config, new.source), recorder) as stored,
            directory.write_fit(
                config.to_yaml(), update_plan(stored, config, run.model, new.first), resume, overwrite
            ) as work,
        ):
            reduced = reduce_rows_of(stored, config, recorder, run.model.projection)
            rows = reduced.rows
            mend_record(rows, new.source, config, work, recorder)
            fitted = read_fitted(work, recorder) or update_rows(reduced, new, config, run, work, recorder)
            report_drift(read_history(work.path / HISTORY), tell)
            model = write_scores(fitted, rows, new.source, config, work, recorder)
        if config.output.report:
            report_of_fit(directory.path, tell)
        tell(Finished(config.output.directory, model.summary.figures))
    return model


def open_new(config: Config, run: FinishedRun) -> NewRows:
    """Return the new rows of the configuration; raise DataError if there are none, or of other features."""
    new = new_rows(config, run.history)
    check_same_features(new.source.feature_names, run.model.feature_names)
    check_n_features(new.n_features, run.model.n_features)
    return new


def check_update(config: Config, run: FinishedRun) -> None:
    """Raise ConfigurationError for options that an update cannot act on, and for the directory of the run itself."""
    if config.data.labels is not None:
        raise ConfigurationError(
            f"data.labels {config.data.labels!r} is for a fit: an update takes no labels, so give data.labels=null"
        )
    if absolute(config.output.directory) == absolute(run.path):
        raise ConfigurationError(
            f"output.directory {config.output.directory!r} is that of the run itself, which stays as it is: choose "
            "another one"
        )
    check_clusters(config.output, run.model.mixture.n_components)


def update_rows(
    reduced: Reduced, new: NewRows, config: Config, run: FinishedRun, work: Unfinished, listen: Recorder
) -> Model:
    """Return the model after EM on new rows, which is saved with what it has seen: from where it stood, or again."""
    rows, projection = reduced.rows, reduced.projection
    with keep_checkpoints(work, config.output.checkpoint_every, listen, projection) as checkpoints:
        n_sample = max(config.output.report_rows, SAMPLED_ROWS)
        summary = summarise(rows, n_sample, config.fit.random_state, config.model.resolution_of_rows, identify=True)
        seen = seen_rows(reduced, summary.data_summary, summary.fingerprints, config.data, new.first)
        rows = rows.name_blocks(summary.fingerprints)
        if not config.update.repeat:
            _check_rows(new, config, run)
            check_unseen(seen, run.history, "update.repeat=true")
        keep_seen(seen, "update", work)
        update = update_of(
            summary.data_summary, run.model.state, run.kept, config.model, config.fit, config.update.forget
        )
        state = checkpoints.before.states.get("fit")
        if state is None:
            report_mask(config.data.mask, summary.data_summary, rows.n_rows, listen, reduced=projection is not None)
            state = initial_update(update)
            beginning = keep_beginning(
                rows, new.source, update.data_summary, summary.sample, RestartResults((), ()), config
            )
            save_beginning(beginning, work.path / RECORD)
        checkpoints.keep({"fit": state})
        listen(Phase("fit", f"EM on {update.data_summary.n_rows:,} new rows, {_of_old(run.kept, config)}"))
        keep = keep_iterations(checkpoints, update.data_summary.n_rows, listen)
        state = run_update(rows, update, config.model, config.fit, state, keep)
    model = _model(rows, state.best, update, config, run, listen)
    inference = config.fit.em(config.model, run.kept.data_summary).inference
    drift = measure_drift(rows, run.model.mixture, model.mixture, run.model.state, run.kept, inference)
    entry = Entry(
        job="update",
        model=fingerprint(run.model),
        rows=seen,
        directory=run.path,
        forget=config.update.forget,
        full_pass=config.update.full_pass,
        drift=drift,
    )
    write_history(run.history.with_entry(entry, config.update.forget), work.path / HISTORY)
    save_course(listen.course(state), work.path / RECORD)
    save_model(model, work.path / MODEL)
    return model


def _check_rows(new: NewRows, config: Config, run: FinishedRun) -> None:
    """Raise DataError if a store that has grown is another one than the run has seen: its last old chunk is read."""
    if new.before:
        every = _as_fitted(open_source(config.data), config, run)
        check_old_rows(every.fuse(), new.before, f"data.path {public(config.data.path)}")


def _of_old(kept: KeptStatistics, config: Config) -> str:
    if config.update.forget == 0:
        return "the old ones forgotten"
    share = "" if config.update.forget == 1 else f", which count for {config.update.forget:g}"
    return f"with the statistics of {kept.data_summary.n_rows:,} old ones{share}"


def _model(rows: Rows, best: Trial, update: Update, config: Config, run: FinishedRun, listen: Listener) -> Model:
    """Return the model that EM on the new rows has led to, or with update.full_pass a pass over all rows after it."""
    best, kept = finish_update(update, best, config.model)
    if config.update.full_pass:
        listen(Phase("full pass", f"statistics of {kept.data_summary.n_rows:,} old and new rows"))
        state, kept = _step_on_all(rows, best, update, config, run)
        objective = (kept.log_likelihood + update.base.penalty(state)) / kept.weight_sum
        best = replace(best, mixture=state, history=(*best.history, objective))
    return Model.of(best, update.base, run.model.feature_names, kept, options_of(config), run.model.projection)


def _step_on_all(
    rows: Rows, best: Trial, update: Update, config: Config, run: FinishedRun
) -> tuple[Mixture, KeptStatistics]:
    """Return the state after a step on all rows and what is kept of them; raise DataError if old rows have changed."""
    with ExitStack() as stack:
        parts = [*_old_rows(config, run, stack), (rows, 1.0)]
        try:
            state, kept = step_on_all(parts, best.mixture, update, config.model, config.fit)
        except DataError as error:
            raise DataError(f"update.full_pass reads all rows again, but {error}") from None
    expected = update.total.weight_sum
    if abs(kept.weight_sum - expected) > _WEIGHT_TOLERANCE * expected:
        raise DataError(
            f"update.full_pass has read rows of weight {kept.weight_sum:,.10g}, but the run has seen {expected:,.10g}: "
            "data of earlier fits have changed; fit again"
        )
    return state, kept


_WEIGHT_TOLERANCE = 1e-9  # relative; sums of weights round


def _old_rows(config: Config, run: FinishedRun, stack: ExitStack) -> Iterator[tuple[Rows, float]]:
    """Yield the old rows that still count, ready to be read, with the share of their weights."""
    if config.update.forget == 0:
        return
    for seen, source in old_sources(run.history, config):
        rows = _as_seen(_as_fitted(source, config, run), seen)
        yield stack.enter_context(ready(rows, False, source.description)), config.update.forget * seen.share


def _as_seen(rows: Rows, seen: SeenRows) -> Rows:
    """Return old rows, lazily, in the blocks in which the run saw them, which must be the same when they are read."""
    weights = None if rows.weights is None else rows.weights.rechunk(seen.chunks)
    rows = replace(rows, array=rows.array.rechunk((*seen.chunks, -1)), weights=weights)
    return rows.fuse().name_blocks(seen.fingerprints)


def _as_fitted(source: Source, config: Config, run: FinishedRun) -> Rows:
    """Return the rows of a source, lazily, on the principal components of the run if it is of some."""
    rows, projection = rows_of(source, config.compute), run.model.projection
    return rows if projection is None else project_rows(rows, projection)


def report_drift(history: History | None, listen: Listener) -> None:
    """Report how the new rows differ from the old ones."""
    drift = None if history is None else history.last.drift
    for line in () if drift is None else drift_lines(drift):
        listen(Notice(line))
