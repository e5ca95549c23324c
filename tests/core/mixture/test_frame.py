"""The frame: coordinates of the kernels."""

import numpy as np
import pytest

from daskgmm.core.mixture.frame import Frame

FRAME = Frame(np.array([1e8, -3.0, 0.0]), np.array([1e-3, 2.0, 1e6]))


def test_to_x_undoes_to_z():
    points = FRAME.centre + FRAME.scale * np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(FRAME.to_x(FRAME.to_z(points)), points, rtol=1e-15)


def test_the_metric_gives_the_squared_distance_in_units_of_the_mean_square_scale():
    points = np.random.default_rng(0).normal(size=(5, 3)) * 10
    distance = ((points - FRAME.centre) ** 2).sum(axis=1)
    np.testing.assert_allclose(FRAME.to_z(points) ** 2 @ FRAME.isotropy_weights * FRAME.unit, distance, rtol=1e-13)


def test_the_scale_is_the_deviation_and_that_of_the_others_where_a_feature_is_constant():
    frame = Frame.from_variance(np.zeros(3), np.array([4.0, 0.0, 1e-20]))
    np.testing.assert_allclose(frame.scale, [2.0, np.sqrt(2), 1e-10], rtol=1e-14)
    assert frame.n_features == 3


def test_the_scale_is_one_where_all_features_are_constant():
    np.testing.assert_array_equal(Frame.from_variance(np.ones(2), np.zeros(2)).scale, [1.0, 1.0])


def test_the_unit_is_the_mean_squared_scale():
    assert Frame(np.zeros(2), np.array([3.0, 4.0])).unit == pytest.approx(12.5)
