"""Components that have collapsed are told from those that are merely narrow."""

import numpy as np
import pytest

from daskgmm.core.collapse import collapsed
from daskgmm.core.mixture import Mixture
from daskgmm.core.survey import survey

ROWS = np.random.default_rng(0).normal(size=(1000, 3))
WEIGHTS, MEANS = np.array([0.5, 0.3, 0.2]), np.array([[0.0, 0, 0], [1, 1, 1], [-1, 0, 1]])


def marked(covariance_type, covariances, reg_covar=1e-6, rows=ROWS):
    return collapsed(Mixture(covariance_type, WEIGHTS, MEANS, np.asarray(covariances)), survey(rows), reg_covar)


@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
def test_a_component_on_a_point_a_line_or_a_plane_is_marked(reg_covar):
    tiny = max(reg_covar, 1e-10)
    for flat in (np.full(3, tiny), [tiny, tiny, 1.0], [1.0, tiny, 1.0]):
        rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
        full = np.array([np.eye(3), (rotation * flat) @ rotation.T, np.eye(3)])
        assert marked("full", full, reg_covar) == (1,)
        assert marked("diag", [np.ones(3), np.ones(3), flat], reg_covar) == (2,)
    assert marked("spherical", [1.0, tiny, 1.0], reg_covar) == (1,)


def test_a_narrow_component_is_not_marked():
    assert marked("full", [np.eye(3), 1e-4 * np.eye(3), np.eye(3)]) == ()
    assert marked("diag", [np.ones(3), np.full(3, 1e-4), np.ones(3)]) == ()
    assert marked("spherical", [1.0, 1e-4, 1.0]) == ()


def test_a_direction_in_which_all_components_are_narrow_is_no_collapse():
    copies = np.array([[1.0, 1, 0], [1, 1 + 1e-8, 0], [0, 0, 1]])
    assert marked("full", [copies, copies, 2 * copies]) == ()
    assert marked("tied", copies) == ()


def test_units_of_columns_do_not_matter():
    units = np.array([1e-6, 1.0, 1e6])
    full = np.array([np.eye(3), np.diag([1e-6, 1e-6, 1.0]), np.eye(3)]) * np.outer(units, units)
    mixture = Mixture("full", WEIGHTS, MEANS * units, full)
    assert collapsed(mixture, survey(ROWS * units), 1e-6) == (1,)


def test_an_empty_component_is_not_marked():
    mixture = Mixture("spherical", np.array([0.6, 0.4, 0.0]), MEANS, np.array([1.0, 1.0, 1e-9]))
    assert collapsed(mixture, survey(ROWS), 1e-6) == ()
