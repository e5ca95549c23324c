import dataclasses

import numpy as np
import pytest

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.report.html.report_data import spread_of_most
from daskgmm.report.html.scatter import Scatter, density
from tests.report.html.stories import data, mixture


def with_far_component(d, weight, distance=1e4):
    """Return the report data of three components and a light one far off, with a row there."""
    of = mixture(3, d)
    rows = of.sample(600, np.random.default_rng(1))[0]
    rows[5, :2] = distance, -distance
    means = np.vstack([of.means, rows[5]])
    covariances = np.concatenate([of.covariances, 1e-6 * np.eye(d)[None]])
    return data(Mixture("full", np.append(of.weights * (1 - weight), weight), means, covariances), rows)


def scatter_of(told):
    return Scatter.of(told, told.view.project(told.rows), *told.view.gaussians(told.mixture))


@pytest.mark.parametrize("d", [2, 4])
def test_one_outlier_does_not_hide_the_clusters(d):
    told = with_far_component(d, weight=0.002)
    low, high = scatter_of(told).window
    assert (high - low < 60).all()
    assert scatter_of(told).outside(told) == [3]
    assert "Component 3 of few rows lies far outside of the picture." in density(told).caption


def test_a_cluster_of_many_rows_is_in_the_picture_however_far_it_lies():
    told = with_far_component(2, weight=0.2)
    assert scatter_of(told).outside(told) == []


def test_components_that_lie_together_are_all_in_the_picture():
    told = data(mixture(12, 3))
    assert scatter_of(told).outside(told) == []
    np.testing.assert_array_equal(
        np.sort(told.choose_mapped(told.mixture.means, told.mixture.variances)), np.arange(12)
    )


def test_a_column_that_is_the_sum_of_others_does_not_ruin_the_view():
    of, to_three = mixture(3, 2), np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    rows = of.sample(600, np.random.default_rng(1))[0] @ to_three
    covariances = np.einsum("ia,kij,jb->kab", to_three, of.covariances, to_three) + 1e-12 * np.eye(3)
    plain = scatter_of(data(of))
    collinear = data(Mixture("full", of.weights, of.means @ to_three, covariances), rows)
    low, high = scatter_of(collinear).window
    assert (high - low < 4 * (plain.window[1] - plain.window[0]).max()).all()
    assert scatter_of(collinear).outside(collinear) == []


def test_equal_features_are_drawn_along_a_line():
    of, twice = mixture(2, 1, apart=9.0), np.array([[1.0, 1.0]])
    rows = of.sample(200, np.random.default_rng(1))[0] @ twice
    covariances = np.broadcast_to(np.ones((2, 2)), (2, 2, 2)) + 1e-12 * np.eye(2)
    assert density(data(Mixture("full", of.weights, of.means @ twice, covariances), rows)) is not None


def test_an_outlying_value_is_no_part_of_what_is_drawn():
    values = np.append(np.random.default_rng(0).normal(size=150), 1e4)[:, None]
    low, high = spread_of_most(values, 0.001)[:, 0]
    assert -4 < low < -2
    assert 2 < high < 15


def test_repeated_values_leave_the_others_in_the_figure():
    values = np.concatenate([np.zeros(90), np.linspace(1, 2, 10)])[:, None]
    assert spread_of_most(values, 0.001)[1, 0] > 1.9


def test_empty_components_are_outside_of_nothing():
    told = data(mixture(3, 2))
    emptied = dataclasses.replace(told.mixture, weights=np.array([0.5, 0.5, 0.0]))
    assert scatter_of(data(emptied)).outside(data(emptied)) == []
