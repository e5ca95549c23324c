"""The same data, chunks and seed give the same bits: on any scheduler, with any number of workers."""

from contextlib import contextmanager
from dataclasses import replace

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster

from daskgmm.chunked.data_summary import summarise_and_sample
from daskgmm.chunked.prediction import predict_to
from daskgmm.chunked.rows import Rows
from daskgmm.concurrency import COMPUTE_THREADS
from daskgmm.core.arrays.blocks import block_rows
from daskgmm.core.options.fit import FitOptions, ModelOptions
from daskgmm.core.options.reduce import Reduce
from daskgmm.core.options.select import SelectOptions
from daskgmm.core.scoring.prediction import PredictionOutputs
from daskgmm.errors import DataError
from daskgmm.events import ignore
from daskgmm.fitting.reduction import reduce_rows
from daskgmm.fitting.sweep import SelectionSpec, search
from tests import oracles

OPTIONS = FitOptions(sample_size=1000, n_init=2, n_finalists=2, max_iter=3, tol=1e-2)


@pytest.fixture(scope="module")
def processes():
    """A cluster of two processes."""
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", host="127.0.0.1", memory_limit=0
    )
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture(scope="module")
def in_process():
    """A cluster of one worker with two threads in this process."""
    cluster = LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0")
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


def threads(n_workers):
    return lambda request: dask.config.set(scheduler="threads", num_workers=n_workers)


def reading_ahead(request):
    return dask.config.set({"scheduler": "threads", "num_workers": 6, COMPUTE_THREADS: 2})


def synchronous(request):
    return dask.config.set(scheduler="synchronous")


def cluster(name):
    @contextmanager
    def active(request):
        with request.getfixturevalue(name).as_current():
            yield

    return active


SCHEDULERS = {
    "synchronous": synchronous,
    "threads-2": threads(2),
    "threads-4": threads(4),
    "threads-2, reading ahead": reading_ahead,
    "in-process cluster": cluster("in_process"),
    "cluster of processes": cluster("processes"),
}


@pytest.fixture(params=SCHEDULERS)
def scheduler(request):
    """Activates one scheduler after another for the test."""
    return lambda: SCHEDULERS[request.param](request)


def example(n=3000, d=3):
    parameters = oracles.random_parameters("full", 3, d, seed=1, spread=1.5)
    return oracles.draw(parameters, n)[0], np.random.default_rng(2).uniform(0, 2, n)


def dask_array(weighted):
    array, row_weights = example()
    return Rows(da.from_array(array, chunks=(400, 3)), da.from_array(row_weights, chunks=400) if weighted else None)


def memory(weighted):
    array, row_weights = example()
    return Rows.of_memory(array, row_weights if weighted else None, chunk_bytes=10_000)


def grid(weighted):
    array, row_weights = example()
    chunks = (25, 23)
    return Rows(
        da.from_array(array.reshape(50, 60, 3), chunks=(*chunks, 3)),
        da.from_array(row_weights.reshape(50, 60), chunks=chunks) if weighted else None,
    )


def view_of_every_other_column(array):
    return np.repeat(array, 2, axis=1)[:, ::2]


def large(layout):
    """Return one chunk of several blocks; its view is contiguous only once it has travelled to another process."""
    d = 100
    rng = np.random.default_rng(3)
    array = rng.normal(size=(2 * block_rows(d) + 300, d))
    array[::3] += 3
    return Rows.of_memory(layout(array), chunk_bytes=2**30)


CASES = {
    "dask array": (lambda: dask_array(False), ModelOptions(3, "full")),
    "dask array, weighted": (lambda: dask_array(True), ModelOptions(3, "tied")),
    "persisted, weighted": (lambda: dask_array(True).persist(), ModelOptions(3, "full")),
    "low rank, weighted": (lambda: dask_array(True), ModelOptions(3, "low_rank", n_factors=1)),
    "memory, weighted": (lambda: memory(True), ModelOptions(3, "spherical")),
    "grid, weighted": (lambda: grid(True), ModelOptions(3, "full")),
    "Fortran order": (lambda: large(np.asfortranarray), ModelOptions(2, "diag")),
    "a view": (lambda: large(view_of_every_other_column), ModelOptions(2, "diag")),
}


@pytest.fixture(scope="module")
def references(fit):
    """What the synchronous scheduler makes of each case."""
    with dask.config.set(scheduler="synchronous"):
        return {name: fit(make(), model, OPTIONS) for name, (make, model) in CASES.items()}


