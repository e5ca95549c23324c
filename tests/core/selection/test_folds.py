"""Rows dealt into parts, and mixtures judged on the part that they are not fitted to."""

import numpy as np
import pytest

from daskgmm.core.em.e_step import expect
from daskgmm.core.em.m_step import maximize
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.selection.folds import FoldSplit, HeldOutStatistics, fold_of, score
from tests import oracles

N_FOLDS = 3
DEALING = FoldSplit(N_FOLDS, seed=7)


def problem(covariance_type, n=600):
    parameters = oracles.random_parameters(covariance_type, 2, 3, seed=1, spread=1.0)
    rows, _ = oracles.draw(parameters, n)
    return rows, np.random.default_rng(2).uniform(0, 2, n), Mixture(*parameters)


def test_parts_are_of_about_equal_size_and_unrelated_to_the_order_of_rows():
    parts = fold_of(0, 100_000, FoldSplit(5, seed=1))
    counts = np.bincount(parts, minlength=5)
    assert np.abs(counts / 100_000 - 0.2).max() < 0.005
    pairs = np.bincount(5 * parts[:-1] + parts[1:], minlength=25)
    assert np.abs(pairs / 100_000 - 0.04).max() < 0.004


def test_a_row_is_in_the_same_part_wherever_blocks_begin_and_in_another_with_another_seed():
    whole = fold_of(0, 1000, DEALING)
    np.testing.assert_array_equal(np.concatenate([fold_of(0, 137, DEALING), fold_of(137, 863, DEALING)]), whole)
    assert (fold_of(0, 1000, FoldSplit(N_FOLDS, seed=8)) != whole).mean() > 0.5


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_fold_is_fitted_to_the_other_rows_and_judged_on_its_own(covariance_type, weighted):
    rows, weights, mixture = problem(covariance_type)
    weights = weights if weighted else None
    data_summary = summarise_rows(rows, weights)
    coefficients = (prepare(mixture, data_summary, some_rows=True),) * (N_FOLDS + 1)
    folds = (*range(N_FOLDS), None)
    scored = score(rows, weights, coefficients, folds, 0, DEALING)
    parts = fold_of(0, len(rows), DEALING)
    for fold, one in zip(folds, scored, strict=True):
        own = parts == (-1 if fold is None else fold)
        fitted = oracles.step(rows[~own], None if weights is None else weights[~own], mixture)
        assert one.statistics.log_likelihood == pytest.approx(fitted.log_likelihood, rel=1e-10)
        after = maximize(mixture, one.statistics, data_summary)
        oracles.assert_agree(after, Mixture(*fitted.parameters), 1e-8)
        if fold is not None:
            out = oracles.step(rows[own], None if weights is None else weights[own], mixture)
            assert one.held_out.log_likelihood == pytest.approx(out.log_likelihood, rel=1e-10)
            assert one.held_out.weight_sum == pytest.approx(own.sum() if weights is None else weights[own].sum())


def test_blocks_of_rows_add_up_to_the_whole():
    rows, weights, mixture = problem("full")
    coefficients, folds = (prepare(mixture, summarise_rows(rows, weights), some_rows=True),) * 2, (0, 2)
    whole = score(rows, weights, coefficients, folds, 0, DEALING)
    first = score(rows[:101], weights[:101], coefficients, folds, 0, DEALING)
    rest = score(rows[101:], weights[101:], coefficients, folds, 101, DEALING)
    for one, a, b in zip(whole, first, rest, strict=True):
        np.testing.assert_allclose((a + b).statistics.sums, one.statistics.sums, rtol=1e-10)
        assert (a + b).held_out.mean == pytest.approx(one.held_out.mean)


def test_without_folds_a_pass_is_a_plain_one():
    rows, weights, mixture = problem("tied")
    coefficients = (prepare(mixture, summarise_rows(rows, weights)),)
    (scored,) = score(rows, weights, coefficients, (None,), 0, FoldSplit())
    np.testing.assert_array_equal(scored.statistics.sums, expect(rows, weights, coefficients)[0].sums)
    assert scored.held_out == HeldOutStatistics()
    assert np.isnan(scored.held_out.mean)
