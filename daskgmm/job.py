"""The jobs: the data flow from a configuration to a run directory.

open source -> survey -> sample + seed -> [ pass -> M-step ] x iterations -> save model -> predict pass
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import dask
import numpy as np

from .checks import check_fittable
from .chunked.expectation import Expectation
from .chunked.memory import ComputeOptions, fits
from .chunked.prediction import predict_to
from .chunked.rows import Rows
from .chunked.seeding import race
from .chunked.streaming import ready
from .chunked.survey import survey_and_sample
from .config import Config
from .core.expectation import Wanted
from .core.loop import State, Trial, iterate
from .core.model import FitSummary, Model
from .core.slots import READ_AHEAD
from .errors import ConfigurationError
from .events import Connected, Listener, Notice, Phase, ignore, to_all
from .report.picture import write_segmentation
from .storage.model import save_model
from .storage.results import ResultLayout, read_result, result_writer
from .storage.run import METRICS, MODEL, PICTURE, OutputOptions, RunDirectory, metrics_writer
from .storage.sources import Source, open_source
from .telling import iteration_teller


def fit(config: Config, listen: Listener = ignore, *, overwrite: bool = False) -> Model:
    """Run the fit that the configuration describes; return the model, which the run directory then holds."""
    directory = RunDirectory(Path(config.output.directory))
    directory.check_writable(overwrite)
    source = open_source(config.data)
    with connected(config, listen), open_rows(source, config.compute, listen) as rows:
        n_sample, seed = config.fit.n_sample(config.model, rows.n_features), config.fit.random_state
        survey, sample = survey_and_sample(rows, n_sample, seed)
        check_fittable(survey, config.model, source.feature_names, listen)
        listen(Phase("seed", f"{config.fit.n_init} restarts on {min(n_sample, rows.n_rows):,} rows"))
        mixtures = race(sample, config.fit.seeding(config.model), seed)
        with directory.begun(config.to_yaml()), metrics_writer(directory.path / METRICS) as metrics:
            listen(Phase("fit", f"EM on all {rows.n_rows:,} rows"))
            state = State(survey, tuple(Trial(mixture) for mixture in mixtures))
            expect = Expectation(rows, survey, config.fit.compute_dtype)
            tell = iteration_teller(rows.n_rows, to_all(listen, metrics))
            best = iterate(state, expect, config.fit.em(config.model), tell).best
            model = Model(best.mixture, source.feature_names, FitSummary.of(best))
            save_model(model, directory.path / MODEL)
            write_results(rows, source, model, config.output, directory, listen)
    return model


def predict(config: Config, model: Model, listen: Listener = ignore, *, overwrite: bool = False) -> None:
    """Score the data of the configuration with a fitted model; write what `output` names to its directory."""
    directory = RunDirectory(Path(config.output.directory))
    if directory.holds_model:
        raise ConfigurationError(
            f"output.directory {config.output.directory!r} holds a fitted model: choose another one"
        )
    if not (config.output.labels or config.output.probabilities or config.output.log_density):
        raise ConfigurationError("nothing is to be written: set output.labels, probabilities or log_density to true")
    directory.check_writable(overwrite)
    source = open_source(replace(config.data, weights=None))  # weights are for fits
    with (
        connected(config, listen),
        open_rows(source, config.compute, listen) as rows,
        directory.begun(config.to_yaml()),
    ):
        write_results(rows, source, model, config.output, directory, listen)


@contextmanager
def connected(config: Config, listen: Listener) -> Iterator[None]:
    """Hold the place where the job computes."""
    with dask.config.set({READ_AHEAD: config.compute.read_ahead}), config.cluster.connect() as connection:
        listen(Connected(connection.description, connection.dashboard))
        yield


@contextmanager
def open_rows(source: Source, compute: ComputeOptions, listen: Listener) -> Iterator[Rows]:
    """Give the source's rows, in the workers' memory where they are to be kept."""
    rows = Rows.of_readable(source.array, source.stored_chunks, source.weights, compute.chunk_bytes)
    keep = fits(rows, compute.persist)
    how = "kept in memory" if keep else "streamed at each pass"
    shape = " x ".join(f"{size:,}" for size in rows.grid)
    what = f"{source.description}: {shape} rows x {rows.n_features} features ({rows.array.dtype})"
    listen(Phase("read", f"{what}, {len(rows.block_sizes)} chunks, {how}"))
    with ready(rows, keep) as ready_rows:
        yield ready_rows


def write_results(
    rows: Rows, source: Source, model: Model, output: OutputOptions, directory: RunDirectory, listen: Listener
) -> None:
    """Write the wanted results of all rows, and for an image its segmentation beside the original."""
    k, wanted = model.mixture.n_components, Wanted(output.probabilities, output.log_density)
    if not (output.labels or output.probabilities or output.log_density):
        return
    listen(Phase("predict", f"labels and densities of {rows.n_rows:,} rows"))
    chunks = tuple(sizes[0] for sizes in rows.array.chunks[:-1])
    layout = ResultLayout(rows.grid, chunks, k, output.labels, output.probabilities, output.log_density)
    with result_writer(
        directory.path, layout, {"source": source.description, "daskgmm_version": version("daskgmm")}
    ) as write:
        counts = predict_to(rows, model.mixture, wanted, write)
    for component in np.flatnonzero(counts == 0):
        listen(Notice(f"no row is labelled {component}: the component overlaps others or is empty"))
    if source.is_image and output.labels:
        everything = (slice(None),) * 3
        labels = read_result(directory.path, "labels")
        write_segmentation(directory.path / PICTURE, source.array[everything], labels, model.mixture.means)
