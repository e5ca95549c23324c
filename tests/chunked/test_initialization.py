"""Restarts on the sample."""

from dataclasses import dataclass, field, replace
from threading import Lock

import dask
import numpy as np
import pytest
from dask.callbacks import Callback
from dask.delayed import delayed
from dask.utils import key_split

from daskgmm import GaussianMixture
from daskgmm.chunked.data_summary import summarise_and_sample
from daskgmm.chunked.initialization import run_restarts
from daskgmm.chunked.rows import Rows
from daskgmm.concurrency import COMPUTE_THREADS
from daskgmm.core.em.e_step import Expectation
from daskgmm.core.em.loop import EMOptions
from daskgmm.core.init.starts import SeedOptions
from daskgmm.errors import SingularCovarianceError
from tests import oracles


def sample_of(array, size=10_000, seed=0):
    return summarise_and_sample(Rows.of_memory(array, chunk_bytes=2048), size, seed)[1]


@pytest.fixture(scope="module")
def sample():
    return sample_of(oracles.draw(oracles.random_parameters("full", 3, 2, seed=1), 600)[0])


def score(sample, mixture):
    return sample.compute()((mixture,))[0].mean_log_likelihood


@pytest.mark.parametrize("n_finalists", [1, 2, 4])
def test_finalists_are_restarts_refined_best_first(sample, n_finalists):
    """On a sample that is one stage, so that refining one of them does not depend on the others."""

    def finalists(n):
        em = EMOptions(tol=1e-3, max_iter=500)
        return run_restarts(
            sample, SeedOptions(3, "full", "random_from_data", n_init=4, n_finalists=n, in_parts=False, em=em), 5
        ).mixtures

    every, found = finalists(4), finalists(n_finalists)
    levels = [score(sample, mixture) for mixture in found]
    assert len(found) == n_finalists
    assert levels == sorted(levels, reverse=True)
    assert all(any(np.array_equal(one.means, other.means) for other in every) for one in found)


@pytest.mark.slow
def test_a_sole_finalist_is_the_better_of_two_that_went_over_the_whole_sample():
    sample = sample_of(oracles.draw(oracles.random_parameters("full", 8, 2, seed=3), 40_000)[0], size=40_000)
    options = SeedOptions(8, init_params="random_from_data", n_init=4, em=EMOptions(tol=1e-5, accelerate=True))
    differ = []
    for seed in range(3):
        one, two = (run_restarts(sample, replace(options, n_finalists=n), seed) for n in (1, 2))
        assert len(one.finalists) == 1
        (level,), (best, second) = ([trial.history[-1] for trial in found.finalists] for found in (one, two))
        assert level >= best - 1e-5  # nats per row: trials that end so close are taken for the same
        differ.append(best - second > 1e-2)
    assert any(differ)


def test_the_same_seed_gives_the_same_mixtures_and_another_seed_others(sample):
    options = SeedOptions(3, init_params="random", n_init=2, em=EMOptions(max_iter=3))
    first, again, other = (run_restarts(sample, options, seed).mixtures[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.means, again.means)
    assert not np.array_equal(first.means, other.means)


def test_restarts_in_one_task_are_those_in_a_task_each(sample):
    options = SeedOptions(3, n_init=3, in_parts=False, em=EMOptions(tol=1e-4))

    def run(cheap):
        tasks = []
        with Callback(pretask=lambda key, *_: tasks.append(key_split(key))):
            return run_restarts(sample, replace(options, cheap=cheap), 2), tasks.count("in_helped_slot")

    (together, n_together), (apart, n_apart) = run(True), run(False)
    assert n_apart - n_together == 2
    for one, other in zip(together.restarts, apart.restarts, strict=True):
        assert one.history == other.history
        np.testing.assert_array_equal(one.mixture.means, other.mixture.means)


def test_more_restarts_never_end_lower(sample):
    levels = [
        score(
            sample,
            run_restarts(sample, SeedOptions(3, "diag", "random", n_init, em=EMOptions(tol=1e-6)), 0).mixtures[0],
        )
        for n_init in (1, 2, 4, 8)
    ]
    assert np.diff(levels).min() >= -1e-7  # how close to the same limit EM comes


def test_the_error_of_restarts_that_all_collapse_reaches_the_caller():
    array = np.column_stack([np.random.default_rng(0).normal(size=100), np.full(100, 2.0)])
    with pytest.raises(SingularCovarianceError, match="increase reg_covar"):
        run_restarts(sample_of(array), SeedOptions(2, em=EMOptions()), 0)


@dataclass(frozen=True, eq=False)
class Watched(Expectation):
    """A sample that notes how many passes over it run at once."""

    running: list = field(default_factory=list)
    seen: list = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def __call__(self, mixtures):
        with self.lock:
            self.running.append(1)
            self.seen.append(len(self.running))
        try:
            return super().__call__(mixtures)
        finally:
            with self.lock:
                self.running.pop()


@pytest.mark.parametrize("n_slots", [1, 2])
def test_restarts_run_in_compute_slots(sample, n_slots):
    drawn = sample.compute()
    watched = Watched(drawn.rows, drawn.row_weights, drawn.data_summary)
    options = SeedOptions(3, init_params="random", n_init=8, em=EMOptions(max_iter=20))
    with dask.config.set({"scheduler": "threads", "num_workers": 8, COMPUTE_THREADS: n_slots}):
        run_restarts(delayed(watched), options, 0)
    assert 1 <= max(watched.seen) <= n_slots


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 13])
def test_other_restarts_are_made_if_em_leads_from_all_of_them_to_a_component_of_a_single_row(seed):
    rows = np.random.default_rng(seed).normal(size=(40, 1))
    assert 40 * GaussianMixture(2, random_state=0).fit(rows).weights_.min() > 2


@pytest.mark.slow
def test_of_restarts_that_are_all_degenerate_one_with_the_fewest_such_components_goes_on():
    """EM leads from all starts to a component of two rows that nearly repeat; a second such one has a higher level."""
    rows = np.random.default_rng(18).normal(size=(100, 1))
    assert (100 * GaussianMixture(3, random_state=0).fit(rows).weights_ < 2).sum() == 1
