"""Fits that continue with new rows, against the fit to all rows."""

import dask.array as da
import numpy as np
import pytest

from daskgmm import BayesianGaussianMixture, GaussianMixture
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.report.drift import drift_lines


def draw(n, seed, shift=0.0, share=0.5):
    rng = np.random.default_rng(seed)
    first = rng.random(n) < share
    return np.where(first[:, None], rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) * 0.7 + [4 + shift, 2])


@pytest.fixture(scope="module")
def old():
    return draw(20_000, 0)


def with_prior():
    return GaussianMixture(1, prior="default", random_state=0)


def fitted(rows, **parameters):
    return GaussianMixture(2, random_state=0, tol=1e-8, **parameters).fit(rows)


@pytest.mark.parametrize(
    ("case", "bound"), [({}, 1e-7), ({"shift": 0.2}, 1e-6), ({"share": 0.8}, 1e-6)], ids=["same", "moved", "weights"]
)
def test_an_update_comes_close_to_the_fit_to_all_rows(old, case, bound):
    new = draw(4_000, 1, **case)
    model, every = fitted(old), np.concatenate([old, new])
    updated, refit = model.update(new), fitted(every)
    assert 0 <= refit.score(every) - updated.score(every) + 1e-9 < bound
    assert (np.diff(updated.lower_bounds_) >= 0).all()
    assert case or not updated.drift_.refit_advised


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "VEV", "EEI"])
def test_an_update_with_the_same_rows_changes_little(covariance_type):
    rows = draw(500, 2)
    model = fitted(rows, covariance_type=covariance_type)
    before = model.means_.copy()
    np.testing.assert_allclose(model.update(rows).means_, before, atol=2e-3)
    assert model._kept.data_summary.n_rows == 1000


def test_rows_that_are_forgotten_do_not_count(old):
    new = draw(4_000, 3, shift=3.0)
    forgotten = fitted(old).update(new, forget=0.0)
    assert forgotten.score(new) == pytest.approx(fitted(new).score(new), abs=1e-6)
    assert forgotten.drift_.standard_errors < -5


def test_stepwise_em_is_the_same_for_one_order_of_calls_and_comes_close_to_the_fit(old):
    def run():
        model = GaussianMixture(2, random_state=0)
        for at in range(0, len(old), 2_000):
            model.partial_fit(old[at : at + 2_000])
        return model

    one, two = run(), run()
    np.testing.assert_array_equal(one.means_, two.means_)
    np.testing.assert_array_equal(one.covariances_, two.covariances_)
    assert fitted(old).score(old) - one.score(old) < 5e-4


def test_lazy_rows_and_a_prior_update_as_rows_in_memory(old):
    new, model, other = draw(1_000, 4), fitted(old, prior="default"), fitted(old, prior="default")
    model.update(new)
    other.update(da.from_array(new, chunks=(250, 2)))
    np.testing.assert_allclose(model.means_, other.means_, rtol=1e-8)
    assert (np.diff(model.lower_bounds_) >= 0).all()


def test_what_cannot_go_on_is_refused(old):
    with pytest.raises(ConfigurationError, match="from 0"):
        fitted(old[:100]).update(old[:100], forget=2.0)
    with pytest.raises(DataError, match="nothing is known"):
        GaussianMixture.from_sklearn(fitted(old[:100]).to_sklearn()).update(old[:100])


def test_rows_with_missing_values_update_as_in_one_fit():
    rows = draw(1_200, 5)
    rows[np.random.default_rng(6).random(rows.shape) < 0.2] = np.nan
    model = fitted(rows[:1_000], missing="marginal").update(rows[1_000:])
    refit = fitted(rows, missing="marginal")
    assert 0 <= refit.score(rows) - model.score(rows) + 1e-9 < 1e-3
    assert (np.diff(model.lower_bounds_) >= 0).all()
    step = fitted(rows[:1_000], missing="marginal").partial_fit(rows[1_000:])
    assert refit.score(rows) - step.score(rows) < 0.05


@pytest.mark.parametrize("gaps", [slice(0, 1), slice(None)], ids=["a value", "all values"])
def test_rows_of_weight_0_do_not_count_in_drifts(old, gaps):
    new, weights = draw(200, 7), np.ones(200)
    weights[::4] = 0
    counted = fitted(old[:500]).update(new[weights > 0])
    new[::4, gaps] = np.nan
    other = fitted(old[:500]).update(new, sample_weight=weights)
    assert other.drift_.mean_log_density == pytest.approx(counted.drift_.mean_log_density, rel=1e-9)
    assert other.drift_.standard_errors == pytest.approx(counted.drift_.standard_errors, rel=1e-9)


def test_labels_of_later_batches_are_refused(old):
    labels = np.where(np.arange(100) % 2, 0, -1)
    model = GaussianMixture(2, random_state=0).partial_fit(old[:100], labels)
    with pytest.raises(ConfigurationError, match="first batch alone"):
        model.partial_fit(old[100:200], labels)


