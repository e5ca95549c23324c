"""Starts on a sample."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np
import pytest

from daskgmm.core.em.loop import EMOptions, State, StopReason, Trial, iterate
from daskgmm.core.init.split_merge import split_merge
from daskgmm.core.init.starts import (
    Given,
    InitParams,
    SeedOptions,
    first_stage,
    in_memory,
    mode_widths,
    nearest,
    rank,
    restart,
    run_em_on_sample,
    sample_size,
    start,
    whiten,
)
from daskgmm.core.mixture.covariance import STRUCTURES
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.floor import DEFAULT_REG_COVAR, Floor
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.options.fit import FitOptions, ModelOptions
from daskgmm.errors import SingularCovarianceError
from tests import oracles

INITS = get_args(InitParams)


def example(n=400, d=2, k=3, spread=4.0, seed=1, covariance_type="full"):
    return oracles.draw(oracles.random_parameters(covariance_type, k, d, seed=seed, spread=spread), n)[0]


def on_floor(rows, **em):
    """Return the sample of rows, and options of EM with the default floor for them."""
    sample = in_memory(rows, None)
    return sample, EMOptions(floor=Floor.of(sample.data_summary, DEFAULT_REG_COVAR), **em)


def assert_valid(mixture, k, d):
    assert mixture.weights.shape == (k,)
    assert mixture.means.shape == (k, d)
    assert mixture.covariances.shape == STRUCTURES[mixture.covariance_type].layout.shape(k, d)
    assert mixture.weights.sum() == pytest.approx(1)
    assert (mixture.weights > 0).all()
    assert np.isfinite(mixture.means).all()
    dense = oracles.dense_covariances(mixture).astype(float)
    np.testing.assert_allclose(dense, dense.transpose(0, 2, 1), rtol=1e-13, atol=1e-13)
    assert (np.linalg.eigvalsh(dense) > 0).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("init_params", INITS)
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_every_start_is_a_valid_mixture(covariance_type, init_params, weighted):
    rows = example(d=3)
    sample = in_memory(rows, np.random.default_rng(2).uniform(0.1, 2, len(rows)) if weighted else None)
    options = SeedOptions(5, covariance_type, init_params)
    for seed in range(4):
        mixture = start(sample, options, seed)
        assert_valid(mixture, 5, 3)
        assert (mixture.means > rows.min(axis=0)).all()
        assert (mixture.means < rows.max(axis=0)).all()


@pytest.mark.parametrize("init_params", INITS)
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_components_of_a_start_are_as_wide_as_their_parts_even_where_those_are_single_rows(
    covariance_type, init_params
):
    rows = example(n=60)
    sample, options = in_memory(rows, None), SeedOptions(20, covariance_type, init_params)
    widest = {"random": 1.4, "random_from_data": 0.7}.get(init_params, 0.35)  # deviations of all rows
    for seed in range(4):
        mixture = start(sample, options, seed)
        variances = mixture.structure.layout.variances(mixture.covariances, mixture.means.shape) / rows.var(axis=0)
        assert variances.min() > 1e-3
        assert np.sqrt(variances.max(axis=0)).mean() < widest


@pytest.mark.parametrize("init_params", INITS)
def test_the_same_seed_gives_the_same_trial_and_another_seed_another_start(init_params):
    sample, options = in_memory(example(), None), SeedOptions(3, init_params=init_params)
    one, again = restart(sample, options, 7), restart(sample, options, 7)
    assert one.history == again.history
    np.testing.assert_array_equal(one.mixture.means, again.mixture.means)
    starts = [start(sample, options, seed).means for seed in range(8)]
    assert any(not np.array_equal(starts[0], other) for other in starts[1:])


@pytest.mark.parametrize("init_params", INITS)
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_more_components_than_distinct_rows_are_fitted_with_reg_covar(covariance_type, init_params):
    rows = np.repeat(np.array([[0.0, 1], [2, 3], [5, 1]]), 10, axis=0)
    sample, em = on_floor(rows)
    for seed in range(4):
        trial = restart(sample, SeedOptions(5, covariance_type, init_params, em=em), seed)
        assert isinstance(trial, Trial)
        assert trial.stop is StopReason.CONVERGED
        assert np.isfinite(trial.history).all()
        np.testing.assert_allclose(trial.mixture.weights @ trial.mixture.means, rows.mean(axis=0), rtol=1e-6)


def test_restarts_on_several_threads_neither_warn_nor_change_the_warning_filters():
    """As the threaded scheduler runs them; warnings.catch_warnings changes the filters of all threads."""
    rows = np.repeat(np.array([[0.0, 1], [2, 3], [5, 1]]), 10, axis=0)
    (sample, em), before = on_floor(rows), list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        trials = list(pool.map(partial(restart, sample, SeedOptions(5, em=em)), range(40)))
    assert all(isinstance(trial, Trial) for trial in trials)
    assert warnings.filters == before


@pytest.mark.parametrize("init_params", INITS)
@pytest.mark.parametrize("d", [1, 3])
def test_rows_that_are_all_the_same_are_fitted_with_reg_covar(d, init_params):
    for value in (0.0, 3.7, 1e8 + 0.1):
        sample, em = on_floor(np.full((20, d), value))
        for seed in range(4):
            trial = restart(sample, SeedOptions(2, "full", init_params, em=em), seed)
            np.testing.assert_allclose(trial.mixture.means, value, rtol=1e-12)


@pytest.mark.parametrize("init_params", INITS)
def test_as_many_components_as_rows_are_fitted_with_reg_covar(init_params):
    sample, em = on_floor(example(n=4))
    trial = restart(sample, SeedOptions(4, "full", init_params, em=em), 0)
    assert np.isfinite(trial.history).all()


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_given_parameters_are_those_of_the_start(covariance_type):
    rows = example()
    parameters = oracles.random_parameters(covariance_type, 3, 2, seed=9)
    sample = in_memory(rows, None)
    for given in (
        Given(weights=parameters.weights),
        Given(means=parameters.means),
        Given(covariances=parameters.covariances),
        Given(*parameters[1:]),
    ):
        mixture = start(sample, SeedOptions(3, covariance_type, given=given), 0)
        assert_valid(mixture, 3, 2)
        for name, value in vars(given).items():
            if value is not None:
                np.testing.assert_array_equal(getattr(mixture, name), value)


def test_parts_are_of_the_nearest_given_mean():
    rows = np.concatenate([np.random.default_rng(0).normal(size=(100, 2)) + at for at in ([0, 0], [20, 0], [0, 20])])
    means = np.array([[19.0, 1.0], [1.0, 19.0], [1.0, 1.0]])
    mixture = start(in_memory(rows, None), SeedOptions(3, "diag", given=Given(means=means)), 0)
    np.testing.assert_allclose(mixture.weights, 1 / 3, atol=1e-12)
    assert mixture.covariances.max() < 2.5


@pytest.mark.parametrize("n", [1, 4095, 4096, 9000])
def test_nearest_is_the_nearest(n):
    rng = np.random.default_rng(n)
    points, centres = rng.normal(size=(n, 3)), rng.normal(size=(7, 3))
    distances = np.linalg.norm(points[:, None] - centres, axis=2)
    np.testing.assert_array_equal(nearest(points, centres), distances.argmin(axis=1))


def test_whitened_points_have_unit_covariance_and_no_null_axis():
    rows = example(d=3)
    wide = np.column_stack([rows, rows @ [1.0, -2.0, 0.5], np.full(len(rows), 3.0)])
    sample = in_memory(wide, None)
    white = whiten(sample.data_summary.frame.to_z(wide), sample.data_summary.total_covariance)
    assert white.shape == (len(rows), 3)
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(3), atol=1e-8)


UNITS = [np.array([1e-6, 1e6]), np.array([1e6, 1.0]), np.array([3e-4, 7e5]), np.array([1e-6, 1e-6])]


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("init_params", INITS)
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_the_unit_of_a_column_does_not_change_the_fit(covariance_type, init_params, units):
    assert_unit_invariant(SeedOptions(3, covariance_type, init_params), units)


@pytest.mark.parametrize("unit", [1e-6, 3e-3, 1e6])
def test_a_unit_common_to_all_columns_does_not_change_a_spherical_fit(unit):
    assert_unit_invariant(SeedOptions(3, "spherical"), np.array([unit, unit]))


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_unit_does_not_change_the_fit_beside_a_constant_column(covariance_type, unit):
    rows = np.column_stack([example(), np.full(400, 5.0)])
    assert_unit_invariant(SeedOptions(3, covariance_type), np.full(3, unit), rows, (0, 1))


def assert_unit_invariant(options, units, rows=None, columns=(0, 1)):
    rows = example() if rows is None else rows
    samples = [on_floor(one) for one in (rows, rows * units)]
    here, there = (restart(sample, replace(options, em=em), 0).mixture for sample, em in samples)
    np.testing.assert_allclose(there.weights, here.weights, rtol=1e-6)
    columns = list(columns)
    deviations = rows[:, columns].std(axis=0)
    np.testing.assert_allclose(
        (there.means / units - here.means)[:, columns] / deviations, 0, atol=1e-6, err_msg="means, in deviations"
    )
    # Not their covariances' last digits, but their labels.
    labels = [
        oracles.joint_log_prob(one[::10], mixture).argmax(axis=1)
        for one, mixture in ((rows, here), (rows * units, there))
    ]
    np.testing.assert_array_equal(*labels)


@pytest.mark.parametrize("init_params", INITS)
def test_moves_lead_away_from_the_one_gaussian_fit_of_many_rows(faithful, init_params):
    """As many rows as the smallest sample has; sums over so many make all random parts alike."""
    model, first = ModelOptions(3, "tied"), summarise_rows(faithful)
    by_means = FitOptions(init_params="kmeans").seed_options(model, first)
    fitted = rank([restart(in_memory(faithful, None), by_means, seed) for seed in range(4)])[0].mixture
    options = FitOptions(init_params=init_params).seed_options(model, first)
    rows, _ = fitted.sample(50_000, np.random.default_rng(1))
    sample = in_memory(rows, None)
    one = restart(sample, SeedOptions(1, "tied"), 0).history[-1]
    best = split_merge(sample, options, [restart(sample, options, 2).mixture])[0]
    assert best.history[-1] > one + 0.1


def test_ranked_puts_the_best_first_and_keeps_the_order_of_equals():
    mixture = Mixture(*oracles.random_parameters("full", 2, 2))
    trials = [Trial(mixture, history=(level,)) for level in (-3.0, -2.0, -5.0, -2.0)]
    failure = SingularCovarianceError("no")
    assert [id(one) for one in rank([trials[0], failure, *trials[1:]])] == [id(trials[i]) for i in (1, 3, 0, 2)]


def test_ranked_raises_the_first_failure_where_all_failed():
    with pytest.raises(SingularCovarianceError, match="first"):
        rank([SingularCovarianceError("first"), SingularCovarianceError("second")])


def test_a_restart_that_collapses_stops_there_and_names_the_remedy():
    rows = np.repeat(np.array([[0.0, 1], [2, 3], [5, 1]]), 10, axis=0)
    trial = restart(in_memory(rows, None), SeedOptions(3, em=EMOptions()), 0)
    assert trial.stop is StopReason.COLLAPSED
    assert "increase reg_covar" in trial.stop.value


def test_refining_goes_on_from_a_mixture():
    sample, options = in_memory(example(), None), SeedOptions(3, em=EMOptions(tol=1e-3))
    trial = restart(sample, options, 0)
    refined = run_em_on_sample(sample, SeedOptions(3, em=EMOptions(tol=1e-8, max_iter=1000)), trial.mixture)
    assert refined.history[0] == pytest.approx(trial.history[-1], rel=1e-13)
    assert refined.history[-1] >= trial.history[-1]


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
@pytest.mark.parametrize("weighted", [False, True])
def test_em_on_few_rows_ends_at_the_limit_of_the_accelerated_loop(covariance_type, weighted):
    """Few rows begin with compiled plain steps."""
    rows = example(300, 3, spread=2.0, covariance_type=covariance_type)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(rows)) if weighted else None
    sample = in_memory(rows, weights)
    em = EMOptions(tol=1e-11, max_iter=5000, floor=Floor.of(sample.data_summary, DEFAULT_REG_COVAR), accelerate=True)
    options = SeedOptions(3, covariance_type, em=em)
    begin = start(sample, options, 0)
    found = run_em_on_sample(sample, options, begin)
    expected = iterate(State(sample.data_summary, (Trial(begin),)), sample, em).best
    assert (found.stop, expected.stop) == (StopReason.CONVERGED, StopReason.CONVERGED)
    assert len(found.history) > len(expected.history)
    assert (np.diff(found.history) >= 0).all()
    assert found.history[0] == pytest.approx(expected.history[0], rel=1e-12)
    assert found.history[-1] == pytest.approx(expected.history[-1], abs=1e-9)
    oracles.assert_agree(found.mixture, expected.mixture, 1e-4)


def test_the_first_stage_is_the_first_quarter_of_a_large_sample_with_its_own_summary():
    rows = np.random.default_rng(0).normal(size=(200_000, 2))
    row_weights = np.random.default_rng(1).uniform(size=200_000)
    first = first_stage(in_memory(rows, row_weights, np.float32))
    assert len(first.rows) == len(first.row_weights) == 50_000
    np.testing.assert_array_equal(first.rows, rows[:50_000])
    assert first.data_summary.n_rows == 50_000
    assert first.dtype == np.float32


def test_the_heat_of_a_small_sample_is_all_of_it():
    sample = in_memory(example(), None)
    assert first_stage(sample) is sample


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
@pytest.mark.parametrize(("k", "d"), [(1, 1), (8, 3), (100, 32), (16, 128), (1000, 1000)])
def test_a_sample_has_twenty_rows_for_each_parameter_within_bounds(covariance_type, k, d):
    size = sample_size(k, d, covariance_type)
    n_parameters = k - 1 + k * d + STRUCTURES[covariance_type].n_parameters(k, d)
    assert 50_000 <= size <= max(200_000, 2**24 // d)
    assert size >= min(20 * n_parameters, 200_000)


@pytest.mark.parametrize("covariance_type", ["diag", "spherical", "tied"])
def test_a_sample_of_very_many_features_is_bounded_in_memory(covariance_type):
    assert sample_size(10, 1342, covariance_type) == 200_000
    assert sample_size(10, 4096, covariance_type) * 4096 == 2**28
    assert sample_size(1000, 2**24, covariance_type) >= 1000


def test_a_sample_of_very_many_features_has_the_rows_that_dense_covariances_need():
    assert sample_size(10, 4096, "full") == 200_000
    assert sample_size(2, 4096, "full") == 20 * 2 * 4097


def test_the_width_of_a_column_is_that_within_its_modes():
    rng, n = np.random.default_rng(0), 3000
    modes = rng.normal(size=(n, 3)) + np.array([[0, 0, 0], [0, 20, 20], [0, 20, 45]])[np.arange(n) % 3]
    np.testing.assert_allclose(mode_widths(modes), [1, 1, 1], rtol=0.05)
    one = np.column_stack([rng.uniform(size=n), rng.exponential(size=n), np.ones(n)])
    np.testing.assert_allclose(mode_widths(one), [*one[:, :2].std(axis=0), 1.0])
    assert mode_widths(np.array([[3.0, 1.0]])).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_groups_that_one_of_many_columns_tells_apart_are_found(covariance_type):
    rng = np.random.default_rng(0)
    rows, label = rng.normal(size=(150, 30)), np.arange(150) // 100
    rows[:, 7] += 20 * label
    sample, em = on_floor(rows, tol=1e-6)
    for seed in (0, 1):
        trial = restart(sample, SeedOptions(2, covariance_type, em=em), seed)
        np.testing.assert_allclose(np.sort(trial.mixture.weights), [1 / 3, 2 / 3], atol=1e-6)
