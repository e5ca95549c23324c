"""The sweep behind scikit-learn's interface."""

import warnings

import dask.array as da
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from daskgmm import GaussianMixture, GaussianMixtureSelector
from daskgmm.errors import ConfigurationError, DataError
from tests import oracles

ROWS, _ = oracles.draw(oracles.random_parameters("full", 3, 2, seed=4, spread=5.0), 900)


@pytest.fixture(scope="module")
def fitted():
    return GaussianMixtureSelector(range(1, 5), covariance_type=("full", "diag"), random_state=0).fit(ROWS)


def test_the_best_candidate_is_an_estimator_of_its_own(fitted):
    best = fitted.best_estimator_
    assert isinstance(best, GaussianMixture)
    assert fitted.best_params_ == {"n_components": best.n_components, "covariance_type": best.covariance_type}
    assert best.n_components == 3
    assert best.converged_
    assert fitted.best_score_ == pytest.approx(best.bic(ROWS), rel=1e-9)
    assert fitted.n_features_in_ == best.n_features_in_ == 2


def test_results_are_columns_of_one_entry_for_each_candidate(fitted):
    pandas = pytest.importorskip("pandas", reason="needs the package pandas")
    table = pandas.DataFrame(fitted.results_)
    assert table.shape[0] == 8
    assert table.loc[table["criterion"].idxmin(), "name"] == "full-3"
    assert (table.groupby("covariance_type")["log_likelihood"].diff().dropna() >= 0).all()
    assert set(fitted.elbow_) == {"full", "diag"}


def test_predictions_are_those_of_the_best_estimator(fitted):
    np.testing.assert_array_equal(fitted.predict(ROWS), fitted.best_estimator_.predict(ROWS))
    np.testing.assert_allclose(fitted.predict_proba(ROWS).sum(axis=1), 1)
    assert fitted.score(ROWS) == pytest.approx(fitted.score_samples(ROWS).mean())


def test_dask_rows_give_the_model_of_the_same_rows_in_memory_and_lazy_labels(fitted):
    lazy = da.from_array(ROWS, chunks=(300, 2))
    other = clone(fitted).fit(lazy)
    assert other.best_params_ == fitted.best_params_
    assert other.best_score_ == pytest.approx(fitted.best_score_, rel=1e-6)
    assert other.predict(lazy).chunks == ((300, 300, 300),)


def test_row_weights_and_another_criterion_act():
    weights = np.where(ROWS[:, 0] > np.median(ROWS[:, 0]), 1.0, 0.0)
    options = {"covariance_type": ("full",), "random_state": 0}
    weighted = GaussianMixtureSelector((1, 2, 3), **options).fit(ROWS, sample_weight=weights)
    assert weighted.best_estimator_.means_[:, 0].min() > np.median(ROWS[:, 0]) - 1
    held_out = GaussianMixtureSelector((1, 2, 3), criterion="heldout", folds=3, **options).fit(ROWS)
    assert held_out.best_params_["n_components"] == 3
    assert held_out.results_["held_out"][2] == max(held_out.results_["held_out"])
    assert held_out.fit_predict(ROWS).shape == (900,)


@pytest.mark.parametrize("options", [{"n_components": ()}, {"n_components": (0,)}, {"covariance_type": ("round",)}])
def test_candidates_that_are_none_are_refused(options):
    with pytest.raises(ValueError, match=r"n_components|covariance type"):
        GaussianMixtureSelector(**options).fit(ROWS)


def test_it_tells_when_it_is_not_fitted_or_has_not_converged(capsys):
    with pytest.raises(NotFittedError):
        GaussianMixtureSelector().predict(ROWS)
    with pytest.warns(ConvergenceWarning):
        GaussianMixtureSelector((3,), max_iter=1, sample_size=50, tol=1e-12, verbose=1).fit(ROWS)
    assert "iteration   1" in capsys.readouterr().out


def test_a_verbose_fit_alone_prints(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GaussianMixtureSelector((1, 2), covariance_type=("diag",)).fit(ROWS)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("sizes", [(1.5, 2), (True, 2), (0, 1), ("2",)])
def test_sizes_that_are_no_whole_numbers_are_refused(sizes):
    with pytest.raises(ValueError, match="must be whole numbers of 1 or more"):
        GaussianMixtureSelector(sizes).fit(ROWS)


def test_more_folds_than_rows_leave_folds_without_rows_that_judge_nothing():
    few = GaussianMixtureSelector((1, 2), covariance_type=("full",), criterion="heldout", folds=50, random_state=0)
    few.fit(ROWS[:40])
    assert 1 < len(few.results_["held_out_folds"][0]) <= 40
    assert np.isfinite(few.best_score_)


def test_a_criterion_that_is_infinite_for_all_candidates_is_said_to_be():
    with pytest.raises(DataError, match=r"no candidate has a finite aicc: the smallest has 5 parameters.*n - 2 = 3 "):
        GaussianMixtureSelector((1,), covariance_type=("full",), criterion="aicc").fit(ROWS[:5])


def test_labels_of_rows_are_refused():
    rows, labels = np.random.default_rng(0).normal(size=(20, 2)), np.repeat([0, -1], 10)
    with pytest.raises(ConfigurationError, match="a sweep takes no labels"):
        GaussianMixtureSelector([1], covariance_type="full").fit(rows, labels)
