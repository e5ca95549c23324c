"""Feature maps: columns and the moments they stand for."""

import numpy as np
import pytest

from daskgmm.core.mixture.feature_map import FeatureMap, Moments, pack_coefficients, pack_sums, unpack
from tests import oracles

MAPS = list(FeatureMap)


@pytest.mark.parametrize("feature_map", MAPS)
@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_number_of_columns_is_that_of_the_table_in_the_design(feature_map, d):
    z = np.arange(1.0, d + 1)
    assert feature_map.n_columns(d) == len(oracles.columns(feature_map.name.lower(), z, np.ones(d)))


@pytest.mark.parametrize("feature_map", MAPS)
def test_packing_is_the_inverse_of_unpacking(feature_map):
    sums = np.random.default_rng(0).normal(size=(3, feature_map.n_columns(4)))
    np.testing.assert_array_equal(pack_sums(unpack(feature_map, sums, 4)), sums)


def test_unpacked_second_moments_of_the_full_map_are_the_matrices():
    z = np.array([2.0, 3.0, 5.0])
    moments = unpack(FeatureMap.FULL, np.array([oracles.columns("full", z, None)]), 3)
    np.testing.assert_array_equal(moments.zeroth, [1])
    np.testing.assert_array_equal(moments.first, [z])
    np.testing.assert_array_equal(moments.second, [np.outer(z, z)])


@pytest.mark.parametrize("dense", [True, False])
def test_packed_coefficients_evaluate_to_the_quadratic(dense):
    rng = np.random.default_rng(1)
    z, constant, linear = rng.normal(size=3), rng.normal(size=2), rng.normal(size=(2, 3))
    root = rng.normal(size=(2, 3, 3))
    quadratic = root + root.transpose(0, 2, 1) if dense else rng.normal(size=(2, 3))
    form = np.einsum("i,kij,j->k", z, quadratic, z) if dense else quadratic @ z**2
    phi = oracles.columns("full" if dense else "diagonal", z, None)
    np.testing.assert_allclose(
        pack_coefficients(constant, linear, quadratic) @ phi, constant + linear @ z + form, rtol=1e-13
    )


def test_moments_of_the_linear_map_have_no_second_order():
    moments = unpack(FeatureMap.LINEAR, np.ones((2, 4)), 3)
    assert isinstance(moments, Moments)
    assert moments.second.shape == (2, 0)
