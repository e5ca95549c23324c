"""A pass over rows in memory: statistics and log-likelihood of rows under a mixture."""

from functools import cache

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from daskgmm.concurrency import helped_slot
from daskgmm.core.arrays.blocks import block_rows
from daskgmm.core.em.e_step import expect
from daskgmm.core.em.m_step import maximize
from daskgmm.core.init.starts import in_memory
from daskgmm.core.kernels import natural_parameters as coefficients
from daskgmm.core.kernels.natural_parameters import CentredParams, FeatureMapParams, prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles

SHAPES = [(300, 3, 3), (257, 1, 2), (40, 2, 1), (30, 4, 5)]  # rows, features, components
KERNELS = {"shared": (np.inf, FeatureMapParams), "centred": (-1.0, CentredParams)}
MAPS = {
    ("shared", "full"): "full",
    ("shared", "tied"): "linear",
    ("shared", "diag"): "diagonal",
    ("shared", "spherical"): "spherical",
    ("centred", "full"): "full",
    ("centred", "tied"): "full",
    ("centred", "diag"): "diagonal",
    ("centred", "spherical"): "spherical",
}


@cache
def problem(covariance_type, weighted, shape):
    """Return rows, row weights or None, a mixture that does not fit them, and the oracle's step."""
    n, d, k = shape
    rows, _ = oracles.draw(oracles.random_parameters(covariance_type, k, d, seed=1), n)
    row_weights = np.random.default_rng(2).uniform(0.1, 5, n) if weighted else None
    if weighted:
        row_weights[::7] = 0
    start = oracles.random_parameters(covariance_type, k, d, seed=3, spread=1.0)
    return rows, row_weights, Mixture(*start), oracles.step(rows, row_weights, start)


def force(monkeypatch, kernel):
    """Make `prepare` take one kernel, whatever the conditioning."""
    bound, kind = KERNELS[kernel]
    monkeypatch.setattr(coefficients, "MAX_ERROR", dict.fromkeys(coefficients.MAX_ERROR, bound))
    return kind


