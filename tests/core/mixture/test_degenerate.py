"""Components whose likelihood means nothing."""

import numpy as np
import pytest

from daskgmm.core.mixture.degenerate import on_floor, overfit, unsound_components
from daskgmm.core.mixture.floor import Floor
from daskgmm.core.mixture.mixture import Mixture

FLOOR = Floor(np.full(2, 1e-6), 1e-6 * np.eye(2))
MEANS = np.array([[0.0, 0.0], [5.0, 5.0]])


def mixture(share, narrow, covariance_type="full"):
    """A component of that share whose second feature has the variance `narrow`."""
    dense = np.array([np.eye(2), np.diag([1.0, narrow])])
    covariances = {"full": dense, "diag": np.array([np.diag(one) for one in dense]), "tied": np.eye(2) * narrow,
                   "spherical": np.array([1.0, narrow])}  # fmt: skip
    return Mixture(covariance_type, np.array([1 - share, share]), MEANS, covariances[covariance_type])


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_a_component_on_the_floor_is_found(covariance_type):
    assert on_floor(mixture(0.5, 1e-6, covariance_type), FLOOR) == (1,)
    assert on_floor(mixture(0.5, 1e-3, covariance_type), FLOOR) == ()


def test_a_component_on_the_floor_along_no_axis_is_found():
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(2, 2)))[0]
    slanted = np.array([np.eye(2), (axes * [1.0, 1e-6]) @ axes.T])
    assert on_floor(Mixture("full", np.full(2, 0.5), MEANS, slanted), FLOOR) == (1,)


def test_a_direction_in_which_all_are_as_narrow_does_not_count():
    flat = np.array([np.diag([1.0, 1e-6])] * 2)
    assert on_floor(Mixture("full", np.full(2, 0.5), np.array([[0.0, 0.0], [5.0, 0.0]]), flat), FLOOR) == ()
    assert on_floor(mixture(0.5, 1e-6, "tied"), FLOOR) == ()


def test_a_group_of_many_rows_on_the_floor_is_sound_and_one_of_few_is_not():
    """A sensor that is off, and rows that happen to be equal."""
    assert unsound_components(mixture(0.1, 1e-6), 1000, FLOOR) == ()
    assert unsound_components(mixture(0.008, 1e-6), 1000, FLOOR) == (1,)
    assert unsound_components(mixture(0.008, 1e-2), 1000, FLOOR) == ()
    assert unsound_components(mixture(0.008, 1e-6), 1000, None) == ()


@pytest.mark.parametrize(("covariance_type", "least"), [("full", 3), ("diag", 2), ("spherical", 1)])
def test_a_component_of_no_more_rows_than_its_covariance_takes_is_unsound(covariance_type, least):
    assert unsound_components(mixture(least / 1000, 1.0, covariance_type), 1000, None) == (1,)
    assert unsound_components(mixture((least + 1) / 1000, 1.0, covariance_type), 1000, None) == ()
    assert overfit(mixture(least / 1000, 1.0, covariance_type), 1000, None) == (0.0, 1)


def test_components_of_many_rows_are_not_said_to_overfit():
    assert overfit(mixture(0.3, 1.0), 1000, FLOOR) == (0.0, 0)
    assert overfit(mixture(0.3, 1.0, "tied"), 4, FLOOR) == (0.0, 0)


def test_the_overfit_of_few_rows_is_what_they_lose_on_new_rows_beyond_what_all_do():
    """By simulation: mean log-density of the rows that a Gaussian was fitted to, less that of new ones."""
    rng, m, d = np.random.default_rng(0), 8, 2
    losses = []
    for _ in range(4000):
        rows, new = rng.normal(size=(2, m, d))
        mean, covariance = rows.mean(axis=0), np.cov(rows.T, bias=True)
        precision = np.linalg.inv(covariance)
        own, other = (np.einsum("ni,ij,nj->n", one - mean, precision, one - mean) for one in (rows, new))
        losses.append((other.mean() - own.mean()) / 2)
    n_parameters, enough = 5, 18
    found = overfit(mixture(m / 900, 1.0), 900, None)[0] - overfit(mixture(enough / 900, 1.0), 900, None)[0]
    lost = np.mean(losses) * (m - d - 2) / (m - d - 1) - n_parameters / m
    least = n_parameters / (enough - d - 1) - n_parameters / enough
    assert found / (m / 900) == pytest.approx(lost - least, abs=0.1)


def test_the_overfit_grows_without_a_jump_as_rows_get_fewer():
    found = [overfit(mixture(count / 1000, 1.0), 1000, None)[0] for count in np.arange(30, 4, -0.1)]
    steps = np.diff(found)
    assert found[0] == 0.0
    assert (steps >= 0).all()
    assert (np.diff(steps) > -1e-6).all()
