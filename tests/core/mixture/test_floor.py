"""The floor of the covariances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from daskgmm.core.em.loop import EMOptions, State, Trial, iterate
from daskgmm.core.init.starts import SeedOptions, in_memory, start
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.floor import DEFAULT_REG_COVAR, Floor
from daskgmm.core.mixture.mixture import Mixture, project
from daskgmm.core.options.fit import FitOptions, ModelOptions
from daskgmm.core.options.select import SelectOptions
from tests import oracles


def with_steps(rows, steps=0.0):
    found = summarise_rows(rows)
    return type(found)(**{**vars(found), "steps": np.broadcast_to(steps, (rows.shape[1],)).astype(float)})


def floor_of(matrix):
    return Floor(np.diagonal(matrix).copy(), matrix)


def test_it_is_a_share_of_the_variance_over_all_rows_or_that_of_rounding():
    rows = np.random.default_rng(0).normal(size=(500, 2)) * [1.0, 100.0]
    floor = Floor.of(with_steps(rows, [0.5, 0.0]), 1e-3)
    np.testing.assert_allclose(floor.variances, [0.25 / 12, 1e-3 * rows[:, 1].var()])
    np.testing.assert_array_equal(floor.matrix, np.diag(floor.variances))


def test_without_dense_covariances_it_has_no_matrix_and_the_same_variances():
    rows = with_steps(np.random.default_rng(0).normal(size=(500, 3)), [0.5, 0.0, 0.0])
    dense, other = Floor.of(rows, 1e-3), Floor.of(rows, 1e-3, dense=False)
    assert other.matrix.size == 0
    for name in ("variances", "noise"):
        np.testing.assert_array_equal(getattr(other, name), getattr(dense, name))


@pytest.mark.parametrize(("family", "size"), [("diag", 0), ("spherical", 0), ("EVI", 0), ("tied", 9), ("VEE", 9)])
def test_a_model_asks_for_the_matrix_that_its_covariances_need(family, size):
    found = summarise_rows(np.random.default_rng(0).normal(size=(500, 3)))
    assert ModelOptions(2, family).floor(found).matrix.size == size


def test_the_floor_of_a_sweep_serves_dense_candidates_beside_a_diagonal_model():
    found, base = summarise_rows(np.random.default_rng(0).normal(size=(500, 3))), ModelOptions(2, "diag")
    mixed = SelectOptions((1, 2), ("diag", "full")).sweep(FitOptions(), base, found, 500).em.floor
    np.testing.assert_array_equal(mixed.matrix, ModelOptions(2).floor(found).matrix)
    assert SelectOptions((1, 2), ("diag",)).sweep(FitOptions(), base, found, 500).em.floor.matrix.size == 0


def test_in_a_direction_in_which_no_rows_differ_it_is_wider_than_the_rounding_of_covariances():
    first = np.random.default_rng(0).normal(size=500)
    rows = np.stack([first, 3 * first, np.full(500, 7.0)], axis=1)
    floor = Floor.of(with_steps(rows), DEFAULT_REG_COVAR)
    scale = rows.std(axis=0)[:2]
    direction = np.array([1.0, -1.0, 0.0]) / np.append(scale, 1.0) / np.sqrt(2)
    assert direction @ floor.matrix @ direction == pytest.approx(1e-8, rel=1e-3)
    assert np.append(1 / scale, 0.0) @ floor.matrix @ np.append(1 / scale, 0.0) < 1e-10  # along the rows: none


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), d=st.integers(1, 4), exponent=st.integers(-12, 0))
def test_the_raised_covariance_is_the_best_one_above_the_floor(seed, d, exponent):
    """Of log|S| + tr(S^-1 W) subject to S >= F: no small step that keeps S >= F makes it less."""
    rng = np.random.default_rng(seed)
    root, scatter = rng.normal(size=(2, d, d))
    matrix = (root @ root.T + 0.1 * np.eye(d)) * 10.0**exponent
    w = scatter @ scatter.T * 10.0 ** rng.uniform(exponent - 3, 0)
    raised = floor_of(matrix).raise_matrices(w)
    f = np.linalg.inv(np.linalg.cholesky(matrix))
    assert np.linalg.eigvalsh(f @ raised @ f.T).min() > 1 - 1e-6

    def objective(s):
        return np.linalg.slogdet(s)[1] + np.trace(np.linalg.solve(s, w))

    level = objective(raised)
    for _ in range(20):
        other = rng.normal(size=(d, d))
        other = matrix + other @ other.T * 10.0 ** rng.uniform(exponent - 1, 1)
        step = rng.choice([1e-3, 0.1, 1.0])
        assert objective((1 - step) * raised + step * other) >= level - 1e-7 * max(1, abs(level))


def test_the_raised_covariance_is_found_by_direct_minimisation_too():
    w, matrix = np.array([[2.0, 1.4], [1.4, 1.0]]), np.array([[0.5, 0.1], [0.1, 0.3]])
    root = np.linalg.cholesky(matrix)

    def objective(x):
        lower = np.array([[x[0], 0], [x[1], x[2]]])
        s = matrix + root @ lower @ lower.T @ root.T
        return np.linalg.slogdet(s)[1] + np.trace(np.linalg.solve(s, w))

    options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 9999}
    starts = ([1.0, 0, 1], [0.1, 0.5, 0.1], [2.0, 2, 0.1])
    best = min(minimize(objective, x0, method="Nelder-Mead", options=options).fun for x0 in starts)
    raised = floor_of(matrix).raise_matrices(w)
    found = np.linalg.slogdet(raised)[1] + np.trace(np.linalg.solve(raised, w))
    assert found == pytest.approx(best, abs=1e-6)


def test_wide_covariances_keep_their_bits():
    covariances = np.array([np.eye(3), 2 * np.eye(3)])
    assert floor_of(1e-3 * np.eye(3)).raise_matrices(covariances) is covariances


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("reg_covar", [1e-12, 1e-3, 0.5])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
@pytest.mark.parametrize("kind", ["continuous", "whole numbers", "a spike", "a copied column", "few rows"])
def test_the_log_likelihood_never_falls_under_any_floor(covariance_type, reg_covar, kind):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(400, 3)) * [1.0, 5.0, 0.1] + 4 * rng.integers(0, 3, size=(400, 1))
    if kind == "whole numbers":
        rows = np.round(rows)
    if kind == "a spike":
        rows[::3] = [1.0, 2.0, 3.0]
    if kind == "a copied column":
        rows[:, 2] = 2 * rows[:, 0] + 1
    rows = rows[:12] if kind == "few rows" else rows
    sample = in_memory(rows, None)
    floor = Floor.of(with_steps(rows, 1.0 if kind == "whole numbers" else 0.0), reg_covar)
    for accelerate in (False, True):
        em = EMOptions(1e-9, 60, floor, accelerate)
        mixture = start(sample, SeedOptions(4, covariance_type, "k-means++", em=em), 0)
        states = []
        trial = iterate(State(sample.data_summary, (Trial(mixture),)), sample, em, states.append).best
        assert (np.diff(trial.history) >= 0).all()
        (again,) = sample((trial.mixture,))
        assert again.mean_log_likelihood == trial.history[-1]
        below = project(trial.mixture, floor)
        np.testing.assert_allclose(below.covariances, trial.mixture.covariances, rtol=1e-3, atol=1e-9)


def test_a_mixture_is_raised_in_the_shape_of_its_structure():
    floor = floor_of(np.diag([4.0, 1.0]))
    tied = Mixture("tied", np.full(2, 0.5), np.zeros((2, 2)), np.diag([1.0, 3.0]))
    np.testing.assert_allclose(project(tied, floor).covariances, np.diag([4.0, 3.0]))
    spherical = Mixture("spherical", np.full(2, 0.5), np.zeros((2, 2)), np.array([1.0, 3.0]))
    np.testing.assert_allclose(project(spherical, floor).covariances, [2.5, 3.0])
    assert project(tied, None) is not None
