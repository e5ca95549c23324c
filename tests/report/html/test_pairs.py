import numpy as np
import pytest

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.report.html.pairs import pairs, scatters_of
from tests.report.html.stories import data, mixture
from tests.report.html.test_scatter import with_far_component


def test_a_feature_has_the_same_limits_in_all_pairs():
    told = with_far_component(4, weight=0.002)
    scatters = scatters_of(told, [0, 1, 2, 3])
    assert sorted(scatters) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for feature in range(4):
        limits = [np.array(one.window)[:, pair.index(feature)] for pair, one in scatters.items() if feature in pair]
        np.testing.assert_array_equal(limits, np.broadcast_to(limits[0], (3, 2)))
        assert np.ptp(limits[0]) < 100
    assert "Component 3 of few rows" in pairs(told).caption


def test_ellipses_are_those_of_the_features_in_their_own_units():
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(2, 3, 3))
    covariances = factors @ factors.transpose(0, 2, 1)
    of = Mixture("full", np.array([0.4, 0.6]), rng.normal(size=(2, 3)), covariances)
    scatter = scatters_of(data(of), [0, 1, 2])[0, 2]
    np.testing.assert_allclose(scatter.means, of.means[:, [0, 2]])
    np.testing.assert_allclose(scatter.covariances, covariances[:, [0, 2]][:, :, [0, 2]])


@pytest.mark.parametrize(("d", "words"), [(3, "The features, two by two"), (9, "The 4 features of 9 in which")])
def test_at_most_four_features_are_drawn(d, words):
    assert words in pairs(data(mixture(3, d))).caption
    assert pairs(data(mixture(3, 2))) is None
    assert pairs(data(mixture(3, d), np.empty((0, d)))) is not None
