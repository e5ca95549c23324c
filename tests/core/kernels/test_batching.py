"""Mixtures that share a feature map go through one product."""

import numpy as np
import pytest

from daskgmm.core.em.e_step import expect
from daskgmm.core.kernels import batching as stacks
from daskgmm.core.kernels.batching import batch_by_map
from daskgmm.core.kernels.natural_parameters import CentredParams, prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles

ROWS, _ = oracles.draw(oracles.random_parameters("full", 3, 3, seed=1), 500)
DATA_SUMMARY = summarise_rows(ROWS)


def coefficients(*wanted, dtype=np.float64):
    parameters = (oracles.random_parameters(covariance_type, k, 3, seed=k) for covariance_type, k in wanted)
    return tuple(prepare(Mixture(*one), DATA_SUMMARY, dtype) for one in parameters)


def test_mixtures_of_one_feature_map_make_a_stack_whatever_their_order():
    mixtures = coefficients(("full", 2), ("diag", 1), ("full", 3), ("tied", 2), ("diag", 4))
    assert batch_by_map(mixtures) == [(0, 2), (1, 4), (3,)]


def test_a_stack_holds_no_more_components_than_fit_the_cache(monkeypatch):
    monkeypatch.setattr(stacks, "MAX_COMPONENTS", 5)
    mixtures = coefficients(("full", 2), ("full", 3), ("full", 1), ("full", 7), ("full", 2))
    assert batch_by_map(mixtures) == [(0, 1), (2,), (3,), (4,)]


def test_mixtures_of_another_precision_or_with_own_centres_stay_apart():
    narrow = Mixture("full", np.ones(1), np.full((1, 3), 5.0), 1e-14 * np.eye(3)[None])
    own_centres = prepare(narrow, DATA_SUMMARY)
    assert isinstance(own_centres, CentredParams)
    mixtures = (*coefficients(("full", 2)), own_centres, *coefficients(("full", 2), dtype=np.float32))
    assert batch_by_map(mixtures) == [(0,), (1,), (2,)]


@pytest.mark.parametrize("most", [1, 4, 256])
def test_each_mixture_gets_its_own_statistics_in_the_order_of_the_mixtures(monkeypatch, most):
    monkeypatch.setattr(stacks, "MAX_COMPONENTS", most)
    mixtures = coefficients(("spherical", 2), ("full", 2), ("spherical", 3), ("full", 1), ("tied", 4))
    weights = np.random.default_rng(0).uniform(0, 2, len(ROWS))
    for one, together in zip(mixtures, expect(ROWS, weights, mixtures), strict=True):
        (alone,) = expect(ROWS, weights, (one,))
        np.testing.assert_allclose(together.sums, alone.sums, rtol=1e-10, atol=1e-9)
        assert together.log_likelihood == pytest.approx(alone.log_likelihood, rel=1e-12)
        assert together.weight_sum == alone.weight_sum
