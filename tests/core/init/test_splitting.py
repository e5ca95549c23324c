"""Starts of the candidates of a sweep."""

import numpy as np
import pytest

from daskgmm.core.em.loop import EMOptions
from daskgmm.core.init.density_peak import densest_place
from daskgmm.core.init.splitting import grow, partitions, refine_finalists, short_runs, splits, start_candidate
from daskgmm.core.init.starts import SeedOptions, in_memory
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.errors import SingularCovarianceError
from tests import oracles

EM = EMOptions(tol=1e-6, max_iter=500)


def clusters(n=900, centres=((0, 0), (8, 0), (0, 8), (8, 9))):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(n // len(centres), 2)) + centre for centre in centres])


def chain(sample, covariance_type, sizes, n_init=2):
    found, smaller = {}, None
    for k in sizes:
        options = SeedOptions(k, covariance_type, n_init=n_init, em=EM)
        smaller = start_candidate(sample, options, partitions(sample, options, range(n_init)), smaller)
        found[k] = smaller[0]
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_split_makes_one_component_more_of_the_same_mean(covariance_type, weighted):
    rows, _ = oracles.draw(oracles.random_parameters(covariance_type, 3, 2, seed=3, spread=4.0), 800)
    sample = in_memory(rows, np.random.default_rng(1).uniform(0.5, 2, len(rows)) if weighted else None)
    mixture = chain(sample, covariance_type, [3])[3].mixture
    for larger in splits(sample, mixture, None):
        assert larger.n_components == 4
        assert larger.weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(larger.weights @ larger.means, mixture.weights @ mixture.means, rtol=0.05, atol=0.3)
        assert (np.linalg.eigvalsh(oracles.dense_covariances(larger).astype(float)) > 0).all()


def test_the_component_that_covers_two_clusters_is_split_first():
    rows = clusters(centres=((0, 0), (20, 0), (20, 6)))
    sample = in_memory(rows, None)
    two = Mixture(
        "full", np.array([1, 2]) / 3, np.array([[0.0, 0], [20, 3]]), np.array([np.eye(2), np.diag([1.0, 10])])
    )
    first = splits(sample, two, None)[0]
    assert sorted(first.means[:, 1].round(-0).astype(int).tolist()) == [0, 0, 6]


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_log_likelihood_on_the_sample_never_decreases_with_the_size(covariance_type):
    sample = in_memory(oracles.draw(oracles.random_parameters("full", 4, 3, seed=2, spread=2.0), 700)[0], None)
    levels = [trial.history[-1] for trial in chain(sample, covariance_type, range(1, 9)).values()]
    assert (np.diff(levels) > -1e-6).all()


def test_growth_alone_finds_clusters_one_after_the_other():
    sample = in_memory(clusters(), None)
    mixture = Mixture("full", np.ones(1), clusters().mean(axis=0)[None], np.cov(clusters().T)[None])
    options = SeedOptions(4, em=EM)
    found = short_runs(sample, options, grow(sample, options, mixture))
    assert max(sorted(trial.mixture.means.round().astype(int).tolist()) == [[0, 0], [0, 8], [8, 0], [8, 9]]
               for trial in found)  # fmt: skip


def test_a_start_that_is_not_regular_is_passed_over_and_all_such_are_an_error():
    sample = in_memory(clusters(), None)
    good = Mixture("full", np.full(2, 0.5), np.array([[0.0, 0], [8, 8]]), np.array([np.eye(2)] * 2))
    flat = Mixture("full", np.full(2, 0.5), good.means, np.array([np.eye(2), np.zeros((2, 2))]))
    assert len(short_runs(sample, SeedOptions(2, em=EM), [flat, good])) == 1
    with pytest.raises(SingularCovarianceError, match="component 1"):
        short_runs(sample, SeedOptions(2, em=EM), [flat])


def test_a_failure_is_handed_on_as_a_value_and_the_next_size_starts_afresh():
    sample = in_memory(clusters(), None)
    failure = SingularCovarianceError("why")
    assert refine_finalists(sample, SeedOptions(2, em=EM), failure) is failure
    options = SeedOptions(4, em=EM)
    (trial,) = start_candidate(sample, options, partitions(sample, options, range(2)), failure)
    assert trial.mixture.n_components == 4


def test_partitions_serve_all_structures_and_depend_on_the_seed():
    sample = in_memory(clusters(), None)
    drawn = [partitions(sample, SeedOptions(5, one, "k-means++"), [1, 2]) for one in oracles.STRUCTURES]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])
    assert not np.array_equal(*drawn[0])


@pytest.mark.filterwarnings("error")
def test_a_tight_group_is_found_beside_rows_that_float32_does_not_hold():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(3000, 3)), 1 + 0.01 * rng.normal(size=(300, 3)), 1e45 * np.eye(3)])
    inside = densest_place(rows)
    assert inside[3000:3300].sum() > 0.03 * len(rows)
    assert inside[:3000].mean() < 0.01
    assert not inside[3300:].any()
