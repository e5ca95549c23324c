"""The jobs: the data flow from a configuration to a run directory.

open source -> survey -> sample + seed -> [ pass -> M-step ] x iterations -> save model -> predict pass
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .checks import check_fittable, check_predictable, check_same_features, tell_of_mask
from .chunked.expectation import Expectation
from .chunked.prediction import log_density_counts, predict_to
from .chunked.rows import Rows
from .chunked.seeding import race, suggest_from
from .chunked.survey import survey_and_sample
from .config import Config
from .core.loop import State, Trial, iterate
from .core.model import Anomaly, FitSummary, Model
from .core.selection_table import Selection
from .events import Listener, Notice, Phase, ignore, to_all
from .opening import opened
from .report.picture import write_segmentation
from .results import Results, results_of
from .selecting import Search, search
from .storage.model import save_model
from .storage.places import place
from .storage.results import read_result
from .storage.run import CONFIG, METRICS, MODEL, PICTURE, SELECTION, OutputOptions, RunDirectory, metrics_writer
from .storage.selection import write_selection
from .storage.sources import open_source
from .storage.unfinished import Unfinished
from .telling import iteration_teller


def fit(config: Config, listen: Listener = ignore, *, overwrite: bool = False) -> Model:
    """Run the fit that the configuration describes; return the model, which the run directory then holds."""
    directory = RunDirectory(place(config.output.directory, config.output.storage_options))
    directory.check_writable(overwrite)
    source = open_source(config.data)
    with opened(config, source, listen) as rows:
        n_sample, seed = config.fit.n_sample(config.model, rows.n_features), config.fit.random_state
        survey, sample = survey_and_sample(rows, n_sample, seed)
        check_fittable(survey, config.model, source.feature_names, listen)
        tell_of_mask(config.data.mask, rows.n_rows - survey.n_rows, listen)
        listen(Phase("seed", f"{config.fit.n_init} restarts on {min(n_sample, survey.n_rows):,} rows"))
        mixtures = race(sample, config.fit.seeding(config.model), seed)
        with directory.fitting(config.to_yaml()) as work, metrics_writer(work.path / METRICS) as metrics:
            listen(Phase("fit", f"EM on all {survey.n_rows:,} rows"))
            state = State(survey, tuple(Trial(mixture) for mixture in mixtures))
            expect = Expectation(rows, survey, config.fit.compute_dtype)
            tell = iteration_teller(survey.n_rows, to_all(listen, metrics))
            em = config.fit.em(config.model)
            best = iterate(state, expect, em, tell, suggest_from(sample, survey, em)).best
            model = Model(best.mixture, source.feature_names, FitSummary.of(best))
            model = with_anomaly(model, rows, config.output, listen)
            save_model(model, work.path / MODEL)
            write_results(results_of(rows, source, model, config), model, work, listen)
    return model


def select(config: Config, listen: Listener = ignore, *, overwrite: bool = False) -> tuple[Model, Selection]:
    """Run the sweep that the configuration describes; return the best model, which the run directory then holds."""
    directory = RunDirectory(place(config.output.directory, config.output.storage_options))
    directory.check_writable(overwrite)
    source = open_source(config.data)
    wanted = Search(config.select, config.model, config.fit, config.fit.random_state)
    with opened(config.of(config.select.largest), source, listen) as rows:
        survey, sample = survey_and_sample(rows, wanted.n_sample(rows.n_features), wanted.seed)
        check_fittable(survey, config.of(config.select.smallest).model, source.feature_names, listen)
        tell_of_mask(config.data.mask, rows.n_rows - survey.n_rows, listen)
        with directory.fitting(config.to_yaml()) as work, metrics_writer(work.path / METRICS) as metrics:
            found = search(rows, survey, sample, wanted, to_all(listen, metrics))
            write_selection(found.selection, work.path / SELECTION)
            config = config.of(found.best)
            (work.path / CONFIG).write_text(config.to_yaml())
            model = Model(found.trial.mixture, source.feature_names, FitSummary.of(found.trial))
            model = with_anomaly(model, rows, config.output, listen)
            save_model(model, work.path / MODEL)
            write_results(results_of(rows, source, model, config), model, work, listen)
    return model, found.selection


def predict(
    config: Config, model: Model, listen: Listener = ignore, *, overwrite: bool = False, resume: bool = False
) -> None:
    """Score the data of the configuration with a fitted model; write what `output` names to its directory."""
    directory = RunDirectory(place(config.output.directory, config.output.storage_options))
    check_predictable(directory, config.output)
    directory.check_writable(overwrite, resume)
    source = open_source(config.data, weighted=False)
    check_same_features(source.feature_names, model.feature_names)
    with opened(config, source, listen) as rows:
        model = with_anomaly(model, rows, config.output, listen)
        results = results_of(rows, source, model, config)
        with directory.predicting(config.to_yaml(), results.plan, resume) as work:
            write_results(results, model, work, listen)


def with_anomaly(model: Model, rows: Rows, output: OutputOptions, listen: Listener) -> Model:
    """Return the model with the threshold of the wanted quantile: that of its fit, else of these rows, by a pass."""
    quantile = output.anomaly_quantile
    if quantile is None or (model.anomaly is not None and model.anomaly.quantile == quantile):
        return model
    listen(Phase("density", f"the {quantile:g} quantile of the log-density of {rows.n_rows:,} rows"))
    threshold = log_density_counts(rows, model.mixture).quantile(quantile)
    listen(Notice(f"rows of a log-density below {threshold:.6g} are flagged as anomalies"))
    return replace(model, anomaly=Anomaly(quantile, threshold))


def write_results(results: Results, model: Model, work: Unfinished, listen: Listener) -> None:
    """Write the wanted results of all rows, and for an image its segmentation beside the original."""
    rows, source, kinds = results.rows, results.source, results.kinds
    if not kinds.specs:
        return
    listen(Phase("predict", f"labels and densities of {rows.n_rows:,} rows"))
    if work.going_on:
        listen(Notice(f"{len(work.done):,} chunks of results were finished before"))
    counts = predict_to(rows, model.mixture, kinds.wanted, results.writer(work), results.strip, work.is_done)
    for component in np.flatnonzero(counts == 0) if not work.going_on else ():
        listen(Notice(f"no row is labelled {component}: the component overlaps others or is empty"))
    if source.is_image and kinds.labels:
        pixels, labels = source.array[(slice(None),) * 3], read_result(work.path, "labels")
        write_segmentation(work.path / PICTURE, pixels, labels, model.mixture.means)
