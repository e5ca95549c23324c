"""covariance_type low_rank: what an estimator does with it."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.datasets import load_iris

from daskgmm import GaussianMixture, GaussianMixtureSelector
from daskgmm.errors import ConfigurationError


@pytest.fixture(scope="module")
def iris():
    rows = load_iris().data
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


@pytest.fixture(scope="module")
def rows():
    """Two groups of 12 features with two factors each, (1200, 12)."""
    rng = np.random.default_rng(0)
    groups = [
        rng.normal(size=(600, 2)) @ rng.normal(size=(2, 12)) + rng.normal(size=(600, 12)) * 0.5 + 3 * sign
        for sign in (-1, 1)
    ]
    return rng.permutation(np.concatenate(groups))


def test_the_same_bits_on_any_scheduler_and_rows_of_whole_weights_count_as_often(rows):
    lazy, models = da.from_array(rows, chunks=(250, 12)), []
    for scheduler in ("threads", "synchronous"):
        with dask.config.set(scheduler=scheduler):
            model = GaussianMixture(2, covariance_type="low_rank", n_factors=2, n_init=1, random_state=0)
            models.append(model.fit(lazy))
    np.testing.assert_array_equal(models[0].loadings_, models[1].loadings_)
    np.testing.assert_array_equal(models[0].noise_variance_, models[1].noise_variance_)
    counts = np.random.default_rng(1).integers(0, 3, len(rows))
    weighted, repeated = (
        models[0].score(one, sample_weight=weights)
        for one, weights in ((rows, counts), (np.repeat(rows, counts, axis=0), None))
    )
    assert weighted == pytest.approx(repeated, rel=1e-12)


def test_a_saved_estimator_is_loaded_with_its_options(rows, tmp_path):
    options = {"covariance_type": "low_rank", "n_factors": 2, "factor_noise": "common"}
    model = GaussianMixture(2, **options, n_init=1, random_state=0).fit(rows)
    model.save(tmp_path / "model.zarr")
    loaded = GaussianMixture.load(tmp_path / "model.zarr")
    np.testing.assert_array_equal(loaded.loadings_, model.loadings_)
    assert options.items() <= loaded.get_params().items()


def test_dense_covariances_are_made_when_they_are_asked_for(rows):
    model = GaussianMixture(2, covariance_type="low_rank", n_factors=2, n_init=1, random_state=0).fit(rows)
    assert "covariances_" not in vars(model)
    dense = model.loadings_ @ np.swapaxes(model.loadings_, 1, 2) + [np.diag(one) for one in model.noise_variance_]
    np.testing.assert_allclose(model.covariances_, dense, rtol=1e-12)
    np.testing.assert_allclose(model.precisions_ @ dense, np.tile(np.eye(12), (2, 1, 1)), atol=1e-8)
    peer = model.to_sklearn()
    assert peer.covariance_type == "full"
    np.testing.assert_allclose(peer.score_samples(rows), model.score_samples(rows), rtol=1e-9)
    assert model.marginal([3, 1]).loadings_.shape == (2, 2, 2)


def test_a_sweep_finds_the_number_of_factors(rows):
    types = ["diag", "low_rank_1", "low_rank_2", "low_rank_3"]
    selector = GaussianMixtureSelector([2], covariance_type=types, n_init=1, random_state=0).fit(rows)
    expected = {"n_components": 2, "covariance_type": "low_rank", "n_factors": 2, "factor_noise": "own"}
    assert selector.best_params_ == expected
    assert selector.best_estimator_.loadings_.shape == (2, 12, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"covariance_type": "low_rank"}, "low_rank needs n_factors"),
        ({"covariance_type": "low_rank", "n_factors": True}, "n_factors is True, but must be a number"),
        ({"covariance_type": "low_rank", "n_factors": 12}, "12 factors for 12 features"),
        ({"n_factors": 2}, "are for covariance_type low_rank, not full"),
        ({"covariance_type": "low_rank", "n_factors": 2, "loadings_init": np.ones((1, 12, 2))}, "both together"),
    ],
)
def test_what_cannot_act_is_refused(rows, options, message):
    with pytest.raises(ConfigurationError, match=message):
        GaussianMixture(**options).fit(rows)


def test_missing_values_are_refused(rows):
    rows = rows.copy()
    rows[3, 4] = np.nan
    with pytest.raises(ConfigurationError, match="takes no missing values"):
        GaussianMixture(covariance_type="low_rank", n_factors=2, missing="marginal").fit(rows)


def test_a_mixture_that_this_machine_cannot_hold_is_refused_before_any_row_is_read():
    rows = da.zeros((100_000, 16_384), chunks=(50_000, 16_384))
    with pytest.raises(ConfigurationError, match=r"16384 features take .* in a step of EM.* take "):
        GaussianMixture(100_000).fit(rows)