def close(actual, expected, rtol):
    """Assert |actual - expected| <= rtol x the largest |expected|."""
    expected = np.asarray(expected, float)
    np.testing.assert_allclose(np.asarray(actual, float), expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def results(rows, row_weights, mixture, dtype=np.float64):
    """Return the statistics of a pass, and the mixture after the M-step."""
    sample = in_memory(rows, row_weights, dtype)
    (statistics,) = sample((mixture,))
    return statistics, maximize(mixture, statistics, sample.data_summary)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_statistics_and_m_step_equal_the_loop_over_rows(covariance_type, weighted, shape, kernel, monkeypatch):
    kind = force(monkeypatch, kernel)
    rows, row_weights, mixture, true = problem(covariance_type, weighted, shape)
    found = summarise_rows(rows, row_weights)
    assert type(prepare(mixture, found)) is kind
    statistics, after = results(rows, row_weights, mixture)

    kept = slice(None) if row_weights is None else row_weights > 0
    own_weights = np.ones(len(rows)) if row_weights is None else row_weights[kept]
    points = (rows[kept].astype(oracles.LONG) - found.frame.centre) / found.frame.scale
    if kernel == "centred":
        means = (mixture.means.astype(oracles.LONG) - found.frame.centre) / found.frame.scale
        points = points - means[:, None, :]
    isotropy_weights = found.frame.scale**2 / np.mean(found.frame.scale**2)
    sums = oracles.feature_sums(MAPS[kernel, covariance_type], points, own_weights, true.resp, isotropy_weights)

    close(statistics.sums, sums, 1e-10)
    assert statistics.log_likelihood == pytest.approx(true.log_likelihood, rel=1e-10)
    assert statistics.entropy == pytest.approx(true.entropy, rel=1e-10, abs=1e-10)
    assert statistics.weight_sum == pytest.approx(own_weights.sum(), rel=1e-13)
    oracles.assert_agree(after, true.parameters, 1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_statistics_and_m_step_equal_scipy(covariance_type, weighted, kernel, monkeypatch):
    force(monkeypatch, kernel)
    rows, row_weights, mixture, _ = problem(covariance_type, weighted, (300, 3, 3))
    row_weights = np.ones(len(rows)) if row_weights is None else row_weights
    statistics, after = results(rows, row_weights, mixture)

    dense = oracles.dense_covariances(mixture).astype(float)
    joint = np.column_stack(
        [
            np.log(weight) + multivariate_normal(mean, covariance).logpdf(rows)
            for weight, mean, covariance in zip(mixture.weights, mixture.means, dense, strict=True)
        ]
    )
    log_prob = logsumexp(joint, axis=1)
    resp = np.exp(joint - log_prob[:, None]) * row_weights[:, None]
    scatter = np.array([np.cov(rows.T, aweights=resp[:, c], ddof=0) for c in range(3)])
    covariances = {
        "full": scatter,
        "tied": np.average(scatter, axis=0, weights=resp.sum(axis=0)),
        "diag": np.diagonal(scatter, axis1=1, axis2=2),
        "spherical": np.trace(scatter, axis1=1, axis2=2) / 3,
    }
    means = np.array([np.average(rows, axis=0, weights=resp[:, c]) for c in range(3)])
    shares = resp.sum(axis=0) / row_weights.sum()

    assert statistics.log_likelihood == pytest.approx(row_weights @ log_prob, rel=1e-10)
    close(statistics.counts, resp.sum(axis=0), 1e-10)
    oracles.assert_agree(after, oracles.Parameters(covariance_type, shares, means, covariances[covariance_type]), 1e-10)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("k", "d"), [(6, 8), (20, 24)])  # the products in one block of columns, and in two
def test_both_kernels_give_the_same_mixture_and_likelihood(covariance_type, weighted, k, d, monkeypatch):
    parameters = oracles.random_parameters(covariance_type, k, d, seed=4, spread=0.5)
    rows, _ = oracles.draw(parameters, 2000)
    row_weights = np.random.default_rng(5).uniform(0, 3, len(rows)) if weighted else None
    found = {}
    for kernel in KERNELS:
        force(monkeypatch, kernel)
        found[kernel] = results(rows, row_weights, Mixture(*parameters))
    (shared, after_shared), (centred, after_centred) = found["shared"], found["centred"]
    assert centred.centred
    assert not shared.centred
    assert shared.log_likelihood == pytest.approx(centred.log_likelihood, rel=1e-10)
    assert shared.entropy == pytest.approx(centred.entropy, rel=1e-10)
    oracles.assert_agree(after_shared, after_centred, 1e-10)


def test_both_kernels_agree_where_components_are_too_many_for_unpacked_products(monkeypatch):
    parameters = oracles.random_parameters("full", 90, 24, seed=4, spread=0.5)
    rows, _ = oracles.draw(parameters, 300)
    found = summarise_rows(rows)
    counts, log_likelihoods = [], []
    for kernel in KERNELS:
        force(monkeypatch, kernel)
        (statistics,) = expect(rows, None, (prepare(Mixture(*parameters), found),))
        counts.append(statistics.counts)
        log_likelihoods.append(statistics.log_likelihood)
    close(*counts, 1e-10)
    assert log_likelihoods[0] == pytest.approx(log_likelihoods[1], rel=1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_integer_weights_equal_repeated_rows(covariance_type, kernel, monkeypatch):
    force(monkeypatch, kernel)
    rows, _, mixture, _ = problem(covariance_type, False, (300, 3, 3))
    times = np.random.default_rng(6).integers(0, 4, len(rows))
    weighted, after_weighted = results(rows, times, mixture)
    repeated, after_repeated = results(np.repeat(rows, times, axis=0), None, mixture)
    assert weighted.weight_sum == repeated.weight_sum == times.sum()
    close(weighted.sums, repeated.sums, 1e-10)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, rel=1e-10)
    assert weighted.entropy == pytest.approx(repeated.entropy, rel=1e-10)
    oracles.assert_agree(after_weighted, after_repeated, 1e-10)


@pytest.mark.parametrize("held", [0.0, 1e300, np.inf, np.nan])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_rows_of_weight_zero_are_absent_whatever_they_hold(covariance_type, kernel, held, monkeypatch):
    force(monkeypatch, kernel)
    rows, _, mixture, _ = problem(covariance_type, False, (300, 3, 3))
    row_weights = np.random.default_rng(7).uniform(0.5, 2, len(rows))
    row_weights[::3] = 0
    masked = rows.copy()
    masked[::3] = held
    with_holes, after_holes = results(masked, row_weights, mixture)
    without, after = results(rows[row_weights > 0], row_weights[row_weights > 0], mixture)
    close(with_holes.sums, without.sums, 1e-12)
    assert with_holes.log_likelihood == pytest.approx(without.log_likelihood, rel=1e-12)
    oracles.assert_agree(after_holes, after, 1e-12)


def whole_numbers(n=700, d=3):
    """Return rows that uint8 and float16 hold exactly, and a mixture over them."""
    rows = np.random.default_rng(8).integers(0, 120, size=(n, d))
    rows[: n // 2] //= 3
    means = np.array([[20.0] * d, [70.0] * d])
    root = np.eye(d) * 20 + 5
    return rows, Mixture("full", np.array([0.3, 0.7]), means, np.array([root @ root.T, root.T @ root / 2]))


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32", ">f4", ">f8", ">i2"]
)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_input_type_gives_what_float64_gives(kernel, dtype, monkeypatch):
    force(monkeypatch, kernel)
    rows, mixture = whole_numbers()
    if dtype == "bool":
        rows = rows > 40
        mixture = Mixture("diag", mixture.weights, np.array([[0.2] * 3, [0.7] * 3]), np.full((2, 3), 0.5))
    typed = rows.astype(dtype)
    np.testing.assert_array_equal(typed, rows)
    found, after = results(typed, None, mixture)
    expected, after_float64 = results(rows.astype(float), None, mixture)
    close(found.sums, expected.sums, 1e-10)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-10)
    oracles.assert_agree(after, after_float64, 1e-10)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", ">f8"])