def test_low_rank_is_refused_for_what_it_does_not_keep_even_after_a_fit_of_another_type():
    rows = np.random.default_rng(8).normal(size=(300, 4))
    model = fitted(rows).set_params(covariance_type="low_rank", n_factors=1, n_init=1, tol=0.1).fit(rows)
    for go_on in (model.update, model.partial_fit):
        with pytest.raises(ConfigurationError, match="low_rank keeps no sum r x x"):
            go_on(rows)


@pytest.mark.parametrize("changed", [{"noise": True}, {"covariance_type": "diag"}, {"n_components": 3}])
def test_parameters_that_a_fit_has_not_had_are_refused(old, changed):
    model = GaussianMixture(2, random_state=0).fit(old[:100]).set_params(**changed)
    with pytest.raises(ConfigurationError, match="continues from the last fit"):
        model.update(old[100:200])
    with pytest.raises(ConfigurationError, match="continues from the last fit"):
        model.partial_fit(old[100:200])


@pytest.mark.parametrize("missing", ["error", "marginal"])
def test_new_rows_of_whole_numbers_do_not_coarsen_the_old_ones(old, missing):
    model = GaussianMixture(2, missing=missing, random_state=0).fit(old[:500] * 0.01)
    new = np.zeros((5, 2), dtype=int if missing == "error" else float)
    new[1:3] = 1
    if missing == "marginal":
        new[0, 0] = np.nan
    assert np.diagonal(model.update(new).covariances_, axis1=1, axis2=2).min() < 1e-2


@pytest.mark.parametrize(
    "parameters", [{}, {"covariance_type": "tied"}, {"covariance_type": "VEI", "prior": "default"}]
)
def test_a_loaded_model_updates_to_the_same_bits(old, tmp_path, parameters):
    model, new = fitted(old[:400], **parameters), draw(100, 9)
    model.save(tmp_path / "model.zarr")
    loaded = GaussianMixture.load(tmp_path / "model.zarr").update(new)
    np.testing.assert_array_equal(loaded.covariances_, model.update(new).covariances_)
    assert loaded.lower_bounds_ == model.lower_bounds_


@pytest.mark.parametrize(
    "parameters",
    [
        {"prior": "default", "tol": 1e-3, "max_iter": 77, "random_state": 3},
        {
            "prior": {"mean_precision": 0.5, "covariance": ((1.0, 0.0), (0.0, 2.0))},
            "resolution": [0.5, np.float32(0.25)],
        },
        {"missing": "marginal", "reg_covar": 1e-3, "n_init": np.int64(2), "noise": False},
    ],
)
def test_a_loaded_model_has_the_parameters_of_its_fit(old, tmp_path, parameters):
    model = GaussianMixture(2, **parameters).fit(old[:300])
    model.save(tmp_path / "model.zarr")
    loaded, fitted_with = GaussianMixture.load(tmp_path / "model.zarr").get_params(), model.get_params()
    for name in parameters:
        np.testing.assert_array_equal(loaded[name], fitted_with[name])
    again = BayesianGaussianMixture(n_components=2, mean_precision_prior=2.0, mean_prior=[0, 1]).fit(old[:300])
    again.save(tmp_path / "posterior.zarr")
    restored = BayesianGaussianMixture.load(tmp_path / "posterior.zarr")
    assert restored.get_params()["mean_precision_prior"] == 2.0
    assert restored.get_params()["mean_prior"] == (0.0, 1.0)


def test_a_prior_that_is_set_before_an_update_acts(old):
    new, prior = draw(100, 10), {"mean_precision": 20.0, "mean": (2.0, 1.0)}
    held = fitted(old[:400]).set_params(prior=prior).update(new)
    expected = fitted(old[:400]).set_params(prior=prior, warm_start=True).fit(np.concatenate([old[:400], new]))
    np.testing.assert_allclose(held.means_, expected.means_, atol=0.02)
    assert held.means_.min() > fitted(old[:400]).update(new).means_.min() + 0.05


def test_the_bound_of_an_update_is_below_the_log_likelihood_of_all_rows(old):
    new = draw(4_000, 11, shift=0.3)
    model = fitted(old).update(new)
    every = model.score(np.concatenate([old, new]))
    assert every - 1e-3 < model.lower_bound_ <= every


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("covariance_type", ["diag", "full", "tied", "spherical"])
def test_a_posterior_goes_on(old, tmp_path, covariance_type):
    new, every = draw(100, 12), np.concatenate([old[:500], draw(100, 12)])
    options = {"n_components": 3, "covariance_type": covariance_type, "tol": 1e-6, "random_state": 0}
    model = BayesianGaussianMixture(**options).fit(old[:500])
    model.save(tmp_path / "model.zarr")
    loaded, refit = BayesianGaussianMixture.load(tmp_path / "model.zarr"), BayesianGaussianMixture(**options).fit(every)
    before = model.evidence_lower_bound_
    model.update(new)
    assert (np.diff(model.lower_bounds_) >= 0).all()
    assert model.evidence_lower_bound_ < before
    assert refit.evidence_lower_bound_ - 5 < model.evidence_lower_bound_ < refit.evidence_lower_bound_ + 5
    np.testing.assert_array_equal(loaded.update(new).weights_, model.weights_)
    assert model.mean_precision_.sum() == pytest.approx(600 + 3)
    batch = BayesianGaussianMixture(**options).partial_fit(old[:500]).partial_fit(new)
    assert refit.score(every) - batch.score(every) < 0.05
    with pytest.raises(DataError, match="nothing is known"):
        GaussianMixture.load(tmp_path / "model.zarr").update(new)


