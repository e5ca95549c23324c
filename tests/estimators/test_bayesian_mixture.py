"""BayesianGaussianMixture: its bound on every kind of input."""

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from sklearn.mixture import BayesianGaussianMixture as Sklearn

from daskgmm import BayesianGaussianMixture


def two_groups(n=300):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) * 0.5 + 5])


@pytest.mark.parametrize("weights", ["dirichlet_process", "dirichlet_distribution"])
def test_components_without_use_are_left_empty_and_the_bound_is_no_worse_than_scikit_learns(weights):
    rows = two_groups(100)
    parameters = {"n_components": 6, "weight_concentration_prior_type": weights, "random_state": 0}
    model = BayesianGaussianMixture(**parameters, tol=1e-7).fit(rows)
    assert (model.weights_ > 0.01).sum() == 2
    other = BayesianGaussianMixture.from_sklearn(Sklearn(**parameters, tol=1e-8, max_iter=2000).fit(rows))
    again = BayesianGaussianMixture(**parameters, tol=1e-7, warm_start=True)
    vars(again).update({name: value for name, value in vars(other).items() if name.endswith("_") or name[0] == "_"})
    assert model.evidence_lower_bound_ > again.fit(rows).evidence_lower_bound_ - 1e-3
    assert model.evidence_lower_bound_ == pytest.approx(model.lower_bound_ * len(rows))


@pytest.mark.slow
def test_every_kind_of_input_gives_the_same(tmp_path):
    rows = two_groups()
    stored = zarr.create_array(str(tmp_path / "rows.zarr"), shape=rows.shape, chunks=(100, 2), dtype="f8")
    stored[:] = rows
    inputs = [rows, da.from_array(rows, chunks=(100, 2)), xr.DataArray(rows, dims=("row", "band")), stored]
    models = [BayesianGaussianMixture(n_components=4, random_state=0).fit(one) for one in inputs]
    for model in models[1:]:
        np.testing.assert_allclose(model.means_, models[0].means_, rtol=1e-9)
        assert model.evidence_lower_bound_ == pytest.approx(models[0].evidence_lower_bound_, rel=1e-12)


def test_row_weights_count_as_repeated_rows():
    rows = two_groups(60)
    weights = np.random.default_rng(1).integers(1, 4, len(rows))
    parameters = {"n_components": 1, "covariance_type": "diag", "random_state": 0, "tol": 1e-9}
    one = BayesianGaussianMixture(**parameters).fit(rows, sample_weight=weights)
    two = BayesianGaussianMixture(**parameters).fit(np.repeat(rows, weights, axis=0))
    assert one.evidence_lower_bound_ == pytest.approx(two.evidence_lower_bound_, abs=1e-4)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_to_sklearn_has_the_posterior_and_labels_clear_rows_the_same(covariance_type):
    rows = two_groups(50)
    model = BayesianGaussianMixture(n_components=3, covariance_type=covariance_type, random_state=0).fit(rows)
    theirs = model.to_sklearn()
    np.testing.assert_array_equal(theirs.degrees_of_freedom_, model.degrees_of_freedom_)
    np.testing.assert_array_equal(theirs.means_, model.means_)
    clear = model.predict_proba(rows).max(axis=1) > 0.99
    assert clear.sum() > 60
    np.testing.assert_array_equal(theirs.predict(rows[clear]), model.predict(rows[clear]))


def test_missing_values_are_refused():
    rows = two_groups(50)
    rows[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"missing|NaN"):
        BayesianGaussianMixture(n_components=2).fit(rows)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_a_shift_of_all_rows_shifts_the_means(covariance_type):
    rows, parameters = two_groups(50), {"n_components": 3, "covariance_type": covariance_type, "random_state": 0}
    here, there = (BayesianGaussianMixture(**parameters).fit(one) for one in (rows, rows + 100))
    np.testing.assert_allclose(here.means_, there.means_ - 100, atol=1e-5)
    np.testing.assert_allclose(here.covariances_, there.covariances_, rtol=1e-5, atol=1e-6)


def test_rows_that_do_not_fill_all_directions_have_a_prior():
    rows = np.random.default_rng(0).normal(size=(5, 8))
    assert np.isfinite(BayesianGaussianMixture(random_state=0).fit(rows).evidence_lower_bound_)


def test_a_saved_model_is_loaded_with_its_posterior(tmp_path):
    model = BayesianGaussianMixture(n_components=3, random_state=0).fit(two_groups(50))
    model.save(tmp_path / "model.zarr")
    again = BayesianGaussianMixture.load(tmp_path / "model.zarr")
    np.testing.assert_array_equal(again.mean_precision_, model.mean_precision_)
    np.testing.assert_array_equal(again.weights_, model.weights_)
    assert again.evidence_lower_bound_ == model.evidence_lower_bound_
    for name in ("weight_concentration", "mean_precision", "mean", "degrees_of_freedom", "covariance"):
        np.testing.assert_array_equal(getattr(again, f"{name}_prior_"), getattr(model, f"{name}_prior_"), name)
