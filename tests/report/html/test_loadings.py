import numpy as np

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.scoring.discriminant import loadings as loadings_of
from daskgmm.report.html.correlations import correlations, correlations_of
from daskgmm.report.html.loadings import loadings
from tests import oracles
from tests.report.html.stories import data, mixture


def correlated(k=3, d=4, covariance_type="full"):
    return Mixture(*oracles.random_parameters(covariance_type, k, d, seed=3, spread=2.0))


def test_loadings_are_the_correlations_of_many_drawn_rows_with_the_axes():
    told = data(correlated())
    rows, _ = told.mixture.sample(200_000, np.random.default_rng(0))
    axes = told.view.project(rows)
    drawn = np.corrcoef(rows.T, axes.T)[:4, 4:]
    np.testing.assert_allclose(loadings_of(told.view, told.viewed), drawn, atol=0.02)


def test_a_feature_that_does_not_vary_has_no_loading_and_all_are_drawn():
    of = mixture(3, 3, "diag")
    of.means[:, 1], of.covariances[:, 1] = 7.0, 1e-300
    values = loadings_of(data(of).view, of)
    assert np.isfinite(values).all()
    assert "the 12 features of 30" in loadings(data(mixture(3, 30))).caption
    assert loadings(data(mixture(3, 2))) is None


def test_correlations_are_those_within_each_component():
    of = correlated()
    found = correlations_of(data(of), [0, 2])
    for component, covariance in enumerate(of.covariances):
        expected = covariance[0, 2] / np.sqrt(covariance[0, 0] * covariance[2, 2])
        np.testing.assert_allclose(found[component, 0, 1], expected)
    heaviest = data(of).by_weight[0]
    drawings = correlations(data(of))
    assert drawings[0].title == f"Correlations, component {heaviest}"
    assert len(drawings) == 3


def test_shared_correlations_are_drawn_once_and_none_not_at_all():
    (shared,) = correlations(data(correlated(covariance_type="tied")))
    assert shared.title == "Correlations, all components"
    assert correlations(data(correlated(covariance_type="diag"))) == ()
    assert correlations(data(mixture(2, 1, apart=9.0))) == ()
    assert len(correlations(data(correlated(k=9, d=9)))) == 6
