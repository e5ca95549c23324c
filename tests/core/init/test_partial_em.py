"""Exchanges that are tried by EM of the components near them alone."""

import tracemalloc
from dataclasses import replace
from threading import get_ident

import numpy as np
import pytest

from daskgmm import concurrency
from daskgmm.concurrency import helped_slot
from daskgmm.core.em.loop import EMOptions, State, Trial, iterate
from daskgmm.core.em.priors import MaximumAPosteriori, PriorValues
from daskgmm.core.em.short_runs import run_short
from daskgmm.core.init import partial_em
from daskgmm.core.init.many_components import bytes_of_exchanges
from daskgmm.core.init.partial_em import bytes_of_partial_em, can_improve, improve_exchanges, run_partial_em
from daskgmm.core.init.responsibilities import Responsibilities
from daskgmm.core.init.split_merge import split_merge
from daskgmm.core.init.starts import SeedOptions, in_memory
from daskgmm.core.mixture.degenerate import overfit
from daskgmm.core.mixture.floor import Floor
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.errors import SingularCovarianceError
from tests.core.init.test_many_components import gain_of
from tests.core.init.test_split_merge import EM

CENTRES = np.array([[0.0, 0.0], [20.0, 0.0], [26.0, 0.0], [0.0, 20.0], [20.0, 20.0], [26.0, 20.0]])


