"""Variational Bayes against reference bounds, against scikit-learn, and against its own definition."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.mixture import BayesianGaussianMixture

from daskgmm.core.em.loop import EMOptions, State, Trial, iterate
from daskgmm.core.em.variational import Variational, VariationalPrior
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.floor import Floor
from daskgmm.core.mixture.mixture import Mixture

from .test_priors import example, mixture_of, moments_of

ORACLES = json.loads((Path(__file__).parents[2] / "data" / "priors.json").read_text())["variational"]
TYPES = ("full", "tied", "diag", "spherical")


def run(inference, sample, mixture, **options):
    return iterate(
        State(sample.data_summary, (Trial(mixture),)), sample, EMOptions(inference=inference, **options)
    ).best


def first(inference, rows, labels, covariance_type):
    moments = moments_of(rows, labels, covariance_type)
    return inference.estimate(mixture_of(rows, moments, covariance_type), moments, None)


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("case", ORACLES, ids=lambda case: f"{case['data']}-{case['weights']}")
def test_the_bound_is_complete_and_the_posterior_the_reference(case, accelerate, faithful):
    rows = faithful if case["data"] == "faithful" else load_iris().data
    labels, sample = np.array([*map(int, case["labels"])]), in_memory(rows, None)
    values = [case[name] for name in ("weights", "weight_concentration_prior", "mean_precision_prior")]
    prior = VariationalPrior(sample.data_summary, *values, degrees_of_freedom=case["degrees_of_freedom_prior"])
    inference = Variational(prior)
    moments = moments_of(rows, labels, "full")
    start = Mixture("full", np.full(len(moments.counts), 1.0), moments.means, moments.covariances)
    trial = run(
        inference, sample, inference.estimate(start, moments, None), tol=1e-14, max_iter=500, accelerate=accelerate
    )
    assert trial.history[-1] * len(rows) == pytest.approx(case["evidence_lower_bound"], abs=1e-8)
    np.testing.assert_allclose(trial.mixture.means, case["means"], atol=1e-5)
    assert (np.diff(trial.history) >= 0).all()


@pytest.mark.parametrize("weights", ["dirichlet_process", "dirichlet_distribution"])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_parameters_are_scikit_learns_from_the_same_start(weights, covariance_type):
    rows, labels = example(4, n=200)
    sample = in_memory(rows, None)
    inference = Variational(VariationalPrior(sample.data_summary, weights, 0.3, 2.0, degrees_of_freedom=4.5))
    trial = run(inference, sample, first(inference, rows, labels, covariance_type), tol=0.0, max_iter=30)
    theirs = BayesianGaussianMixture(
        n_components=3,
        covariance_type=covariance_type,
        tol=0,
        reg_covar=0,
        max_iter=30,
        weight_concentration_prior_type=weights,
        weight_concentration_prior=0.3,
        mean_precision_prior=2.0,
        degrees_of_freedom_prior=4.5,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs._initialize_parameters = lambda X, *_, **__: theirs._initialize(X, np.eye(3)[labels])
        theirs.fit(rows)
    plug_in, posterior = inference.plug_in(trial.mixture), inference.posterior(trial.mixture)
    np.testing.assert_allclose(plug_in.weights, theirs.weights_, rtol=1e-6)
    np.testing.assert_allclose(plug_in.means, theirs.means_, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(plug_in.covariances, theirs.covariances_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(posterior.mean_precision, theirs.mean_precision_, rtol=1e-6)
    own = posterior.degrees_of_freedom
    np.testing.assert_allclose(own, np.broadcast_to(theirs.degrees_of_freedom_, own.shape), rtol=1e-6)


@pytest.mark.parametrize("floored", [False, True])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_bound_never_falls(covariance_type, floored):
    rows, labels = example(5)
    sample = in_memory(rows, None)
    inference = Variational(VariationalPrior(sample.data_summary))
    floor = Floor.of(sample.data_summary, 0.1) if floored else None
    moments = moments_of(rows, labels, covariance_type)
    start = inference.estimate(mixture_of(rows, moments, covariance_type), moments, floor)
    trial = run(inference, sample, start, tol=1e-9, max_iter=300, floor=floor)
    assert len(trial.history) > 3
    assert trial.n_rejected <= 1  # a last step within rounding
    assert trial.remaining_gain < 1e-8


def test_bounds_of_restricted_posteriors_are_below_the_one_of_full_ones():
    rows, labels = example(6)
    sample = in_memory(rows, None)
    variances = np.diag([1.0, 2.0, 3.0])
    inference = Variational(VariationalPrior(sample.data_summary, covariance=variances))

    def bound(covariance_type):
        mixture = first(inference, rows, labels, covariance_type)
        return inference.divergence(mixture)

    assert all(np.isfinite(bound(name)) and bound(name) > 0 for name in TYPES)


def test_the_divergence_of_the_prior_from_itself_is_none():
    rows, labels = example(7)
    sample = in_memory(rows, None)
    for weights in ("dirichlet_process", "dirichlet_distribution"):
        inference = Variational(VariationalPrior(sample.data_summary, weights))
        prior = inference.prior.of(first(inference, rows, labels, "full"))
        covariances = np.tile(prior.scale / prior.degrees_of_freedom, (3, 1, 1))
        nothing = Mixture("full", np.zeros(3), np.tile(prior.mean, (3, 1)), covariances)
        assert inference.divergence(nothing) == pytest.approx(0, abs=1e-10)


def test_a_component_without_rows_has_its_prior_as_posterior():
    rows, labels = example(8)
    sample = in_memory(rows, None)
    inference = Variational(VariationalPrior(sample.data_summary))
    far = first(inference, rows, labels, "full")
    moments = moments_of(rows, labels, "full")
    none = type(moments)(moments.layout, np.array([20.0, 0.0, 40.0]), moments.means, moments.covariances)
    after = inference.estimate(far, none, None)
    posterior = inference.posterior(after)
    np.testing.assert_allclose(after.means[1], rows.mean(axis=0))
    np.testing.assert_allclose(after.covariances[1], np.cov(rows.T) / 3)
    assert posterior.mean_precision[1] == 1
    assert posterior.degrees_of_freedom[1] == 3
