"""The families of covariances: their estimates against naive ones, and their names."""

import numpy as np
import pytest

from daskgmm.core.mixture.covariance import ALL_TYPES, FAMILIES, STRUCTURES, same_family, types_of
from daskgmm.core.mixture.floor import Floor
from daskgmm.core.mixture.mixture import Mixture, project
from tests import oracles

COUPLED = [name for name in FAMILIES if STRUCTURES[name].coupled]


def laid_out(covariances, family, counts):
    """Return covariances (k, d, d) in the layout of the family."""
    if not STRUCTURES[family].layout.stacked:
        return np.tensordot(counts / counts.sum(), covariances, axes=1)
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    return {3: covariances, 2: variances, 1: variances.mean(axis=1)}[len(STRUCTURES[family].layout.axes)]


def random_scatter(k, d, seed):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(k, d, 2 * d)) * rng.uniform(0.3, 3, size=(k, d, 1))
    return rng.uniform(1, 20, k), factors @ factors.transpose(0, 2, 1) / (2 * d)


def loss(counts, covariances, own):
    """Return sum_k N_k (log det Sigma_k + tr(S_k Sigma_k^-1)), of dense covariances."""
    traces = np.trace(np.linalg.solve(covariances, own), axis1=1, axis2=2)
    return float(counts @ (np.linalg.slogdet(covariances)[1] + traces))


def dense(name, values, k, d):
    return oracles.dense_covariances(
        oracles.Parameters(STRUCTURES[name].layout.name, np.ones(k), np.zeros((k, d)), values)
    ).astype(float)


def parts(letters, covariances):
    """Return log-volumes (k,), log-shapes (k, d) and orientations (k, d, d) of dense covariances of a family."""
    variances, axes = np.linalg.eigh(covariances)
    if letters[2] != "V":
        total = sum((1 + 0.37 * number) * one / np.trace(one) for number, one in enumerate(covariances))
        shared = np.eye(len(total)) if letters[2] == "I" else np.linalg.eigh(total)[1]
        axes = np.broadcast_to(shared, covariances.shape)
        variances = np.einsum("kdi,kde,kei->ki", axes, covariances, axes)
    volumes = np.log(variances).mean(axis=1)
    return volumes, np.log(variances) - volumes[:, None], axes