def row_of_clusters(covariance_type="full", weighted=False):
    """Return 30,000 rows of six clusters, and where EM is stuck with two components on each of two of them."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.concatenate([rng.normal(centre, 1, (5_000, 2)) for centre in CENTRES]))
    weights = rng.uniform(0.5, 1.5, len(rows)) if weighted else None
    means = np.array([[-0.5, 0], [0.5, 0], [23, 0], [-0.5, 20], [0.5, 20], [23, 20]])
    variances = np.array([[1.0, 1.0], [1.0, 1.0], [10.0, 1.0]] * 2)
    covariances = {"full": np.array(list(map(np.diag, variances))), "diag": variances}[covariance_type]
    mixture = Mixture(covariance_type, np.array([1, 1, 4, 1, 1, 4]) / 12, means, covariances)
    sample = in_memory(rows, weights)
    return sample, iterate(State(sample.data_summary, (Trial(mixture),)), sample, EM).best.mixture


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_what_is_gained_is_the_gain_of_the_whole_mixture(covariance_type, weighted):
    sample, mixture = row_of_clusters(covariance_type, weighted)
    found = Responsibilities.of(sample, mixture)
    components = (0, 1, 2)
    right = Mixture(covariance_type, np.full(3, 1 / 3), CENTRES[:3], mixture.covariances[[0, 0, 0]])
    run = run_partial_em(found, components, right, EMOptions(0, 6, EM.floor), 1e-3, None)
    assert run.gain > 0.1
    assert run.gain == pytest.approx(
        gain_of(sample, mixture, mixture.replace([(components, run.replacement)])), rel=1e-3
    )
    few = run_partial_em(found, components, right, EMOptions(0, 6, EM.floor), 0.05, 3_000)
    assert few.gain == pytest.approx(run.gain, rel=0.05)
    np.testing.assert_allclose(few.replacement.means, run.replacement.means, atol=0.1)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_exchanges_of_different_components_are_made_together_and_the_best_alone(covariance_type):
    sample, mixture = row_of_clusters(covariance_type)
    options, known = SeedOptions(6, covariance_type, em=EM), []
    together, alone = improve_exchanges(sample, options, mixture, known, 1e-3)
    found = together.means[np.lexsort((together.means[:, 0].round(), together.means[:, 1].round()))]
    np.testing.assert_allclose(found, CENTRES, atol=0.2)
    assert gain_of(sample, mixture, together) > gain_of(sample, mixture, alone) > 0.1
    assert len(known) == 6
    assert improve_exchanges(sample, options, together, known, 1e-3) == []


def test_components_that_are_all_of_a_mixture_take_the_steps_of_its_em():
    sample, mixture = row_of_clusters()
    few = mixture.take([0, 1, 2])
    moved = replace(few, means=few.means + np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 0.0]]))
    run = run_partial_em(Responsibilities.of(sample, few), (0, 1, 2), moved, EMOptions(0, 12, EM.floor), 1e-3, None)
    whole = run_short(sample, [moved], EMOptions(0, 12, EM.floor), [12])[0]
    np.testing.assert_allclose(run.replacement.means, whole.mixture.means, atol=1e-6)
    assert run.gain == pytest.approx(gain_of(sample, few, whole.mixture), rel=1e-6)


def test_an_exchange_that_leaves_a_component_without_rows_is_none():
    sample, mixture = row_of_clusters()
    found = Responsibilities.of(sample, mixture)
    away = mixture.take([0, 1, 2])
    away = replace(away, means=away.means + np.array([[0.0, 0.0], [500.0, 500.0], [0.0, 0.0]]))
    with pytest.raises(SingularCovarianceError, match="too few rows"):
        run_partial_em(found, (0, 1, 2), away, EMOptions(0, 6, EM.floor), 1e-3, None)
    empty = replace(mixture, weights=np.array([2.0, 0.0, 4.0, 1.0, 1.0, 4.0]) / 12)  # one that has no rows before
    run = run_partial_em(Responsibilities.of(sample, empty), (0, 1, 2), away, EMOptions(0, 6, EM.floor), 1e-3, None)
    assert run.replacement.empty == (1,)


def test_what_components_of_few_rows_fit_of_their_noise_is_no_gain():
    sample, mixture = row_of_clusters()
    found = Responsibilities.of(sample, mixture)
    few = Mixture("full", np.array([0.4992, 0.5, 0.0008]), mixture.means[:3], 0.3 * mixture.covariances[:3])
    run = run_partial_em(found, (0, 1, 2), few, EMOptions(0, 0, EM.floor), 1e-3, None)
    gained = gain_of(sample, mixture, mixture.replace([((0, 1, 2), run.replacement)]))
    flattered = overfit(run.replacement, 15_000, EM.floor)[0] / 2
    assert flattered > 1e-5
    assert run.gain == pytest.approx(gained - flattered, rel=1e-5)


def test_rows_far_from_all_other_components_are_not_lost_to_them():
    sample, mixture = row_of_clusters()
    rows = np.concatenate([sample.rows, [[500.0, 0.0], [500.0, 1.0], [501.0, 0.0]]])
    sample = in_memory(rows, None)
    wide = np.array([[4e4, 0.0], [0.0, 1.0]])  # alone has these rows
    means = np.concatenate([mixture.means[:2], [[250.0, 0.0]], mixture.means[3:]])
    covariances = np.concatenate([mixture.covariances[:2], [wide], mixture.covariances[3:]])
    found = Responsibilities.of(sample, Mixture("full", mixture.weights, means, covariances))
    narrow = found.mixture.take([0, 1, 2])
    narrow = replace(narrow, covariances=np.repeat(np.eye(2)[None], 3, axis=0), means=CENTRES[:3])
    run = run_partial_em(found, (0, 1, 2), narrow, EMOptions(0, 3, EM.floor), 1e-3, None)
    better = found.mixture.replace([((0, 1, 2), run.replacement)])
    assert run.gain == pytest.approx(gain_of(sample, found.mixture, better), rel=1e-3)
    lost = gain_of(sample, found.mixture, found.mixture.replace([((0, 1, 2), narrow)]))
    assert found.gain((0, 1, 2), narrow) == pytest.approx(lost, rel=1e-3)  # not 690 nats for each row at most


@pytest.mark.parametrize("n_threads", [1, 3])
def test_exchanges_of_wide_rows_are_tried_in_the_memory_that_is_planned(n_threads):
    rng, n, d = np.random.default_rng(0), 21_000, 60
    means = 0.3 * rng.normal(size=(4, d))
    sample = in_memory(means[rng.integers(4, size=n)] + rng.normal(size=(n, d)), None)
    mixture = Mixture("diag", np.full(4, 0.25), means, np.ones((4, d)))
    options = SeedOptions(4, "diag", em=replace(EM, floor=Floor.of(sample.data_summary, 1e-6, dense=False)))
    improve_exchanges(sample, options, mixture, [], 1e-9)  # so that kernels are compiled or loaded before
    tracemalloc.start()
    with helped_slot(n_threads):
        improve_exchanges(sample, options, mixture, [], 1e-9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= bytes_of_exchanges(n, 4) + bytes_of_partial_em(n, 4, d, "diag", n_threads) <= 2.5 * peak


def test_threads_that_help_change_no_bit(monkeypatch):
    rng, n, d = np.random.default_rng(0), 21_000, 8
    means = 2 * rng.normal(size=(5, d))
    sample = in_memory(means[rng.integers(5, size=n)] + rng.normal(size=(n, d)), None)
    mixture = Mixture("full", np.full(5, 0.2), means[[0, 0, 1, 2, 3]] + 0.1, np.tile(np.eye(d), (5, 1, 1)))
    options, threads = SeedOptions(5, em=replace(EM, floor=Floor.of(sample.data_summary, 1e-6))), set()

    def run(*arguments):
        threads.add(get_ident())
        return run_partial_em(*arguments)

    monkeypatch.setattr(partial_em, "run_partial_em", run)
    monkeypatch.setattr(concurrency, "_MIN_WORK", 0)  # so that halves are made by several threads too
    alone = improve_exchanges(sample, options, mixture, [], 1e-9)
    assert threads == {get_ident()}
    with helped_slot(3):
        helped = improve_exchanges(sample, options, mixture, [], 1e-9)
    assert len(threads) > 2
    for one, other in zip(alone, helped, strict=True):
        np.testing.assert_array_equal(one.means, other.means)
        np.testing.assert_array_equal(one.covariances, other.covariances)


def test_moves_lead_from_there_to_the_clusters():
    sample, mixture = row_of_clusters()
    trial = split_merge(sample, SeedOptions(6, em=EM), [mixture])[0]
    found = trial.mixture.means[np.lexsort((trial.mixture.means[:, 0].round(), trial.mixture.means[:, 1].round()))]
    np.testing.assert_allclose(found, CENTRES, atol=0.2)


def test_few_rows_shared_covariances_and_priors_take_other_ways():
    sample, mixture = row_of_clusters()
    options = SeedOptions(6, em=EM)
    assert can_improve(sample, mixture, options)
    assert not can_improve(in_memory(sample.rows[:20_000], None), mixture, options)
    assert not can_improve(sample, mixture.take([0, 1]), options)
    tied = Mixture("tied", mixture.weights, mixture.means, mixture.covariances[0])
    assert not can_improve(sample, tied, options)
    prior = MaximumAPosteriori(PriorValues(sample.data_summary))
    assert not can_improve(sample, mixture, replace(options, em=replace(EM, inference=prior)))
