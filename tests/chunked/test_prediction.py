"""The prediction pass: each block is scored and handed to a writer."""

from threading import Lock

import dask
import dask.array as da
import numpy as np
import pytest

from daskgmm.chunked.prediction import log_density_counts, predict_lazily, predict_to
from daskgmm.chunked.rows import Rows
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.scoring.prediction import PredictionOutputs
from daskgmm.errors import DataError
from tests import oracles

ALL = PredictionOutputs(probabilities=True, log_density=True)


class Writer:
    """Puts each region's results in its place, and counts how often each cell is written."""

    def __init__(self, grid, k):
        self.k, self.lock = k, Lock()
        self.labels, self.times = np.full(grid, -1), np.zeros(grid, int)
        self.probabilities, self.log_density = np.full((*grid, k), np.nan), np.full(grid, np.nan)

    def __call__(self, region, prediction):
        with self.lock:
            shape = self.labels[region].shape
            self.times[region] += 1
            self.labels[region] = prediction.labels.reshape(shape)
            if prediction.probabilities is not None:
                self.probabilities[region] = prediction.probabilities.reshape(*shape, self.k)
            if prediction.log_density is not None:
                self.log_density[region] = prediction.log_density.reshape(shape)


def example(covariance_type, grid, d=2, k=3):
    parameters = oracles.random_parameters(covariance_type, k, d, seed=1, spread=1.5)
    rows, _ = oracles.draw(parameters, int(np.prod(grid)))
    return rows, Mixture(*parameters)