def varied(letters, kind, size, rng):
    """Return random numbers, the same for all components, their own or none, by the letter of the kind."""
    drawn = rng.normal(size=size)
    return {"V": drawn, "E": np.broadcast_to(drawn[:1], size), "I": np.zeros(size)}[letters[kind]]


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("name", FAMILIES)
def test_no_covariances_of_the_family_near_the_estimate_fit_better(name, d):
    letters, k = STRUCTURES[name].letters, 3
    counts, own = random_scatter(k, d, seed=d)
    estimate = dense(name, STRUCTURES[name].estimate(counts, laid_out(own, name, counts)), k, d)
    least, rng = loss(counts, estimate, own), np.random.default_rng(0)
    volumes, shapes, axes = parts(letters, estimate)
    for step in [0.0, *np.repeat([1e-3, 1e-2, 0.1], 20)]:
        shape = shapes + step * varied(letters, 1, (k, d), rng)
        shape = shape - shape.mean(axis=1, keepdims=True)
        skew = step * varied(letters, 2, (k, d, d), rng)
        skew = skew - skew.transpose(0, 2, 1)
        turned = axes @ np.linalg.solve(np.eye(d) - skew, np.eye(d) + skew)
        variances = np.exp((volumes + step * varied(letters, 0, (k,), rng))[:, None] + shape)
        other = (turned * variances[:, None, :]) @ turned.transpose(0, 2, 1)
        assert loss(counts, other, own) >= least - 1e-9 * abs(least)
        if step == 0:
            np.testing.assert_allclose(other, estimate, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_letters_say_is_common_is_common(name):
    counts, own = random_scatter(4, 3, seed=1)
    estimate = dense(name, STRUCTURES[name].estimate(counts, laid_out(own, name, counts)), 4, 3)
    variances = np.linalg.eigvalsh(estimate)
    volumes = np.exp(np.log(variances).mean(axis=1))
    common = {"volume": np.ptp(volumes) < 1e-9, "shape": np.ptp(variances / volumes[:, None], axis=0).max() < 1e-9}
    common["axes"] = np.abs(estimate[0] @ estimate[1] - estimate[1] @ estimate[0]).max() < 1e-9
    assert list(common.values()) == [letter != "V" for letter in STRUCTURES[name].letters]


@pytest.mark.parametrize("name", FAMILIES)
def test_an_estimate_is_what_it_is_estimated_from_again(name):
    counts, own = random_scatter(3, 4, seed=2)
    once = STRUCTURES[name].estimate(counts, laid_out(own, name, counts))
    np.testing.assert_allclose(STRUCTURES[name].estimate(counts, once, once), once, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", COUPLED)
def test_a_floor_keeps_what_is_common_and_leaves_wide_components_as_they_are(name):
    family, d = STRUCTURES[name], 3
    counts, own = random_scatter(3, d, seed=3)
    floor = Floor(np.full(d, 1e-4), np.diag(np.full(d, 1e-4)))
    wide = laid_out(own, name, counts)
    np.testing.assert_array_equal(family.estimate(counts, wide, None, floor), family.estimate(counts, wide))
    own[0] *= 1e-12
    narrow = family.estimate(counts, laid_out(own, name, counts), None, floor)
    load = floor.load(narrow)
    assert load.max() <= 1 + 1e-9
    np.testing.assert_allclose(family.estimate(counts, narrow, narrow), narrow, rtol=1e-7, atol=1e-12)
    assert (load[1:] < 0.9).all()


@pytest.mark.parametrize("name", COUPLED)
def test_a_component_without_any_width_is_held_by_the_floor(name):
    family = STRUCTURES[name]
    counts, own = random_scatter(3, 3, seed=4)
    own[0] = 0
    own[1, 0] = own[1, :, 0] = 0
    floor = Floor(np.array([1e-6, 1e-2, 1e2]), np.diag([1e-6, 1e-2, 1e2]))
    held = family.estimate(counts, laid_out(own, name, counts), None, floor)
    assert np.isfinite(held).all()
    assert floor.load(held).max() <= 1 + 1e-9


def test_empty_components_are_taken_with_equal_weights():
    mixture = Mixture("diag", np.array([0.0, 1.0, 0.0]), np.zeros((3, 2)), np.ones((3, 2)))
    assert mixture.take([0, 2]).weights.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("name", COUPLED)
def test_what_is_taken_replaced_and_merged_is_of_the_family(name):
    counts, own = random_scatter(4, 3, seed=5)
    means = np.random.default_rng(6).normal(size=(4, 3))
    mixture = Mixture(
        name, counts / counts.sum(), means, STRUCTURES[name].estimate(counts, laid_out(own, name, counts))
    )
    other = replace_covariances(mixture.take([0, 1]), 7.0)
    for made in (mixture.take([2, 0]), mixture.replace([((1, 3), other)]), mixture.merge(0, 2)):
        np.testing.assert_allclose(project(made).covariances, made.covariances, rtol=1e-6, atol=1e-9)


def replace_covariances(mixture, factor):
    return Mixture(mixture.covariance_type, mixture.weights, mixture.means, factor * mixture.covariances)


@pytest.mark.parametrize("name", ["EII", "EEI", "EEE"])
def test_components_with_one_covariance_keep_it_when_some_are_replaced(name):
    counts, own = random_scatter(3, 2, seed=7)
    covariances = STRUCTURES[name].estimate(counts, laid_out(own, name, counts))
    mixture = Mixture(name, counts / counts.sum(), np.eye(3)[:, :2], covariances)
    grown = mixture.replace([((0,), replace_covariances(mixture.take([0, 1]), 3.0))])
    assert grown.covariances.shape == STRUCTURES[name].layout.shape(4, 2)
    np.testing.assert_array_equal(grown.covariances.reshape(-1)[:1], mixture.covariances.reshape(-1)[:1])


def test_names_and_patterns_lead_to_types_in_their_order_without_twins():
    assert types_of("all") == FAMILIES
    assert types_of(["E*I", "VVV"]) == ("EII", "EEI", "EVI", "VVV")
    assert types_of(["full", "VVV", "tied", "E"]) == ("full", "tied", "E")
    assert types_of("?V?") == ("EVI", "VVI", "EVE", "VVE", "EVV", "VVV")
    with pytest.raises(
        ValueError, match=r"'X\*' is no covariance type and fits none: give all, .*or some of full, tied"
    ):
        types_of(["full", "X*"])
    assert set(STRUCTURES) == set(ALL_TYPES)
    assert same_family("full", "VVV")
    assert not same_family("VVI", "VVV")


@pytest.mark.parametrize("unit", [1e-120, 1e120])
@pytest.mark.parametrize("name", FAMILIES)
def test_estimates_follow_the_unit_of_all_columns(name, unit):
    counts, own = random_scatter(3, 4, seed=8)
    own = laid_out(own, name, counts)
    plain, scaled = (STRUCTURES[name].estimate(counts, values) for values in (own, unit * own))
    np.testing.assert_allclose(scaled / unit, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV"])
def test_estimates_of_families_that_no_axes_bind_follow_the_unit_of_each_column(name):
    counts, own = random_scatter(3, 3, seed=9)
    units = np.array([1e-5, 1.0, 1e6])
    scale = np.outer(units, units)
    plain, scaled = (STRUCTURES[name].estimate(counts, laid_out(one, name, counts)) for one in (own, own * scale))
    form = units**2 if STRUCTURES[name].layout.name == "diag" else scale
    np.testing.assert_allclose(scaled / form, plain, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["VEI", "VEE", "VEV"])
def test_volumes_that_differ_by_many_orders_are_found(name):
    counts, own = random_scatter(4, 3, seed=10)
    own = own * np.array([1e-12, 1.0, 1e6, 1e12])[:, None, None]
    estimate = STRUCTURES[name].estimate(counts, laid_out(own, name, counts))
    np.testing.assert_allclose(STRUCTURES[name].estimate(counts, estimate), estimate, rtol=1e-7, atol=1e-20)
    plain = dense(name, estimate, 4, 3)
    changed = plain * np.array([1.01, 1.0, 1.0, 0.99])[:, None, None]
    assert loss(counts, plain, own) < loss(counts, changed, own)