def test_rows_that_a_posterior_has_seen_have_not_drifted(old):
    model = BayesianGaussianMixture(n_components=2, random_state=0).fit(old[:200])
    mean = model.update(old[:200]).drift_.mean_log_density
    assert mean == pytest.approx(0, abs=1e-9)
    shifted = BayesianGaussianMixture(n_components=2, random_state=0).fit(old[:200]).update(old[:200] + 3)
    assert shifted.drift_.refit_advised


@pytest.mark.parametrize("make", [lambda: BayesianGaussianMixture(random_state=0), with_prior])
def test_bounds_of_stepwise_em_are_those_of_the_fit(old, make, tmp_path):
    model = make().partial_fit(old[:300]).partial_fit(old[300:600])
    assert model.lower_bound_ == model.lower_bounds_[-1]
    model.save(tmp_path / "model.zarr")
    assert type(model).load(tmp_path / "model.zarr").lower_bound_ == model.lower_bound_
    assert model.lower_bound_ != pytest.approx(model.score(old[:600]), abs=1e-3)
    assert model.lower_bound_ == pytest.approx(make().fit(old[:600]).lower_bound_, abs=0.1)


def scattered(n, seed, width=10.0):
    """Return rows of two groups, of which a tenth are scattered over a box of some width."""
    rows, rng = draw(n, seed), np.random.default_rng([seed, 1])
    return np.where(rng.random((n, 1)) < 0.1, rng.uniform(-width, width, (n, 2)), rows)


@pytest.mark.parametrize(("noise", "covariance_type"), [(True, "full"), (True, "tied"), (400.0, "VEV")])
def test_an_update_with_noise_is_below_the_fit_to_all_rows_and_close_to_it(noise, covariance_type):
    old, new = scattered(4_000, 0), scattered(800, 1, width=11.0)  # beyond the box of the old ones
    every = np.concatenate([old, new])
    model = fitted(old, noise=noise, covariance_type=covariance_type).update(new)
    refit = fitted(every, noise=noise, covariance_type=covariance_type)
    assert model.lower_bound_ <= model.score(every) + 1e-12
    assert -1e-9 < refit.score(every) - model.score(every) < 2e-3
    assert model.noise_weight_ == pytest.approx(refit.noise_weight_, abs=0.01)
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1)
    assert (np.diff(model.lower_bounds_) >= 0).all()


def test_new_rows_that_are_all_noise_raise_its_weight_alone():
    old, new = scattered(2_000, 2), np.random.default_rng(0).uniform((-10, 6), (-6, 10), (200, 2))
    model = fitted(old, noise=True)
    means, before = model.means_.copy(), model.noise_weight_
    model.update(new)
    np.testing.assert_allclose(model.means_, means, atol=1e-2)
    assert model.noise_weight_ == pytest.approx(fitted(np.concatenate([old, new]), noise=True).noise_weight_, abs=2e-3)
    assert f"weight of the noise: {before:.4f} to {model.noise_weight_:.4f}" in drift_lines(model.drift_)
    assert model.partial_fit(scattered(2_000, 3)).noise_weight_ < 0.2


def test_frozen_components_stay_in_updates_and_their_weights_do_not():
    rows = draw(2_000, 4)
    start = fitted(rows)
    given = {"means_init": start.means_, "precisions_init": start.precisions_, "frozen": [0]}
    model = fitted(rows, **given).update(draw(2_000, 5, shift=1.0, share=0.9))
    np.testing.assert_array_equal(model.means_[0], start.means_[0])
    np.testing.assert_allclose(model.covariances_[0], start.covariances_[0], rtol=1e-12)
    assert np.abs(model.means_[1] - start.means_[1]).max() > 0.01
    assert np.abs(model.weights_ - start.weights_).max() > 0.1


def test_finer_steps_of_new_rows_are_those_of_all_and_one_row_has_none():
    rows = np.round(draw(1_000, 6))
    model = fitted(rows)
    np.testing.assert_allclose(model.update(rows[:1])._kept.data_summary.steps, 1.0)
    np.testing.assert_allclose(model.update(np.round(draw(500, 7), 1))._kept.data_summary.steps, 0.1, rtol=1e-6)
