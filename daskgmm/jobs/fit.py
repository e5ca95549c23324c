"""Fit and predict: the data flow from a configuration to a run directory.

open source -> data summary -> sample + seed -> [ pass -> M-step ] x iterations -> save model -> predict pass
"""

from __future__ import annotations

from ..chunked.labelled_rows import lazy_labels
from ..config import Config
from ..core.em.fitted_model import Model
from ..core.em.update import keep_statistics
from ..core.scoring.merging import Clusters
from ..errors import ConfigurationError
from ..events import Finished, Listener, Phase, ignore
from ..filesystem.location import resolve_location
from ..fitting.checks import check_same_features, report_mask
from ..fitting.fit import Start, initial_state, prepare_fit, run_em
from ..fitting.reduction import Reduced, reduce_rows
from ..observers.mlflow import track
from ..observers.recorder import Recorder
from ..sources import Source, open_source
from ..storage.formats.model import save_model
from ..storage.formats.provenance import save_beginning, save_course
from ..storage.run.checkpoint_policy import keep_checkpoints
from ..storage.run.directory import MODEL, RECORD, OutputOptions, RunDirectory
from ..storage.run.reopening import reopen_damaged
from ..storage.run.staging import Unfinished
from .given import with_given
from .outputs import results_of
from .plan import check_fit_plan, plan_fit
from .record import keep_beginning, mend_record
from .report import leave_finished, report_of_fit
from .resume import find_finished_fit, fit_plan, projection_before, read_fitted
from .scoring import check_clusters, options_of, with_anomaly, with_clusters, write_results, write_scores
from .seen_rows import keep_seen, seen_rows
from .session import keep_iterations, open_session, reduce_rows_of
from .start import find_saved_model, start_from


def fit(config: Config, listen: Listener = ignore, *, overwrite: bool = False, resume: bool = False) -> Model:
    """Run the fit that the configuration describes; return the model, which the run directory then holds.

    Parameters
    ----------
    config : Config
        The configuration, as `daskgmm.config.load_config` returns it.
    listen : callable
        Called with each event (`daskgmm.events`) of the job; the default ignores them.
    overwrite : bool
        Replace a run that the output directory already holds.
    resume : bool
        Continue an interrupted fit from its last checkpoint, or a fit that stopped at a smaller `fit.max_iter` from its
        model. A finished fit is left as it is; if there is none, start it.

    Raises
    ------
    ConfigurationError
        If the output directory holds a run and neither `overwrite` nor `resume` is given, or if what is there cannot be
        resumed with this configuration.
    DataError
        If the data cannot be read, or cannot be fitted with this model.
    ClusterLostError
        If the cluster is gone.
    RunInUseError
        If another job has the output directory.
    """
    check_clusters(config.output, config.model.n_components)
    directory = RunDirectory(resolve_location(config.output.directory, config.output.storage_options))
    with track(config, "fit", listen) as tell, directory.hold_lock(tell):
        if resume:
            reopen_damaged(directory.path, tell)
        if resume and (before := find_finished_fit(directory, config)) is not None:
            leave_finished(directory, config.output, tell)
            return before
        saved = find_saved_model(config, directory, tell, resume=resume)
        overwrite = overwrite or (saved is not None and saved.continues)
        directory.check_writable(overwrite, resume)
        source, recorder = open_source(config.data), Recorder(tell)
        start, plan = start_from(saved, config.model, source), plan_fit(config, source)
        check_fit_plan(plan)
        with (
            open_session(plan, recorder) as stored,
            directory.write_fit(config.to_yaml(), fit_plan(stored, config, source.labels), resume, overwrite) as work,
        ):
            before = read_fitted(work, recorder)
            known = before.projection if before else start.projection or projection_before(work)
            reduced = reduce_rows_of(stored, config, recorder, known)
            mend_record(reduced.rows, source, config, work, recorder)
            fitted = before or fit_rows(reduced, source, config, work, recorder, start)
            model = write_scores(fitted, reduced.rows, source, config, work, recorder)
        if config.output.report:
            report_of_fit(directory.path, tell)
        tell(Finished(config.output.directory, model.summary.figures))
    return model


