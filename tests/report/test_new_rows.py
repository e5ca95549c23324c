"""Rows that a model scores against those of its fit."""

from dataclasses import replace

import numpy as np

from daskgmm.core.mixture.noise import Noise
from daskgmm.core.scoring.drift import DensityMoments
from daskgmm.report.new_rows import new_row_lines
from tests.report.html.stories import data, mixture


def test_labels_are_told_against_the_weights_and_the_density_against_that_of_the_fit():
    model = data(mixture(2, 2)).model
    heavy = 100 * model.mixture.weights
    counts, density = new_row_lines([30, 60], 100, DensityMoments.of(np.array([-1.0, -3.0]), np.ones(2)), model)
    assert counts == (
        f"rows labelled 1: 60, 60.0 percent (weight {heavy[1]:.1f}); 0: 30, 30.0 percent (weight {heavy[0]:.1f})"
    )
    assert density == "mean log-density -2 nats per row, standard error 0.71; that of the fit is -2.4"


def test_rows_of_the_noise_are_told_too():
    of = mixture(2, 2)
    model = data(replace(of, weights=0.9 * of.weights, noise=Noise(0.1, np.log(50.0))), np.zeros((9, 2))).model
    (line,) = new_row_lines([30, 60], 100, DensityMoments(), model)
    assert line.endswith("; noise: 10, 10.0 percent (weight 10.0)")


def test_of_many_components_the_most_frequent_are_told_and_of_no_row_nothing():
    model = data(mixture(20, 2)).model
    (line,) = new_row_lines(list(range(20)), 190, DensityMoments(), model)
    assert line.startswith("rows labelled 19: 19, 10.0 percent")
    assert line.endswith("; and 8 other components")
    assert list(new_row_lines([0] * 20, 0, DensityMoments(), model)) == []
