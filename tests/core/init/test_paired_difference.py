"""Differences of mixtures on the same rows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from daskgmm.core.init.paired_difference import Comparison
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.mixture import Mixture

MIXTURE = Mixture("full", np.array([0.3, 0.7]), np.array([[0.0, 0.0], [3.0, 0.0]]), np.array([np.eye(2)] * 2))


def density(mixture, rows):
    parts = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    return np.log(sum(weight * multivariate_normal(mean, matrix).pdf(rows) for weight, mean, matrix in parts))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.75])
def test_what_rows_do_not_tell_apart_is_within_two_standard_errors(weighted, share):
    rng = np.random.default_rng(0)
    rows, row_weights = MIXTURE.sample(400, rng)[0], rng.uniform(0, 2, 400) if weighted else None
    other = replace(MIXTURE, means=MIXTURE.means + 0.1)
    difference = density(other, rows) - density(MIXTURE, rows)
    weights = np.ones(400) if row_weights is None else row_weights
    mean = weights @ difference / weights.sum()
    variance = weights @ (difference - mean) ** 2 / weights.sum() * (weights**2).sum() / weights.sum() ** 2
    bound = mean + 2 * np.sqrt((1 - share) * variance)
    comparison = Comparison.of(in_memory(rows, row_weights), MIXTURE, share)
    assert comparison.may_be_better(other, bound - 1e-9)
    assert not comparison.may_be_better(other, bound + 1e-9)


def test_rows_of_weight_zero_may_hold_anything():
    rows = MIXTURE.sample(100, np.random.default_rng(0))[0]
    sample = in_memory(np.concatenate([[[np.nan, 0.0]], rows]), np.append(0.0, np.ones(100)))
    other = replace(MIXTURE, means=MIXTURE.means + 5)
    assert Comparison.of(sample, MIXTURE).may_be_better(MIXTURE)
    assert not Comparison.of(sample, MIXTURE).may_be_better(other)
