import numpy as np
import pytest

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.scoring.discriminant import discriminant_view, feature_separation
from tests import oracles


def mixture(covariance_type, k=4, d=5, seed=0):
    return Mixture(*oracles.random_parameters(covariance_type, k, d, seed=seed, spread=2.0))


def dense(mixture):
    k, d = mixture.means.shape
    spread = np.asarray(mixture.covariances)
    if mixture.covariance_type == "full":
        return spread
    if mixture.covariance_type == "tied":
        return np.broadcast_to(spread, (k, d, d))
    return np.stack([np.diag(np.broadcast_to(one, d)) for one in spread])


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_axes_solve_the_generalised_eigenproblem(covariance_type):
    own = mixture(covariance_type)
    view = discriminant_view(own)
    axes = view.axes / view.frame.scale[:, None]  # of x
    within = np.einsum("k,kij->ij", own.weights, dense(own))
    shift = own.means - own.weights @ own.means
    between = (shift.T * own.weights) @ shift
    np.testing.assert_allclose(axes.T @ within @ axes, np.eye(2), atol=1e-8)
    np.testing.assert_allclose(between @ axes, within @ axes * view.separations, rtol=1e-3, atol=1e-3)
    values = np.sort(np.linalg.eigvals(np.linalg.solve(within, between)).real)[::-1]
    np.testing.assert_allclose(view.separations, values[:2], rtol=1e-5)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_components_are_projected_as_rows_are(covariance_type):
    own = mixture(covariance_type)
    view = discriminant_view(own)
    means, covariances = view.gaussians(own)
    rows = np.random.default_rng(0).multivariate_normal(own.means[1], dense(own)[1], 50_000)
    projected = view.project(rows)
    np.testing.assert_allclose(projected.mean(axis=0), means[1], atol=0.05)
    np.testing.assert_allclose(np.cov(projected.T), covariances[1], atol=0.05)


def test_two_components_get_a_second_axis_in_which_their_spreads_differ():
    covariances = np.array([np.diag([1.0, 1.0, 9.0]), np.diag([1.0, 1.0, 0.1])])
    own = Mixture("full", np.array([0.5, 0.5]), np.array([[0.0, 0, 0], [6.0, 0, 0]]), covariances)
    axes = np.abs(discriminant_view(own).axes)
    assert axes[:, 0].argmax() == 0
    assert axes[:, 1].argmax() == 2


def test_one_component_is_seen_along_its_widest_axes():
    correlated = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    view = discriminant_view(Mixture("full", np.ones(1), np.zeros((1, 3)), correlated[None]))
    np.testing.assert_allclose(view.separations, 0, atol=1e-12)
    assert view.axes[0, 0] == pytest.approx(view.axes[1, 0])
    assert abs(view.axes[2, 0]) < 1e-9


def test_one_feature_has_one_axis_and_units_do_not_matter():
    own = Mixture("diag", np.array([0.5, 0.5]), np.array([[0.0], [1e9]]), np.array([[1e14], [1e14]]))
    assert discriminant_view(own).axes.shape == (1, 1)
    assert feature_separation(own)[0] == pytest.approx(0.25e18 / 1e14)
