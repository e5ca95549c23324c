"""Mixtures of principal components behind the estimator: rows are those of the original columns everywhere."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from daskgmm import GaussianMixture, GaussianMixtureSelector
from daskgmm.errors import ConfigurationError, DataError

D, K = 12, 3
REDUCE = {"features": 4}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(K, 4))[rng.integers(K, size=1200)] * 5 + rng.normal(size=(1200, 4))
    return (points @ rng.normal(size=(4, D)) + 0.2 * rng.normal(size=(1200, D))) * np.logspace(-3, 3, D) + 50


@pytest.fixture(scope="module")
def model(rows):
    return GaussianMixture(K, reduce=REDUCE, random_state=0).fit(rows)


def test_the_fit_is_that_of_scikit_learns_components(rows, model):
    projected = make_pipeline(StandardScaler(), PCA(4)).fit_transform(rows)
    other = GaussianMixture(K, resolution=0, random_state=0).fit(projected)
    assert model.lower_bound_ == pytest.approx(other.lower_bound_, abs=1e-6)
    assert model.means_.shape == (K, 4)
    assert model.n_features_in_ == D


def test_densities_are_those_of_the_projection(rows, model):
    projected = (rows - model.projection_.centre) / model.projection_.scale @ model.projection_.axes
    parameters = zip(model.weights_, model.means_, model.covariances_, strict=True)
    expected = np.log(sum(w * multivariate_normal(m, c).pdf(projected) for w, m, c in parameters))
    np.testing.assert_allclose(model.score_samples(rows), expected, rtol=1e-9)
    assert model.score(rows) == pytest.approx(model.lower_bound_, rel=1e-12)
    lazy = model.score_samples(da.from_array(rows, chunks=(300, 5)))
    np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-9)


def test_means_and_variances_of_the_columns_obey_the_law_of_total_variance(rows, model):
    columns = model.projection_.marginals(model._mixture())
    np.testing.assert_allclose(columns.weights @ columns.means, rows.mean(axis=0), rtol=1e-6)
    total = columns.weights @ (columns.covariances + (columns.means - rows.mean(axis=0)) ** 2)
    np.testing.assert_allclose(total, rows.var(axis=0), rtol=1e-3)
    table = model.summary()
    assert "reduced to" in repr(table)
    assert len([name for name in table.columns if name.startswith("mean ")]) == D


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_schedulers_give_the_same_bits(rows, scheduler):
    X = da.from_array(rows, chunks=(300, -1))
    fits = []
    for one in ("synchronous", scheduler):
        with dask.config.set(scheduler=one):
            fits.append(GaussianMixture(K, reduce=REDUCE, random_state=0, persist=one == scheduler).fit(X))
    np.testing.assert_array_equal(fits[0].means_, fits[1].means_)
    np.testing.assert_array_equal(fits[0].projection_.axes, fits[1].projection_.axes)


def test_a_saved_model_and_scikit_learns_pipeline_score_alike(rows, model, tmp_path):
    model.save(tmp_path / "model.zarr")
    loaded = GaussianMixture.load(tmp_path / "model.zarr")
    np.testing.assert_array_equal(loaded.score_samples(rows[:50]), model.score_samples(rows[:50]))
    pipeline = model.to_sklearn()
    np.testing.assert_allclose(pipeline.score_samples(rows), model.score_samples(rows), rtol=1e-9)
    np.testing.assert_array_equal(pipeline.predict(rows), model.predict(rows))


def test_labelled_rows_keep_the_numbers_of_their_components(rows, model):
    groups = (model.predict(rows) + 1) % K
    labelled = GaussianMixture(K, reduce=REDUCE, random_state=0).fit(rows, np.where(np.arange(1200) < 60, groups, -1))
    np.testing.assert_array_equal(labelled.predict(rows), groups)


def test_sampled_rows_have_the_original_columns(rows, model):
    drawn, _ = model.sample(2000)
    assert drawn.shape == (2000, D)
    assert (np.abs(drawn.mean(axis=0) - rows.mean(axis=0)) < 0.1 * rows.std(axis=0)).all()


def test_updates_keep_the_projection(rows):
    model = GaussianMixture(K, reduce=REDUCE, random_state=0).fit(rows[:1000])
    axes = model.projection_.axes
    model.update(rows[1000:])
    model.partial_fit(rows[1000:])
    assert model.projection_.axes is axes
    assert not model.drift_.refit_advised


def test_warm_starts_keep_the_projection_and_refuse_another(rows):
    model = GaussianMixture(K, reduce=REDUCE, random_state=0, warm_start=True).fit(rows[:1000])
    axes = model.projection_.axes
    assert model.fit(rows).projection_.axes is axes
    with pytest.raises(ConfigurationError, match="whose reduce is Reduce"):
        model.set_params(reduce={"variance": 0.9}).fit(rows)


def test_candidates_of_a_sweep_share_the_projection(rows):
    found = GaussianMixtureSelector((2, 3), covariance_type="full", reduce=REDUCE, random_state=0).fit(rows)
    assert found.best_params_["n_components"] == 3
    assert found.predict(rows).shape == (1200,)
    assert found.best_estimator_.projection_.n_features == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "marginal"}, "missing values cannot be projected"),
        ({"resolution": 0.1}, "resolution 0.1 is of columns"),
        ({"noise": 2.0}, "noise 2.0 is a volume"),
        ({"prior": "default"}, "prior is of columns"),
        ({"means_init": np.zeros((K, D))}, "means_init is of columns"),
        ({"reduce": {"features": D}}, "asks for 12 principal components of 12 columns"),
        ({"reduce": {"n": 3}}, "must be {'features': 50}"),
        ({"reduce": {"features": 2.5}}, "reduce features is 2.5"),
        ({"reduce": {"variance": 1.0}}, "between 0 and 1"),
        ({"covariance_type": "low_rank", "n_factors": 4}, "4 factors for 4 features"),
    ],
)
def test_options_of_the_columns_are_refused(rows, options, message):
    with pytest.raises(ConfigurationError, match=message):
        GaussianMixture(K, **{"reduce": REDUCE, **options}).fit(rows)


def test_nothing_is_said_of_some_features_given_others(rows, model):
    for ask in (lambda: model.impute(rows), lambda: model.marginal([0]), lambda: model.condition([0], [1.0])):
        with pytest.raises(ConfigurationError, match="one of principal components"):
            ask()
    with pytest.raises(DataError, match="row 3, column 2 is nan"):
        model.predict(np.where(np.arange(1200 * D).reshape(-1, D) == 3 * D + 2, np.nan, rows))