def test_every_type_of_row_weights_gives_what_float64_gives(dtype):
    rows, mixture = whole_numbers()
    row_weights = np.random.default_rng(9).integers(0, 5, len(rows))
    found, _ = results(rows, row_weights.astype(dtype), mixture)
    expected, _ = results(rows.astype(float), row_weights.astype(float), mixture)
    close(found.sums, expected.sums, 1e-10)


def fortran(array):
    return np.asfortranarray(array)


def strided(array):
    wide = np.zeros((len(array), 2, *array.shape[1:]), array.dtype)
    wide[:, 1] = array
    return wide[:, 1]


def reversed_twice(array):
    return np.ascontiguousarray(array[::-1])[::-1]


def unaligned(array):
    """As arrays are that a worker receives from another."""
    buffer = np.empty(array.nbytes + 1, np.uint8)[1:]
    moved = buffer.view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def big_endian(array):
    return array.astype(array.dtype.newbyteorder(">"))


LAYOUTS = [fortran, strided, reversed_twice, unaligned, read_only, big_endian]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [3, 40])
def test_the_layout_in_memory_does_not_change_a_bit_of_the_summary(d, layout):
    """Chunks arrive in other layouts on other schedulers, and a model must not depend on the scheduler."""
    n = 2 * block_rows(d) + 123
    rng = np.random.default_rng(10)
    rows, row_weights = rng.normal(size=(n, d)), rng.uniform(0.5, 1.5, n)
    expected, found = summarise_rows(rows, row_weights), summarise_rows(layout(rows), layout(row_weights))
    np.testing.assert_array_equal(found.mean, expected.mean)
    np.testing.assert_array_equal(found.scatter, expected.scatter)
    assert found.weight_sum == expected.weight_sum


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [3, 40])
def test_the_layout_in_memory_does_not_change_a_bit_of_the_statistics(d, layout):
    n = 2 * block_rows(d) + 123
    rng = np.random.default_rng(10)
    rows, row_weights = rng.normal(size=(n, d)), rng.uniform(0.5, 1.5, n)
    mixture = Mixture("full", np.array([0.4, 0.6]), rng.normal(size=(2, d)), np.array([np.eye(d), 2 * np.eye(d)]))
    coefficient = (prepare(mixture, summarise_rows(rows, row_weights)),)
    (expected,) = expect(rows, row_weights, coefficient)
    (found,) = expect(layout(rows), layout(row_weights), coefficient)
    np.testing.assert_array_equal(found.sums, expected.sums)
    assert found.log_likelihood == expected.log_likelihood
    assert found.weight_sum == expected.weight_sum


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_products_in_float32_are_within_1e_4(covariance_type, kernel, monkeypatch):
    force(monkeypatch, kernel)
    parameters = oracles.random_parameters(covariance_type, 4, 5, seed=11, spread=0.5)
    rows, _ = oracles.draw(parameters, 3000)
    single, after_single = results(rows, None, Mixture(*parameters), np.float32)
    double, after_double = results(rows, None, Mixture(*parameters), np.float64)
    assert single.log_likelihood != double.log_likelihood  # the option acts
    assert single.sums.dtype == np.float64
    assert single.log_likelihood == pytest.approx(double.log_likelihood, rel=1e-4)
    # Entropy is the difference of two numbers of the size of the log-likelihood, and so is its error.
    assert single.entropy == pytest.approx(double.entropy, abs=1e-6 * abs(double.log_likelihood))
    oracles.assert_agree(after_single, after_double, 1e-4)


