"""Covariances of low rank plus a diagonal are what their dense matrices are."""

from __future__ import annotations

import numpy as np
import pytest

from daskgmm.core.mixture.covariance import STRUCTURES, types_of
from daskgmm.core.mixture.low_rank import LowRankMatrices, family_options
from daskgmm.core.mixture.matrices import DenseMatrices
from daskgmm.errors import SingularCovarianceError

K, D, Q = 3, 6, 2


@pytest.fixture
def matrices():
    rng = np.random.default_rng(0)
    return LowRankMatrices(rng.uniform(0.1, 1, (K, D)), rng.normal(size=(K, D, Q)))


def test_all_that_is_computed_without_dense_matrices_agrees_with_them(matrices):
    dense, vectors = DenseMatrices(matrices.dense), np.random.default_rng(1).normal(size=(K, D))
    for name, arguments in {
        "log_det": (),
        "mahalanobis": (vectors,),
        "apply": (vectors,),
        "mean": (np.array([0.2, 0.3, 0.5]),),
        "project": (vectors.T,),
    }.items():
        np.testing.assert_allclose(getattr(matrices, name)(*arguments), getattr(dense, name)(*arguments), rtol=1e-10)
    np.testing.assert_allclose(matrices.diagonals, dense.diagonals, rtol=1e-12)
    np.testing.assert_allclose(matrices.append(vectors[0] ** 2).dense, dense.append(vectors[0] ** 2).dense, rtol=1e-12)
    np.testing.assert_allclose(matrices.average(matrices[1:2]).dense, dense.average(dense[1:2]).dense, rtol=1e-12)


def test_merged_and_conditional_covariances_are_exact(matrices):
    dense, others, between = DenseMatrices(matrices.dense), np.array([1, 2]), np.ones((2, D))
    share = np.array([0.3, 0.6])
    np.testing.assert_allclose(
        matrices.merge(0, others, share, between).dense, dense.merge(0, others, share, between).dense, rtol=1e-12
    )
    known, rest, differences = [0, 3], [1, 2, 4, 5], np.ones((K, 2))
    for actual, expected in zip(
        matrices.given(known, rest, differences), dense.given(known, rest, differences), strict=True
    ):
        np.testing.assert_allclose(getattr(actual, "dense", actual), getattr(expected, "dense", expected), rtol=1e-9)


def test_truncation_keeps_variances_and_the_whole_of_what_is_of_that_rank(matrices):
    wider = matrices.merge(0, np.array([1]), np.array([0.5]), np.ones((1, D)))
    np.testing.assert_allclose(wider.truncate(Q).diagonals, wider.diagonals, rtol=1e-12)
    np.testing.assert_allclose(matrices.truncate(Q).dense, matrices.dense, rtol=1e-12)


def test_variances_given_the_features_before_are_the_pivots(matrices):
    layout = STRUCTURES["low_rank_2"].layout
    pivots = np.diagonal(np.linalg.cholesky(matrices.dense), axis1=1, axis2=2) ** 2
    np.testing.assert_allclose(layout.conditional_variances(matrices.values, (K, D)), pivots, rtol=1e-10)


def test_noise_of_zero_is_singular(matrices):
    noise = matrices.noise.copy()
    noise[1, 2] = 0
    with pytest.raises(SingularCovarianceError, match="component 1 has noise of the variance 0"):
        LowRankMatrices(noise, matrices.loadings).log_det()


@pytest.mark.parametrize(
    ("name", "d", "n"),
    [
        ("low_rank_1", 2, 2 * 3),  # 2 + 2 would be more than a whole covariance has
        ("low_rank_2", 4, 2 * 10),
        ("low_rank_2", 5, 2 * (5 + 9)),
        ("low_rank_2_common", 5, 5 + 2 * 9),
        ("low_rank_1_isotropic", 2, 2 * 3),
    ],
)
def test_no_more_parameters_are_counted_than_whole_covariances_have(name, d, n):
    assert STRUCTURES[name].n_parameters(2, d) == n
    if "common" not in name:
        assert STRUCTURES[name].per_component(d)[1] == d + n // 2


def test_names_and_options_are_each_others_inverse():
    assert types_of(["low_rank_4_common", "full"]) == ("low_rank_4_common", "full")
    options = {"covariance_type": "low_rank", "n_factors": 4, "factor_noise": "common"}
    assert family_options("low_rank_4_common") == options
    for wrong in ("low_rank", "low_rank_0", "low_rank_x", "low_rank_4_own"):
        with pytest.raises(ValueError, match="is no covariance type"):
            types_of(wrong)
