"""EM of mixtures whose components have some of volume, shape and orientation in common."""

import numpy as np
import pytest

from daskgmm.core.em.loop import EMOptions, State, StopReason, Trial, iterate
from daskgmm.core.em.m_step import maximize
from daskgmm.core.init.starts import SeedOptions, in_memory, restart, start
from daskgmm.core.mixture.covariance import FAMILIES, STRUCTURES
from daskgmm.core.mixture.floor import DEFAULT_REG_COVAR, Floor
from daskgmm.core.mixture.mixture import Mixture, project
from tests import oracles


def example(seed=0, n=240, d=3):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(3, d, d))
    labels = rng.integers(3, size=n)
    rows = rng.normal(size=(n, d))
    rows = np.einsum("nij,nj->ni", maps[labels], rows) + 2.5 * rng.normal(size=(3, d))[labels]
    return rows * np.array([1.0, 20.0, 0.05])[:d], rng.uniform(0, 2, n)


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_objective_never_falls_and_the_limit_is_of_the_family(name, accelerate):
    rows, row_weights = example()
    sample = in_memory(rows, row_weights)
    floor = Floor.of(sample.data_summary, DEFAULT_REG_COVAR)
    first = start(sample, SeedOptions(4, name, em=EMOptions(floor=floor)), 0)
    options = EMOptions(tol=1e-6, max_iter=60, floor=floor, accelerate=accelerate)
    trial = iterate(State(sample.data_summary, (Trial(first),)), sample, options).best
    assert (np.diff(trial.history) >= 0).all()
    assert trial.history[-1] > trial.history[0]
    np.testing.assert_allclose(project(trial.mixture).covariances, trial.mixture.covariances, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", FAMILIES)
def test_plain_steps_of_em_never_lower_the_log_likelihood_with_components_on_the_floor(name):
    """No step is taken back here, as the loop would: rows on few places, under a wide floor."""
    rng = np.random.default_rng(1)
    rows = np.concatenate([np.repeat(rng.normal(size=(3, 2)), 4, axis=0), rng.normal(size=(60, 2))])
    sample = in_memory(rows, None)
    floor, levels = Floor.of(sample.data_summary, 1e-3), []
    mixture = start(sample, SeedOptions(6, name, em=EMOptions(floor=floor)), 2)
    for _ in range(25):
        (statistics,) = sample((mixture,))
        levels.append(statistics.mean_log_likelihood)
        mixture = maximize(mixture, statistics, sample.data_summary, floor)
    assert (np.diff(levels) > -1e-7).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_gives_the_estimate_from_the_weighted_covariances_of_the_components(name):
    rows, row_weights = example(seed=2)
    sample = in_memory(rows, row_weights)
    mixture = start(sample, SeedOptions(3, name), 0)
    (statistics,) = sample((mixture,))
    ours = maximize(mixture, statistics, sample.data_summary)
    dense = oracles.Parameters("full", mixture.weights, mixture.means, mixture.matrices().dense)
    true = oracles.step(rows, row_weights, dense).parameters
    counts, own = np.asarray(true.weights, float), np.asarray(true.covariances, float)
    family = STRUCTURES[name]
    if not family.layout.stacked:
        own = np.tensordot(counts, own, axes=1)
    elif not family.layout.dense:
        own = np.diagonal(own, axis1=1, axis2=2)
        own = own if len(family.layout.axes) == 2 else own.mean(axis=1)
    expected = family.estimate(counts, own, mixture.covariances)
    np.testing.assert_allclose(ours.weights, counts, rtol=1e-9)
    np.testing.assert_allclose(ours.means, np.asarray(true.means, float), rtol=1e-8, atol=1e-8)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours.covariances, expected, rtol=1e-6, atol=1e-9 * scale)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_empty_component_stays_out_of_what_the_others_have_in_common(name):
    rows, _ = example(seed=3)
    sample = in_memory(rows, None)
    both = start(sample, SeedOptions(2, name), 0)
    stacked = STRUCTURES[name].layout.stacked
    covariances = np.concatenate([both.covariances, both.covariances[:1]]) if stacked else both.covariances
    mixture = Mixture(name, np.append(both.weights, 0.0), np.vstack([both.means, 1e3 * both.means[:1]]), covariances)
    (statistics,), (alone,) = sample((mixture,)), sample((both,))
    ours, theirs = (
        maximize(*one, sample.data_summary, Floor.of(sample.data_summary, 1e-12))
        for one in ((mixture, statistics), (both, alone))
    )
    assert ours.empty == (2,)
    own = ours.covariances[:2] if stacked else ours.covariances
    np.testing.assert_allclose(own, theirs.covariances, rtol=1e-6, atol=1e-9 * np.abs(own).max())


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_constant_column_and_a_copy_are_fitted_above_the_floor(name):
    rows, _ = example(seed=4)
    rows = np.column_stack([rows[:, :2], np.full(len(rows), 7.0), rows[:, 0]])
    sample = in_memory(rows, None)
    floor = Floor.of(sample.data_summary, 1e-6)
    options = SeedOptions(2, name, in_parts=False, em=EMOptions(1e-4, 50, floor, accelerate=True))
    trial = restart(sample, options, 0)
    assert isinstance(trial, Trial)
    assert trial.stop is not StopReason.COLLAPSED
    assert np.isfinite(trial.history).all()
