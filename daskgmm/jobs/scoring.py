"""The end of a job: the threshold of anomalies, and the results of all rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..chunked.merging import merge_components
from ..chunked.prediction import log_density_counts, predict_to
from ..chunked.rows import Rows
from ..config import Config
from ..core.em.fitted_model import Anomaly, Model
from ..core.options.fitted import FittedOptions
from ..core.scoring.merging import Clusters, check_n_clusters
from ..events import Labelled, Listener, Notice, Phase
from ..filesystem.location import guard_write
from ..observers.recorder import Recorder
from ..report.new_rows import new_row_lines
from ..report.segmentation import write_segmentation
from ..sources import Source
from ..storage.formats.clusters import write_clusters
from ..storage.formats.model import save_model
from ..storage.formats.results_zarr import read_result
from ..storage.run.directory import CLUSTERS, FIT_FILES, MODEL, PICTURE, RECORD, OutputOptions
from ..storage.run.finished_parts import mark_fitted
from ..storage.run.staging import Unfinished
from ..storage.schema import RESULTS
from ..text import pluralize
from .outputs import Results, results_of
from .seen_rows import known_rows


def write_scores(
    fitted: Model, rows: Rows, source: Source, config: Config, work: Unfinished, listen: Recorder
) -> Model:
    """Write the results of the rows by a model that was fitted to them and saved, and end the record of the job.

    Returns the model, with the threshold of anomalies where one is wanted; results that are there already stay.
    """
    with guard_write(work.path):
        mark_fitted(work.path, FIT_FILES)
    rows = known_rows(rows, work)
    model = with_anomaly(fitted, rows, config.output, listen)
    if model is not fitted:
        save_model(model, work.path / MODEL)
    clusters = _clusters_of_fit(model, rows, config.output, work, listen)
    results = results_of(rows, source, model, config, clusters)
    write_results(results, model, work, listen)
    listen.complete(work.path / RECORD)
    return model


def options_of(config: Config) -> dict[str, Any]:
    """Return the options of a fit as they are stored with its model."""
    return FittedOptions(config.model, config.fit, config.data.missing, config.fit.random_state).plain()


def with_anomaly(model: Model, rows: Rows, output: OutputOptions, listen: Listener) -> Model:
    """Return the model with the threshold of the wanted quantile: that of its fit, else of these rows, by a pass."""
    quantile = output.anomaly_quantile
    if quantile is None or (model.anomaly is not None and model.anomaly.quantile == quantile):
        return model
    listen(Phase("density", f"the {quantile:g} quantile of the log-density of {rows.n_rows:,} rows"))
    threshold = log_density_counts(rows, model.mixture).quantile(quantile)
    listen(Notice(f"rows of a log-density below {threshold:.6g} are flagged as anomalies"))
    return replace(model, anomaly=Anomaly(quantile, threshold))


def _clusters_of_fit(
    model: Model, rows: Rows, output: OutputOptions, work: Unfinished, listen: Listener
) -> Clusters | None:
    """Return the clusters of the components of a fit, which are saved; None where none are wanted."""
    clusters = with_clusters(model, None, rows, output, listen)
    if clusters is not None:
        write_clusters(clusters, model, work.path / CLUSTERS)
    return clusters


def check_clusters(output: OutputOptions, n_components: int) -> None:
    """Raise ConfigurationError if more clusters are wanted than there are components."""
    if isinstance(output.clusters, int):
        check_n_clusters(output.clusters, n_components)


def with_clusters(
    model: Model, before: Clusters | None, rows: Rows, output: OutputOptions, listen: Listener
) -> Clusters | None:
    """Return the wanted clusters of components: by the tree of the fit, else by one of these rows, which are read then.

    Raises ConfigurationError where more clusters are wanted than there are components.
    """
    if output.clusters is None:
        return None
    k = model.mixture.n_components
    check_clusters(output, k)
    if before is None:
        listen(Phase("merge", f"clusters of {k} components by {rows.n_rows:,} rows"))
    tree = merge_components(rows, model.mixture) if before is None else before.tree
    n_clusters = tree.elbow if output.clusters == "auto" else output.clusters
    listen(Notice(f"{pluralize(k, 'component')} in {pluralize(n_clusters, 'cluster')}"))
    return Clusters(tree, n_clusters)


def write_results(
    results: Results, model: Model, work: Unfinished, listen: Listener, *, of_new_rows: bool = False
) -> None:
    """Write the wanted results of all rows, and for an image its segmentation next to the original.

    Of new rows it is reported how they compare with those of the fit.
    """
    rows, source, kinds = results.rows, results.source, results.kinds
    if not kinds.specs:
        return
    listen(Phase("predict", f"labels and densities of {rows.n_rows:,} rows"))
    work = work.for_results(results.plan, RESULTS, listen)
    scored = predict_to(
        rows, model.mixture, kinds.prediction_outputs, results.writer(work), results.strip, work.is_done
    )
    if not work.going_on:  # else rows that were labelled before are not among them
        _report_labels(scored.counts, listen)
        if of_new_rows:
            for line in new_row_lines(scored.counts.tolist(), scored.n_rows, scored.density, model):
                listen(Notice(line))
    if source.is_image and kinds.labels:
        pixels, labels = source.array[(slice(None),) * 3], read_result(work.path, "labels")
        with guard_write(work.path):
            write_segmentation(work.path / PICTURE, pixels, labels, model.marginals.means)


def _report_labels(counts: NDArray[np.int64], listen: Listener) -> None:
    """Report how many rows each component labels; one that labels none overlaps others or is empty."""
    listen(Labelled(tuple(counts.tolist())))
    for component in np.flatnonzero(counts == 0):
        listen(Notice(f"no row is labelled {component}: the component overlaps others or is empty"))