@pytest.mark.sampled(every=5)  # each case and each scheduler is among them
@pytest.mark.parametrize("case", CASES)
def test_models_are_the_same_bits(scheduler, fit, references, case):
    make, model = CASES[case]
    with scheduler():
        found = fit(make(), model, OPTIONS)
    assert found.history == references[case].history
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(found.mixture, name), getattr(references[case].mixture, name))


def test_low_rank_has_the_same_bits_if_rows_are_kept(fit, references):
    make, model = CASES["low rank, weighted"]
    found, streamed = fit(make().persist(), model, OPTIONS), references["low rank, weighted"]
    assert found.history == streamed.history
    np.testing.assert_array_equal(found.mixture.covariances, streamed.mixture.covariances)


def sweep(rows, criterion):
    select = SelectOptions((1, 2, 3), ("full", "tied", "low_rank_1"), criterion=criterion, folds=2)
    wanted = SelectionSpec(select, ModelOptions(), OPTIONS, 0)
    data_summary, sample = summarise_and_sample(rows, wanted.n_sample(rows.n_features), 0)
    return search(rows, data_summary, sample, wanted, ignore)


@pytest.fixture(scope="module")
def swept():
    """What the synchronous scheduler makes of a sweep by each criterion."""
    with dask.config.set(scheduler="synchronous"):
        return {criterion: sweep(dask_array(True), criterion) for criterion in ("bic", "heldout")}


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("criterion", ["bic", "heldout"])
def test_sweeps_are_the_same_bits(scheduler, swept, criterion):
    with scheduler():
        found = sweep(dask_array(True), criterion)
    assert [replace(row, seconds=0.0) for row in found.selection.rows] == [
        replace(row, seconds=0.0) for row in swept[criterion].selection.rows
    ]
    np.testing.assert_array_equal(found.trial.mixture.means, swept[criterion].trial.mixture.means)


def test_projections_are_the_same_bits(scheduler):
    with dask.config.set(scheduler="synchronous"):
        expected = reduce_rows(dask_array(True), Reduce(features=2), 0, False, ignore)
        expected_rows = expected.rows.array.compute()
    with scheduler():
        found = reduce_rows(dask_array(True), Reduce(features=2), 0, True, ignore)
        rows = found.rows.array.compute()
    np.testing.assert_array_equal(found.projection.axes, expected.projection.axes)
    np.testing.assert_array_equal(rows, expected_rows)


def test_summaries_and_samples_are_the_same_bits(scheduler):
    with dask.config.set(scheduler="synchronous"):
        expected, sample = summarise_and_sample(dask_array(True), 500, 4)
        expected_rows = sample.compute().rows
    with scheduler():
        found, sample = summarise_and_sample(dask_array(True), 500, 4)
        rows = sample.compute().rows
    np.testing.assert_array_equal(rows, expected_rows)
    for name in ("mean", "scatter", "minimum", "maximum"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert (found.n_rows, found.weight_sum) == (expected.n_rows, expected.weight_sum)


class FileWriter:
    """Writes each region to a file of its own; it is pickled, so it knows a path and nothing else."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, region, prediction):
        place = "-".join(f"{one.start}_{one.stop}" for one in region)
        np.savez(
            self.folder / f"{place}.npz",
            labels=prediction.labels,
            probabilities=prediction.probabilities,
            log_density=prediction.log_density,
        )


def written(folder):
    return {path.name: dict(np.load(path)) for path in sorted(folder.iterdir())}


def test_predictions_are_the_same_bits(scheduler, references, tmp_path):
    mixture = references["dask array"].mixture
    wanted = PredictionOutputs(probabilities=True, log_density=True)
    folders = [tmp_path / "expected", tmp_path / "found"]
    for folder in folders:
        folder.mkdir()
    with dask.config.set(scheduler="synchronous"):
        expected = predict_to(grid(False), mixture, wanted, FileWriter(folders[0])).counts
    with scheduler():
        counts = predict_to(grid(False), mixture, wanted, FileWriter(folders[1])).counts
    np.testing.assert_array_equal(counts, expected)
    ours, theirs = written(folders[1]), written(folders[0])
    assert ours.keys() == theirs.keys()
    assert len(ours) == len(grid(False).block_sizes)
    for name, parts in theirs.items():
        for part, values in parts.items():
            np.testing.assert_array_equal(ours[name][part], values)


def test_bad_data_are_named_alike(scheduler):
    array, row_weights = example()
    array[2321, 2] = np.nan
    rows = Rows(da.from_array(array, chunks=(400, 3)), da.from_array(row_weights, chunks=400))
    with scheduler(), pytest.raises(DataError, match="the first in row 2321, column 2"):
        summarise_and_sample(rows, 100, 0)
