"""Sweeps of posteriors, which are compared by their lower bounds of the log-evidence."""

import numpy as np
import pytest

from daskgmm import BayesianGaussianMixture, GaussianMixtureSelector
from daskgmm.errors import ConfigurationError


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(150, 2)) * (1, 0.4) + centre for centre in ([0, 0], [5, 0], [0, 4])])


def sweep(rows, **parameters):
    parameters = {"tol": 1e-7, "covariance_type": ("full", "diag"), "random_state": 0, **parameters}
    return GaussianMixtureSelector((1, 2, 3, 4), criterion="evidence", **parameters).fit(rows)


def test_bounds_of_a_sweep_are_those_of_fits(rows):
    selector = sweep(rows, leave_early=False)
    results = selector.results_
    for k, kind, bound in zip(
        *(results[name] for name in ("n_components", "covariance_type", "criterion")), strict=True
    ):
        fitted = BayesianGaussianMixture(n_components=k, covariance_type=kind, tol=1e-7, random_state=0).fit(rows)
        assert bound == pytest.approx(fitted.evidence_lower_bound_, abs=0.05) or bound > fitted.evidence_lower_bound_
    assert selector.best_score_ == max(results["criterion"])
    assert results["evidence_lower_bound"] == results["criterion"]
    best = selector.best_estimator_
    assert isinstance(best, BayesianGaussianMixture)
    assert best.evidence_lower_bound_ == pytest.approx(selector.best_score_, rel=1e-12)
    assert selector.best_params_["n_components"] == 3


def test_candidates_that_leave_early_are_worse(rows):
    early, whole = sweep(rows), sweep(rows, leave_early=False)
    assert early.best_params_ == whole.best_params_
    assert early.best_score_ == pytest.approx(whole.best_score_, abs=1e-3)


def test_the_prior_of_a_selector_acts(rows):
    prior = {"weights": "dirichlet_distribution", "mean_precision": 3.0, "covariance": ((2.0, 0.5), (0.5, 1.0))}
    selector = sweep(rows, prior=prior, covariance_type="full")
    best = selector.best_estimator_
    assert best.weight_concentration_prior_type == "dirichlet_distribution"
    assert best.mean_precision_prior_ == 3.0
    k = selector.best_params_["n_components"]
    fitted = BayesianGaussianMixture(**{**best.get_params(), "n_components": k}).fit(rows)
    assert selector.best_score_ == pytest.approx(fitted.evidence_lower_bound_, abs=0.05)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"covariance_type": ("VEV",)}, "full, tied, diag and spherical"),
        ({"noise": True}, "noise acts with the inference em only"),
        ({"criterion": "bic", "prior": {"mean_precision": 1.0}}, "criterion evidence only"),
        ({"prior": {"weights": "flat"}}, "must be one of"),
    ],
)
def test_what_no_posterior_has_is_refused(rows, parameters, message):
    parameters = {"criterion": "evidence", **parameters}
    with pytest.raises(ConfigurationError, match=message):
        GaussianMixtureSelector((1, 2), **parameters).fit(rows)