@pytest.mark.parametrize(
    ("grid", "chunks"),
    [((60,), (17,)), ((60,), (1,)), ((6, 10), (4, 3)), ((6, 10), (6, 1)), ((3, 4, 5), (2, 3, 2)), ((1, 60), (1, 60))],
)
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_results_of_grids_equal_the_oracles_cell_by_cell(covariance_type, grid, chunks):
    flat, mixture = example(covariance_type, grid)
    resp, log_prob = oracles.e_step(flat, mixture)
    write = Writer(grid, 3)
    counts = predict_to(Rows(da.from_array(flat.reshape(*grid, 2), chunks=(*chunks, 2))), mixture, ALL, write).counts
    assert (write.times == 1).all()
    np.testing.assert_array_equal(write.labels.ravel(), resp.argmax(axis=1))
    np.testing.assert_allclose(write.probabilities.reshape(-1, 3), resp.astype(float), rtol=1e-10, atol=1e-30)
    np.testing.assert_allclose(write.log_density.ravel(), log_prob.astype(float), rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(counts, np.bincount(resp.argmax(axis=1), minlength=3))


def test_only_labels_are_handed_on_where_nothing_else_is_wanted():
    flat, mixture = example("full", (20,))
    seen = []
    predict_to(Rows.of_memory(flat), mixture, PredictionOutputs(), lambda region, prediction: seen.append(prediction))
    assert all(one.probabilities is None and one.log_density is None for one in seen)
    assert sum(len(one.labels) for one in seen) == 20


def test_a_component_without_rows_is_counted_as_zero():
    flat, mixture = example("diag", (20,))
    away = np.array([[0, 0], [0, 0], [1e6, 0]])
    far = Mixture("diag", mixture.weights, mixture.means + away, mixture.covariances)
    counts = predict_to(Rows.of_memory(flat), far, PredictionOutputs(), lambda region, prediction: None).counts
    assert counts.shape == (3,)
    assert counts[2] == 0
    assert counts.sum() == 20


def test_chunks_without_rows_do_no_harm():
    flat, mixture = example("full", (20,))
    write = Writer((20,), 3)
    rows = Rows(da.from_array(flat, chunks=((0, 8, 0, 12, 0), 2)))
    counts = predict_to(rows, mixture, ALL, write).counts
    assert counts.sum() == 20
    np.testing.assert_array_equal(write.labels, oracles.e_step(flat, mixture)[0].argmax(axis=1))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("chunk", [60, 17, 1])
def test_a_value_that_is_not_finite_is_named_by_row_and_column(bad, chunk):
    flat, mixture = example("full", (60,))
    flat[41, 1] = bad
    rows = Rows(da.from_array(flat, chunks=(chunk, 2)))
    with pytest.raises(DataError, match=f"row 41, column 1 is {bad}"):
        predict_to(rows, mixture, PredictionOutputs(), lambda region, prediction: None)


def test_a_value_that_is_not_finite_is_named_by_its_place_in_a_grid():
    """As the data summary names it; a number that counts block by block would be found by nobody."""
    flat, mixture = example("full", (6, 10))
    grid = flat.reshape(6, 10, 2)
    grid[4, 7, 1] = np.nan
    rows = Rows(da.from_array(grid, chunks=(4, 3, 2)))
    with pytest.raises(DataError, match=r"row \(4, 7\), column 1 is nan"):
        predict_to(rows, mixture, PredictionOutputs(), lambda region, prediction: None)


def test_an_error_of_the_writer_is_not_lost():
    flat, mixture = example("full", (20,))

    def full_disk(region, prediction):
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        predict_to(Rows.of_memory(flat), mixture, PredictionOutputs(), full_disk)


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_results_are_the_same_bits_on_any_scheduler(scheduler):
    flat, mixture = example("full", (300,))
    rows = Rows(da.from_array(flat, chunks=(37, 2)))
    expected, write = Writer((300,), 3), Writer((300,), 3)
    predict_to(rows, mixture, ALL, expected)
    with dask.config.set(scheduler=scheduler, num_workers=4):
        predict_to(rows, mixture, ALL, write)
    np.testing.assert_array_equal(write.probabilities, expected.probabilities)
    np.testing.assert_array_equal(write.log_density, expected.log_density)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_rows_that_do_not_fit_the_mixture_are_an_error(d):
    _, mixture = example("full", (20,), d=3)
    wrong = np.zeros((20, d))
    with pytest.raises(DataError, match=f"{d} features, but the model was fitted on 3"):
        predict_to(Rows.of_memory(wrong), mixture, PredictionOutputs(), lambda region, prediction: None)
    with pytest.raises(DataError, match=f"{d} features, but the model was fitted on 3"):
        predict_lazily(da.from_array(wrong), mixture, "labels")


def test_strips_of_blocks_are_written_in_their_places():
    flat, mixture = example("full", (6, 10))
    resp, _ = oracles.e_step(flat, mixture)
    write = Writer((6, 10), 3)
    regions = []

    def noting(region, prediction):
        regions.append(region)
        write(region, prediction)

    rows = Rows(da.from_array(flat.reshape(6, 10, 2), chunks=(4, 10, 2)))
    counts = predict_to(rows, mixture, ALL, noting, strip=2).counts
    assert sorted((one.start, one.stop) for one, _ in regions) == [(0, 2), (2, 4), (4, 6)]
    np.testing.assert_array_equal(write.labels.ravel(), resp.argmax(axis=1))
    assert counts.sum() == 60


def test_blocks_that_are_done_are_not_even_read():
    flat, mixture = example("full", (20,))
    read = []

    def reading(block, block_info=None):
        read.append(block_info[0]["array-location"][0])
        return block

    array = da.from_array(flat, chunks=(5, 2)).map_blocks(reading, meta=np.empty((0, 2)))
    write = Writer((20,), 3)
    counts = predict_to(
        Rows(array), mixture, PredictionOutputs(), write, done=lambda region: region[0].start in {0, 10}
    ).counts
    assert sorted(read) == [(5, 10), (15, 20)]
    np.testing.assert_array_equal(write.times, np.repeat([0, 1, 0, 1], 5))
    assert counts.sum() == 10
    nothing = predict_to(Rows(array), mixture, PredictionOutputs(), write, done=lambda region: True)
    np.testing.assert_array_equal(nothing.counts, [0, 0, 0])


def test_a_block_of_which_a_strip_is_missing_is_written_again():
    flat, mixture = example("full", (20,))
    write = Writer((20,), 3)
    rows = Rows(da.from_array(flat, chunks=(10, 2)))
    predict_to(rows, mixture, PredictionOutputs(), write, strip=5, done=lambda region: region[0].start != 15)
    np.testing.assert_array_equal(write.times, np.repeat([0, 1], 10))


def test_rows_of_weight_0_are_absent_from_results_and_counts():
    flat, mixture = example("full", (20,))
    flat[4] = np.nan
    row_weights = np.ones(20)
    row_weights[4] = 0
    write = Writer((20,), 3)
    rows = Rows(da.from_array(flat, chunks=(7, 2)), da.from_array(row_weights, chunks=7))
    counts = predict_to(rows, mixture, ALL, write).counts
    assert write.labels[4] == -2
    assert np.isnan(write.log_density[4])
    assert counts.sum() == 19


def test_the_density_counts_are_those_of_all_rows():
    flat, mixture = example("full", (300,))
    _, log_prob = oracles.e_step(flat, mixture)
    counts = log_density_counts(Rows(da.from_array(flat, chunks=(37, 2))), mixture)
    assert counts.weights.sum() == 300
    assert (log_prob.astype(float) < counts.quantile(0.1)).sum() == 30


def test_the_mean_log_density_of_the_scored_rows_is_told_if_it_is_wanted():
    flat, mixture = example("full", (120,))
    rows = Rows(da.from_array(flat, chunks=(50, 2)))
    scored = predict_to(rows, mixture, ALL, Writer((120,), 3))
    _, log_prob = oracles.e_step(flat, mixture)
    expected = log_prob.astype(float)
    assert (scored.n_rows, scored.density.n_rows) == (120, 120)
    np.testing.assert_allclose(scored.density.mean, expected.mean())
    np.testing.assert_allclose(scored.density.standard_error, expected.std() / np.sqrt(120))
    assert predict_to(rows, mixture, PredictionOutputs(), Writer((120,), 3)).density.n_rows == 0
