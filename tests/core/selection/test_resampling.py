"""Random weights of rows, and the statistics of mixtures in their resamples."""

import numpy as np
import pytest
from scipy import stats

from daskgmm.core.em.e_step import expect
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.selection.resampling import Resampling, expect_resampled
from tests import oracles

LAW = {"bayesian": stats.expon(), "poisson": stats.poisson(1)}


@pytest.mark.parametrize("kind", LAW)
def test_weights_follow_their_law(kind):
    weights, law = Resampling(kind, seed=5).weights(3, 0, 200_000), LAW[kind]
    for value in (0.0, 0.5, 1.0, 2.0, 3.0):
        expected = law.cdf(value)
        assert abs((weights <= value).mean() - expected) < 5 * np.sqrt(expected * (1 - expected) / 200_000) + 1e-12


@pytest.mark.parametrize("kind", LAW)
def test_the_weight_of_a_row_is_the_same_wherever_blocks_begin(kind):
    resampling = Resampling(kind, seed=5)
    whole = resampling.weights(3, 0, 1000)
    parts = [resampling.weights(3, start, n) for start, n in ((0, 1), (1, 136), (137, 5), (142, 858))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_resamples_and_seeds_have_unrelated_weights():
    draws = [Resampling("bayesian", seed).weights(number, 0, 20_000) for seed in (0, 1) for number in (0, 1)]
    correlations = np.corrcoef(draws) - np.eye(4)
    assert np.abs(correlations).max() < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_statistics_are_those_of_rows_weighted_by_hand(covariance_type, weighted):
    parameters = oracles.random_parameters(covariance_type, 2, 3, seed=1, spread=1.0)
    rows, _ = oracles.draw(parameters, 300)
    own = np.random.default_rng(2).uniform(0, 2, 300) if weighted else None
    coefficients = prepare(Mixture(*parameters), summarise_rows(rows), some_rows=True)
    resampling = Resampling(seed=9)
    found = expect_resampled(rows, own, (coefficients, coefficients), (4, 7), 11, resampling)
    for one, number in zip(found, (4, 7), strict=True):
        by_hand = resampling.weights(number, 11, 300) * (1.0 if own is None else own)
        (expected,) = expect(rows, by_hand, (coefficients,))
        np.testing.assert_array_equal(one.sums, expected.sums)
        assert one.log_likelihood == expected.log_likelihood
