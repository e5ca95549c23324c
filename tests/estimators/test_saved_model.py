"""Models that are saved and come back as estimators, and that score rows by themselves."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

import daskgmm
from daskgmm import GaussianMixture, GaussianMixtureSelector
from daskgmm.errors import DataError
from tests.cli.test_commands import run

X = np.concatenate([np.random.default_rng(0).normal(size=(150, 2)) + centre for centre in (0, 7)])


@pytest.fixture(scope="module", params=["full", "tied", "diag", "VII"])
def fitted(request):
    return GaussianMixture(2, covariance_type=request.param, n_init=1, random_state=0).fit(X)


def test_a_saved_estimator_comes_back_bit_for_bit(fitted, tmp_path):
    fitted.save(tmp_path / "model.zarr")
    back = GaussianMixture.load(tmp_path / "model.zarr")
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "converged_", "n_iter_", "lower_bound_"):
        np.testing.assert_array_equal(getattr(back, name), getattr(fitted, name))
    np.testing.assert_array_equal(back.predict_proba(X), fitted.predict_proba(X))
    assert back.n_features_in_ == 2
    assert (back.n_components, back.covariance_type) == (2, fitted.covariance_type)


def test_a_loaded_model_scores_rows_and_names_itself_in_one_line(fitted, tmp_path):
    fitted.save(tmp_path / "model.zarr")
    model = daskgmm.load_model(tmp_path / "model.zarr")
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    np.testing.assert_array_equal(model.score_samples(X), fitted.score_samples(X))
    assert repr(model).startswith(f"SavedModel(2 {fitted.covariance_type} components, 2 features, -")
    assert len(repr(model)) < 120


def test_a_summary_is_a_table_on_a_terminal_and_as_columns(fitted):
    table = fitted.summary()
    assert "log-likelihood" in repr(table)
    assert "<pre>" in table._repr_html_()
    assert table.columns["expected_rows"].sum() == pytest.approx(len(X))
    np.testing.assert_array_equal(table.columns["mean x1"], fitted.means_[:, 1])


def test_feature_names_and_a_run_of_the_command_line_come_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.yaml").write_text(
        "data: {path: 'sample:iris'}\nmodel: {n_components: 2}\noutput: {directory: run, report: false}\n"
    )
    run("fit", "job.yaml")
    back = GaussianMixture.load("run")
    assert list(back.feature_names_in_) == list(daskgmm.load_model("run").feature_names)
    assert back.summary().model.summary.weight_sum == 150


def test_a_loaded_estimator_of_factors_or_noise_is_fitted_again_as_the_same_kind(tmp_path):
    rows = np.concatenate([np.random.default_rng(1).normal(size=(80, 3)) + centre for centre in (0, 7)])
    for options in ({"covariance_type": "low_rank", "n_factors": 1}, {"noise": True, "covariance_type": "diag"}):
        model = GaussianMixture(2, n_init=1, random_state=0, **options).fit(rows)
        model.save(tmp_path / "model.zarr")
        back = GaussianMixture.load(tmp_path / "model.zarr")
        np.testing.assert_array_equal(back.predict_proba(rows), model.predict_proba(rows))
        again = back.set_params(n_init=1, random_state=0).fit(rows)
        np.testing.assert_array_equal(again.means_, model.means_)


def test_the_best_candidate_of_a_selector_is_saved(tmp_path):
    selector = GaussianMixtureSelector([1, 2], covariance_type="diag", n_init=1, random_state=0).fit(X)
    selector.save(tmp_path / "best.zarr")
    np.testing.assert_array_equal(GaussianMixture.load(tmp_path / "best.zarr").means_, selector.best_estimator_.means_)
    assert "2 components" in repr(selector.summary())


def test_an_estimator_of_scikit_learn_has_no_fit_to_save(tmp_path):
    own = GaussianMixture.from_sklearn(SklearnGaussianMixture(2, random_state=0).fit(X))
    with pytest.raises(DataError, match="fit it first"):
        own.save(tmp_path / "model.zarr")