def test_a_pass_over_several_mixtures_gives_each_what_it_gives_alone():
    rows, row_weights, _, _ = problem("full", True, (300, 3, 3))
    sample = in_memory(rows, row_weights)
    mixtures = tuple(
        Mixture(*oracles.random_parameters(covariance_type, k, 3, seed=k))
        for covariance_type in oracles.STRUCTURES
        for k in (1, 4)
    )
    together = sample(mixtures)
    for mixture, one in zip(mixtures, together, strict=True):
        (alone,) = sample((mixture,))
        np.testing.assert_allclose(one.sums, alone.sums, rtol=1e-11, atol=1e-11 * np.abs(alone.sums).max())
        assert one.log_likelihood == pytest.approx(alone.log_likelihood, rel=1e-13)
        assert one.entropy == pytest.approx(alone.entropy, abs=1e-12 * abs(alone.log_likelihood))
        assert one.weight_sum == alone.weight_sum


def test_the_entropy_of_one_component_is_zero():
    rows, _, mixture, _ = problem("full", False, (40, 2, 1))
    statistics, _ = results(rows, None, mixture)
    assert statistics.entropy == pytest.approx(0, abs=1e-10)


def test_a_pass_by_several_threads_has_the_same_bits():
    rows = np.random.default_rng(0).normal(size=(3 * block_rows(64) + 7, 64))
    mixture = Mixture("full", np.full(3, 1 / 3), rows[:3], np.tile(np.eye(64), (3, 1, 1)))
    coefficients = (prepare(mixture, summarise_rows(rows, None)),)
    (alone,) = expect(rows, None, coefficients)
    with helped_slot(4):
        (helped,) = expect(rows, None, coefficients)
    assert alone.log_likelihood == helped.log_likelihood
    np.testing.assert_array_equal(alone.sums, helped.sums)
