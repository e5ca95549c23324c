"""The density of each feature."""

import numpy as np
import pytest

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.report.html.marginals import _densities, _grid, marginals
from tests.report.html.stories import data


@pytest.mark.parametrize("deviation", [1e-6, 1e-3, 0.05, 1.0])
def test_the_mass_of_a_narrow_component_is_drawn(deviation):
    means, variances = np.array([[0.0], [3.0]]), np.array([[1.0], [deviation**2]])
    told = data(Mixture("diag", np.array([0.6, 0.4]), means, variances))
    grid = _grid(told, 0, -10.0, 10.0)
    assert np.trapezoid(_densities(told, 0, grid), grid, axis=1) == pytest.approx([0.6, 0.4], rel=0.02)


def test_of_many_components_the_heaviest_have_curves_of_their_own():
    means, variances = 10.0 * np.arange(160).reshape(80, 2), np.ones((80, 2))
    told = data(Mixture("diag", np.full(80, 1 / 80), means, variances))
    assert [drawing.svg.count("stroke-width: 1.4") for drawing in marginals(told)] == [50, 50]
