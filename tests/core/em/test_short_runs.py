"""Short runs of EM as compiled calls."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from daskgmm.core.em.loop import EMOptions, State, StopReason, Trial, iterate
from daskgmm.core.em.priors import MaximumAPosteriori, PriorValues
from daskgmm.core.em.short_runs import bytes_of_short_runs, can_run, run_short
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.floor import Floor
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.errors import SingularCovarianceError
from tests import oracles


def problem(covariance_type, d, n=300, k=3):
    """Return weighted rows in columns of very different scales far from 0, and a start."""
    scale = 10.0 ** np.linspace(-3, 3, d) if covariance_type != "spherical" else np.full(d, 1e3)
    parameters = oracles.random_parameters(covariance_type, k, d, seed=d, spread=1.0)
    rows = oracles.draw(parameters, n, seed=1)[0] * scale + 5 * scale
    weights = np.random.default_rng(0).uniform(0, 2, n)
    weights[::7] = 0
    factors = {"full": np.outer(scale, scale), "tied": np.outer(scale, scale), "diag": scale**2, "spherical": 1e6}
    covariances = 1.5 * parameters.covariances * factors[covariance_type]
    start = Mixture(covariance_type, np.full(k, 1 / k), parameters.means * scale + 5 * scale, covariances)
    return in_memory(rows, weights), start


@pytest.mark.parametrize("d", [1, 2, 18])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_steps_are_those_of_the_naive_em(covariance_type, d):
    sample, start = problem(covariance_type, d)
    trial = run_short(sample, [start], EMOptions(0, 4, None), [1, 3])[0]
    parameters = oracles.Parameters(covariance_type, start.weights, start.means, start.covariances)
    levels = []
    for _ in trial.history:
        done = oracles.step(sample.rows, sample.row_weights, parameters)
        levels.append(done.log_likelihood / sample.row_weights.sum())
        last, parameters = parameters, done.parameters
    np.testing.assert_allclose(trial.history, levels, rtol=1e-10)
    oracles.assert_agree(trial.mixture, last, rtol=1e-8)
    assert len(trial.history) > 2


@pytest.mark.parametrize("d", [1, 2, 18])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_rows_in_float32_give_about_the_same_steps(covariance_type, d):
    sample, start = problem(covariance_type, d)
    coarse, fine = (
        run_short(replace(sample, dtype=dtype), [start], EMOptions(0, 4, None), [4])[0]
        for dtype in (np.float32, np.float64)
    )
    n = len(coarse.history)  # which ends where gains are its rounding
    np.testing.assert_allclose(coarse.history, fine.history[:n], rtol=2e-6)
    assert coarse.history != fine.history[:n]
    oracles.assert_agree(coarse.mixture, oracles.Parameters(covariance_type, *parameters_of(fine.mixture)), rtol=1e-4)


def parameters_of(mixture):
    return mixture.weights, mixture.means, mixture.covariances


def test_narrow_components_far_from_the_centre_are_computed_in_float64():
    rng = np.random.default_rng(0)
    means = np.array([[-1.0, 0.0], [1.0, 0.0]])
    for width, same in ((3e-3, False), (3e-4, True)):
        rows = np.concatenate([mean + width * rng.normal(size=(500, 2)) for mean in means])
        start = Mixture("full", np.full(2, 0.5), means + width / 2, np.array([width**2 * np.eye(2)] * 2))
        sample = in_memory(rows, None)
        coarse, fine = (
            run_short(replace(sample, dtype=dtype), [start], EMOptions(0, 1, None), [1])[0]
            for dtype in (np.float32, np.float64)
        )
        assert (coarse.history == fine.history) == same
        np.testing.assert_allclose(coarse.mixture.means, fine.mixture.means, atol=1e-3 * width)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_floor_binds_as_in_the_loop(covariance_type):
    sample, start = problem(covariance_type, 3)
    em = EMOptions(1e-12, 12, Floor.of(sample.data_summary, 0.5))
    trial, loop = (
        run_short(sample, [start], em, [12])[0],
        iterate(State(sample.data_summary, (Trial(start),)), sample, em).best,
    )
    n = min(len(trial.history), len(loop.history))
    np.testing.assert_allclose(trial.history[:n], loop.history[:n], rtol=1e-9)
    assert (np.diff(trial.history) >= 0).all()


def test_a_run_that_converges_stops_and_says_so():
    sample, start = problem("full", 2)
    trial = run_short(sample, [start], EMOptions(1e-3, 500, None), [500])[0]
    assert trial.stop is StopReason.CONVERGED
    assert len(trial.history) < 400
    far = run_short(sample, [start], EMOptions(1e-12, 2000, None), [2000])[0]
    assert far.history[-1] - trial.history[-1] < 1e-2


def test_the_worse_half_is_given_up():
    sample, start = problem("full", 2)
    spread = sample.data_summary.frame.scale
    others = [Mixture("full", start.weights, start.means + shift * spread, start.covariances) for shift in (5, 0, 9, 2)]
    trials = run_short(sample, others, EMOptions(0, 50, None), [1, 2, 3])
    assert [len(one.history) for one in trials] == [2, 7, 2, 4]


def test_starts_that_are_singular_are_left_out():
    sample, start = problem("full", 2)
    singular = Mixture("full", start.weights, start.means, np.zeros_like(start.covariances))
    assert len(run_short(sample, [singular, start], EMOptions(0, 2, None), [2])) == 1
    with pytest.raises(SingularCovarianceError, match="component 0"):
        run_short(sample, [singular], EMOptions(0, 2, None), [2])


def test_a_component_without_rows_stays_where_it_is():
    sample, start = problem("full", 2)
    means = start.means.copy()
    means[1] += 1e6 * sample.data_summary.frame.scale
    trial = run_short(sample, [Mixture("full", start.weights, means, start.covariances)], EMOptions(0, 5, None), [5])[0]
    assert trial.mixture.empty == (1,)
    np.testing.assert_allclose(trial.mixture.means[1], means[1])


@pytest.mark.parametrize("name", ["full", "tied", "EII", "EEI", "VEE", "EVI"])
def test_families_with_parts_in_common_take_the_loop(name):
    sample, _ = problem("full", 2)
    mixture = Mixture(name, np.ones(1), np.zeros((1, 2)), np.ones((1, 2)))
    assert can_run(sample, mixture, EMOptions()) == (name not in ("VEE", "EVI"))


def test_an_objective_other_than_the_likelihood_takes_the_loop():
    sample, start = problem("full", 2)
    assert not can_run(sample, start, EMOptions(inference=MaximumAPosteriori(PriorValues(sample.data_summary))))


def test_rows_of_which_values_are_missing_take_the_loop():
    rows = np.random.default_rng(0).normal(size=(50, 2))
    rows[3, 1] = np.nan
    assert not can_run(in_memory(rows, None), problem("full", 2)[1], EMOptions())


@pytest.mark.parametrize("d", [1, 2, 18])
@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_beside_a_background_steps_are_those_of_a_mixture_of_which_one_component_stays(covariance_type, d):
    sample, start = problem(covariance_type, d)
    stays, moving = (
        oracles.Parameters(covariance_type, one.weights, one.means, one.covariances)
        for one in (start.take([0]), start.take([1, 2]))
    )
    background = np.log(0.3 / 0.7) + oracles.joint_log_prob(sample.rows, stays)[:, 0]
    trial = run_short(sample, [start.take([1, 2])], EMOptions(0, 4, None), [4], background)[0]
    levels = []
    for _ in trial.history:
        joint = np.column_stack([oracles.joint_log_prob(sample.rows, moving), background])
        log_prob = np.array([oracles.log_sum_exp(one) for one in joint])
        levels.append(np.average(log_prob, weights=sample.row_weights))
        last, resp = moving, np.exp(joint - log_prob[:, None])[:, :2]
        moving = oracles.m_step(sample.rows, sample.row_weights, resp, covariance_type)
        moving = moving._replace(weights=moving.weights / moving.weights.sum())
    np.testing.assert_allclose(trial.history, levels, rtol=1e-9)
    oracles.assert_agree(trial.mixture, last, rtol=1e-7)
    assert len(trial.history) > 2


def test_components_that_a_background_leaves_no_row_keep_their_parameters():
    sample, start = problem("full", 2)
    (trial,) = run_short(sample, [start], EMOptions(0, 4, None), [4], np.full(len(sample.rows), 1e3))
    np.testing.assert_allclose(trial.mixture.weights, start.weights)
    np.testing.assert_allclose(trial.mixture.means, start.means)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "d"), [(21_000, 6), (385, 600), (200, 2000), (100, 3000)])
def test_rows_take_no_more_memory_than_is_planned(n, d, dtype):
    rows = np.random.default_rng(0).normal(size=(n, d))
    sample = replace(in_memory(rows, np.ones(n)), dtype=dtype)
    start = Mixture("spherical", np.ones(1), np.zeros((1, d)), np.ones(1))
    em, background, every = EMOptions(0, 1, None), np.zeros(n), np.arange(n)
    run_short(sample, [start], em, [1], background)  # so that the kernel is compiled or loaded before
    tracemalloc.start()
    run_short(sample.take(every), [start], em, [1], background)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    of_the_run = 100 * 8 * (d + 1)  # a mixture and its sums
    assert peak <= bytes_of_short_runs(n, d) + of_the_run
