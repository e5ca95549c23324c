"""The whole flow over chunked rows: data summary, sample, race, iterate."""

import dask.array as da
import numpy as np
import pytest

from daskgmm.chunked.prediction import predict_to
from daskgmm.chunked.rows import Rows
from daskgmm.core.em.loop import StopReason
from daskgmm.core.options.fit import FitOptions, ModelOptions
from daskgmm.core.scoring.prediction import PredictionOutputs
from tests import oracles

INITS = ("kmeans", "k-means++", "random", "random_from_data")


def labels_of(rows, mixture):
    found = np.empty(rows.grid, int)

    def write(region, prediction):
        found[region] = prediction.labels.reshape(found[region].shape)

    predict_to(rows, mixture, PredictionOutputs(), write)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_faithful_reaches_the_best_published_fit(faithful, fit, seed):
    """Mclust EEE, k = 3: BIC -2314.316 in its sign, log-likelihood -1126.326."""
    trial = fit(Rows.of_memory(faithful), ModelOptions(3, "tied"), FitOptions(random_state=seed))
    assert trial.stop is StopReason.CONVERGED
    assert round(trial.statistics.log_likelihood, 3) >= -1126.326
    assert round(-trial.criteria.bic, 3) >= -2314.316
    assert trial.statistics.log_likelihood < -1126  # and is a log-likelihood of these rows


@pytest.mark.parametrize("seed", range(4))
def test_galaxies_reaches_the_best_published_fit(galaxies, fit, seed):
    """Mclust V, k = 3: BIC -441.612 in its sign."""
    trial = fit(Rows.of_memory(galaxies), ModelOptions(3, "full"), FitOptions(random_state=seed))
    assert trial.stop is StopReason.CONVERGED
    assert round(-trial.criteria.bic, 3) >= -441.612
    assert -trial.criteria.bic < -441


@pytest.mark.parametrize("init_params", INITS)
def test_tied_on_faithful_does_not_stop_at_the_one_gaussian_fit(faithful, fit, init_params):
    """scikit-learn stops there, at -1289.797, with k-means++ and random_from_data."""
    rows = Rows.of_memory(faithful)
    one = fit(rows, ModelOptions(1, "tied")).statistics.log_likelihood
    assert one == pytest.approx(-1289.797, abs=1e-3)
    for seed in range(2):
        trial = fit(rows, ModelOptions(3, "tied"), FitOptions(init_params=init_params, random_state=seed))
        assert trial.statistics.log_likelihood > -1130


@pytest.mark.parametrize("n_finalists", [1, 3])
def test_any_chunking_leads_to_the_same_fit(faithful, fit, n_finalists):
    options = FitOptions(n_finalists=n_finalists)
    fits = [
        fit(Rows(da.from_array(faithful, chunks=(chunk, 2))), ModelOptions(2, "full"), options)
        for chunk in (272, 100, 7, 1)
    ]
    for other in fits[1:]:
        assert other.history[-1] == pytest.approx(fits[0].history[-1], rel=1e-10)
        oracles.assert_agree(other.mixture, fits[0].mixture, 1e-8)


UNITS = [np.array([1e-6, 1e6]), np.array([1e6, 1e-6]), np.array([60.0, 1 / 60])]


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_the_unit_of_a_column_changes_neither_labels_nor_means(faithful, fit, covariance_type, units):
    here, there = (Rows.of_memory(one) for one in (faithful, faithful * units))
    model = ModelOptions(2, covariance_type)
    plain, scaled = fit(here, model).mixture, fit(there, model).mixture
    np.testing.assert_array_equal(labels_of(there, scaled), labels_of(here, plain))
    np.testing.assert_allclose(scaled.means / units, plain.means, rtol=1e-6)
    np.testing.assert_allclose(scaled.weights, plain.weights, rtol=1e-6)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_integer_weights_fit_as_repeated_rows_do(faithful, fit, covariance_type):
    """From the same start; the sample orders them differently, so the limits agree, not the paths."""
    times = np.random.default_rng(0).integers(0, 4, len(faithful))
    model, options = ModelOptions(2, covariance_type), FitOptions(tol=1e-12, max_iter=1000)
    weighted = fit(Rows.of_memory(faithful, times.astype(float)), model, options)
    repeated = fit(Rows.of_memory(np.repeat(faithful, times, axis=0)), model, options)
    order = [np.argsort(trial.mixture.means[:, 0]) for trial in (weighted, repeated)]
    assert weighted.statistics.weight_sum == repeated.statistics.weight_sum == times.sum()
    assert weighted.history[-1] == pytest.approx(repeated.history[-1], rel=1e-8)
    np.testing.assert_allclose(weighted.mixture.means[order[0]], repeated.mixture.means[order[1]], rtol=1e-4)


def test_an_image_of_small_integers_is_a_grid_of_rows(fit):
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 50), int)
    truth[:, 20:] = 1
    image = np.clip(rng.normal(np.where(truth, 180, 60)[..., None], 12, (40, 50, 3)), 0, 255).astype(np.uint8)
    rows = Rows.of_memory(image, chunk_bytes=1024)
    mixture = fit(rows, ModelOptions(2, "full")).mixture
    found = labels_of(rows, mixture)
    assert found.shape == (40, 50)
    assert {tuple(np.unique(found[truth == side])) for side in (0, 1)} == {(0,), (1,)}


def test_masked_cells_of_a_grid_are_left_out_of_the_fit(fit):
    rng = np.random.default_rng(1)
    grid = rng.normal(size=(30, 40, 2)) + np.where(np.arange(40) < 15, 0, 9)[:, None]
    mask = rng.uniform(size=(30, 40)) < 0.4
    holes = grid.copy()
    holes[mask] = np.nan
    model, options = ModelOptions(2, "full"), FitOptions(tol=1e-10)
    masked = fit(Rows.of_memory(holes, (~mask).astype(float)), model, options).mixture
    plain = fit(Rows.of_memory(grid[~mask]), model, options).mixture
    order = [np.argsort(one.means[:, 0]) for one in (masked, plain)]
    np.testing.assert_allclose(masked.means[order[0]], plain.means[order[1]], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(masked.covariances[order[0]], plain.covariances[order[1]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_more_components_than_distinct_rows_are_fitted(fit, covariance_type):
    array = np.repeat(np.array([[0.0, 1], [2, 3], [5, 1]]), 10, axis=0)
    trial = fit(Rows.of_memory(array), ModelOptions(5, covariance_type))
    assert np.isfinite(trial.history).all()
    assert trial.mixture.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(trial.mixture.weights @ trial.mixture.means, array.mean(axis=0), rtol=1e-6)
