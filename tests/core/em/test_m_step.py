"""The M-step."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from daskgmm.core.em.m_step import maximize
from daskgmm.core.init.starts import in_memory
from daskgmm.core.kernels import natural_parameters as coefficients
from daskgmm.core.mixture.covariance import STRUCTURES
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.floor import DEFAULT_REG_COVAR, Floor
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles


def em_step(rows, row_weights, mixture, floor=None):
    sample = in_memory(rows, row_weights)
    (statistics,) = sample((mixture,))
    return statistics, maximize(mixture, statistics, sample.data_summary, floor)


def sklearn_step(rows, mixture):
    """Return scikit-learn's mean log-likelihood of the mixture, and its mixture after one EM iteration."""
    precisions = {
        "full": np.linalg.inv,
        "tied": np.linalg.inv,
        "diag": np.reciprocal,
        "spherical": np.reciprocal,
    }[mixture.covariance_type](mixture.covariances)
    estimator = GaussianMixture(
        mixture.n_components,
        covariance_type=mixture.covariance_type,
        reg_covar=0.0,
        max_iter=1,
        weights_init=mixture.weights,
        means_init=mixture.means,
        precisions_init=precisions,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # one iteration is what is asked for
        estimator.fit(rows)
    parameters = (mixture.covariance_type, estimator.weights_, estimator.means_, estimator.covariances_)
    return estimator.lower_bound_, oracles.Parameters(*parameters)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_one_iteration_equals_scikit_learns(covariance_type):
    parameters = oracles.random_parameters(covariance_type, 4, 5, seed=1)
    rows, _ = oracles.draw(parameters, 2000)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    mixture = Mixture(*oracles.random_parameters(covariance_type, 4, 5, seed=2, spread=1.0))
    statistics, ours = em_step(rows, None, mixture)
    log_likelihood, theirs = sklearn_step(rows, mixture)
    assert statistics.mean_log_likelihood == pytest.approx(log_likelihood, rel=1e-8)
    oracles.assert_agree(ours, theirs, 1e-8)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_floor_follows_the_units_of_the_columns(covariance_type, weighted):
    parameters = oracles.random_parameters(covariance_type, 2, 3, seed=3)
    rows, _ = oracles.draw(parameters, 150)
    row_weights = np.random.default_rng(4).uniform(0, 2, len(rows)) if weighted else None
    units = np.array([1e-3, 1.0, 1e4]) if covariance_type != "spherical" else np.full(3, 1e3)
    scaled = scale(parameters, units)
    floor = Floor.of(summarise_rows(rows * units, row_weights), 0.8)
    _, ours = em_step(rows * units, row_weights, Mixture(*scaled), floor)
    true = oracles.step(rows * units, row_weights, scaled).parameters
    raised = STRUCTURES[covariance_type].layout.raise_to(np.asarray(true.covariances, float), floor)
    assert not np.allclose(raised, np.asarray(true.covariances, float), rtol=1e-3)
    oracles.assert_agree(ours, true._replace(covariances=raised), 1e-10)


def scale(parameters, units):
    factor = {
        "full": np.outer(units, units),
        "tied": np.outer(units, units),
        "diag": units**2,
        "spherical": units[0] ** 2,
    }[parameters.covariance_type]
    return parameters._replace(means=parameters.means * units, covariances=parameters.covariances * factor)


@pytest.fixture(params=["shared", "centred"])
def kernel(request, monkeypatch):
    bound = {"shared": np.inf, "centred": -1.0}[request.param]
    monkeypatch.setattr(coefficients, "MAX_ERROR", dict.fromkeys(coefficients.MAX_ERROR, bound))


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_an_empty_component_keeps_its_parameters_and_has_the_weight_zero(covariance_type):
    parameters = oracles.random_parameters(covariance_type, 3, 2, seed=5)
    rows, _ = oracles.draw(parameters, 200)
    parameters.means[1] = 1000.0  # no row comes near
    before = Mixture(*parameters)
    _, after = em_step(rows, None, before)
    assert after.empty == (1,)
    assert after.weights[1] == 0.0
    np.testing.assert_array_equal(after.means[1], before.means[1])
    if covariance_type != "tied":
        np.testing.assert_array_equal(after.covariances[1], before.covariances[1])

    statistics, later = em_step(rows, None, after)
    alive = [0, 2]
    own = after.covariances if covariance_type == "tied" else after.covariances[alive]
    without = oracles.Parameters(covariance_type, after.weights[alive], after.means[alive], own)
    true = oracles.step(rows, None, without)
    assert later.empty == (1,)
    assert statistics.log_likelihood == pytest.approx(true.log_likelihood, rel=1e-10)
    assert statistics.entropy == pytest.approx(true.entropy, rel=1e-10)
    kept = later.covariances if covariance_type == "tied" else later.covariances[alive]
    found = oracles.Parameters(covariance_type, later.weights[alive], later.means[alive], kept)
    oracles.assert_agree(found, true.parameters, 1e-10)


def test_no_component_is_empty_while_it_has_a_share_of_a_row():
    rows = np.concatenate([np.random.default_rng(6).normal(size=(5000, 1)), [[40.0]]])
    before = Mixture("full", np.array([0.9, 0.1]), np.array([[0.0], [40.0]]), np.ones((2, 1, 1)))
    _, after = em_step(rows, None, before)
    assert after.empty == ()
    assert after.weights[1] == pytest.approx(1 / 5001, rel=1e-10)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_m_step_leaves_what_it_is_given_unchanged(covariance_type):
    parameters = oracles.random_parameters(covariance_type, 3, 2, seed=7)
    rows, _ = oracles.draw(parameters, 100)
    copies = [np.copy(array) for array in parameters[1:]]
    sample = in_memory(rows, None)
    mixture = Mixture(*parameters)
    (statistics,) = sample((mixture,))
    sums = statistics.sums.copy()
    maximize(mixture, statistics, sample.data_summary)
    np.testing.assert_array_equal(statistics.sums, sums)
    for array, copy in zip((mixture.weights, mixture.means, mixture.covariances), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("distance", [1e2, 1e4, 1e5])
def test_the_default_reg_covar_leaves_components_far_apart_as_they_are(distance):
    """In deviations of a component."""
    rows = np.random.default_rng(5).normal(size=(2000, 2))
    rows[1000:] += distance
    mixture = Mixture("full", np.ones(2) / 2, np.array([[0.0, 0.0], [distance, distance]]), np.stack([np.eye(2)] * 2))
    _, with_default = em_step(rows, None, mixture, Floor.of(summarise_rows(rows), DEFAULT_REG_COVAR))
    _, without = em_step(rows, None, mixture)
    np.testing.assert_array_equal(with_default.covariances, without.covariances)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_covariances_are_raised_in_the_directions_alone_that_are_below_the_variances(covariance_type):
    structure, least = STRUCTURES[covariance_type], np.array([1.0, 4.0, 1e-6])
    floor = Floor(least, np.diag(least))
    axes = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]

    def covariances(*sizes):
        """In units of the least variances, along axes that are no feature's."""
        dense = (axes * sizes) @ axes.T * np.sqrt(np.outer(least, least))
        many = {"full": [dense, 5 * dense], "tied": dense, "diag": least * [sizes, sizes]}
        return np.array(many.get(covariance_type, least.mean() * np.array(sizes)))

    wide = covariances(2.0, 1.5, 3.0)
    np.testing.assert_array_equal(structure.layout.raise_to(wide, floor), wide)
    found, true = structure.layout.raise_to(covariances(1e-9, 3.0, 0.5), floor), covariances(1.0, 3.0, 1.0)
    if covariance_type == "full":
        true[1] = 5 * covariances(0.2, 3.0, 0.5)[0]
    np.testing.assert_allclose(found, true, rtol=1e-9)