def fit_rows(
    reduced: Reduced, source: Source, config: Config, work: Unfinished, listen: Recorder, start: Start
) -> Model:
    """Return the model of the rows, which is saved: by EM from where it stood, or from the best starts on a sample."""
    rows, projection = reduced.rows, reduced.projection
    with keep_checkpoints(work, config.output.checkpoint_every, listen, projection) as checkpoints:
        labels = None if source.labels is None else lazy_labels(source.labels, rows)
        # When resumed the same.
        prepared = prepare_fit(rows, config.model, config.fit, config.fit.random_state, labels=labels, identify=True)
        state = checkpoints.before.states.get("fit")
        if state is None:
            report_mask(config.data.mask, prepared.data_summary, rows.n_rows, listen, reduced=projection is not None)
            state, restarts = initial_state(prepared, start, listen)
            beginning = keep_beginning(rows, source, prepared.data_summary, prepared.sample, restarts, config)
            save_beginning(beginning, work.path / RECORD)
        seen = seen_rows(reduced, prepared.data_summary, prepared.fingerprints, config.data)
        keep_seen(seen, "fit", work)
        checkpoints.keep({"fit": state})
        listen(Phase("fit", f"EM on all {prepared.data_summary.n_rows:,} rows"))
        state = run_em(prepared, state, keep_iterations(checkpoints, prepared.data_summary.n_rows, listen))
    save_course(listen.course(state), work.path / RECORD)
    kept = keep_statistics(state.best, state.data_summary)
    inference, options = prepared.em.inference, options_of(config)
    model = Model.of(state.best, inference, source.feature_names, kept, options, projection)
    save_model(model, work.path / MODEL)
    return model


def predict(
    config: Config,
    model: Model,
    listen: Listener = ignore,
    *,
    overwrite: bool = False,
    resume: bool = False,
    clusters: Clusters | None = None,
) -> None:
    """Score the data of the configuration with a fitted model; write what `output` names to its directory.

    Parameters
    ----------
    config : Config
        The configuration, as `daskgmm.config.load_config` returns it.
    model : Model
        The fitted model, as `fit` or `daskgmm.load_model` returns it. Its features must be those of the data.
    listen : callable
        Called with each event (`daskgmm.events`) of the job; the default ignores them.
    overwrite : bool
        Replace a run that the output directory already holds.
    resume : bool
        Continue an interrupted prediction; its finished chunks are not computed again.
    clusters : Clusters, optional
        The clusters of the model's components (`daskgmm.storage.formats.clusters.find_clusters`), if `output.clusters`
        asks for any; without them the components are merged by the rows that are scored.

    Raises
    ------
    ConfigurationError
        If `output` names nothing to write, or if the output directory holds a fitted model or another prediction.
    DataError
        If the data cannot be read, or has other features than the model.
    """
    directory = RunDirectory(resolve_location(config.output.directory, config.output.storage_options))
    check_predictable(directory, config.output)
    with track(config, "prediction", listen) as tell, directory.hold_lock(tell):
        if resume:
            reopen_damaged(directory.path, tell)
        directory.check_writable(overwrite, resume)
        source = open_source(config.data, weighted=False)
        if config.data.given is None:
            check_same_features(source.feature_names, model.feature_names)
        else:
            source = with_given(source, config.data.given, model)
        with open_session(plan_fit(config, source), tell) as stored:
            rows = reduce_rows(stored, None, 0, config.compute.persist, tell, model.projection).rows
            model = with_anomaly(model, rows, config.output, tell)
            merged = with_clusters(model, clusters, rows, config.output, tell)
            results = results_of(rows, source, model, config, merged)
            with directory.write_prediction(config.to_yaml(), results.plan, resume, overwrite) as work:
                write_results(results, model, work, tell, of_new_rows=True)
        tell(Finished(config.output.directory, {}))


def check_predictable(directory: RunDirectory, output: OutputOptions) -> None:
    """Raise ConfigurationError where a prediction would harm a fit, or write nothing."""
    if directory.holds_model:
        raise ConfigurationError(f"output.directory {output.directory!r} holds a fitted model: choose another one")
    if not output.has_results:
        raise ConfigurationError("nothing is to be written: set output.labels, probabilities or log_density to true")
