"""The choice between the two kernels, the precision that it keeps, and covariances that are no good."""

from dataclasses import replace

import numpy as np
import pytest

from daskgmm.core.em.loop import EMOptions
from daskgmm.core.em.m_step import maximize
from daskgmm.core.init.starts import SeedOptions, in_memory, restart
from daskgmm.core.kernels import natural_parameters as coefficients
from daskgmm.core.kernels.natural_parameters import CentredParams, FeatureMapParams, prepare, prepare_prediction
from daskgmm.core.mixture.floor import DEFAULT_REG_COVAR, Floor
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.errors import DataError, SingularCovarianceError
from tests import oracles


def apart(covariance_type, distance, n=300):
    """Return rows and a mixture of three components of unit size, two of them `distance` from the first."""
    parameters = oracles.random_parameters(covariance_type, 3, 3, seed=1, spread=0.5)
    parameters.means[1:] += [[distance, 0, -distance], [distance, distance / 2, distance]]
    rows, _ = oracles.draw(parameters, n)
    return rows, parameters


def em_step(rows, mixture, dtype=np.float64):
    sample = in_memory(rows, None, dtype)
    (statistics,) = sample((mixture,))
    return statistics, maximize(mixture, statistics, sample.data_summary)


@pytest.mark.parametrize("distance", [1, 10, 100, 1000, 3000, 1e4, 1e5, 1e6])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_m_step_keeps_its_precision_however_far_apart_the_components_are(covariance_type, distance):
    rows, parameters = apart(covariance_type, distance)
    statistics, ours = em_step(rows, Mixture(*parameters))
    true = oracles.step(rows, None, parameters)
    oracles.assert_agree(ours, true.parameters, 1e-9)  # coefficients.MAX_ERROR
    assert statistics.log_likelihood == pytest.approx(true.log_likelihood, rel=1e-9)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_near_components_take_the_shared_centre(covariance_type):
    rows, parameters = apart(covariance_type, 10)
    assert type(prepare(Mixture(*parameters), in_memory(rows, None).data_summary)) is FeatureMapParams
    assert type(prepare_prediction(Mixture(*parameters))) is FeatureMapParams


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_components_a_million_deviations_apart_take_own_centres_and_need_them(covariance_type, monkeypatch):
    rows, parameters = apart(covariance_type, 1e6)
    mixture, true = Mixture(*parameters), oracles.step(rows, None, parameters)
    assert type(prepare(mixture, in_memory(rows, None).data_summary)) is CentredParams
    assert type(prepare_prediction(mixture)) is CentredParams
    statistics, ours = em_step(rows, mixture)
    assert statistics.centred
    assert oracles.covariance_error(ours, true.parameters) < 1e-9
    monkeypatch.setattr(coefficients, "MAX_ERROR", dict.fromkeys(coefficients.MAX_ERROR, np.inf))
    statistics, shared = em_step(rows, mixture)
    assert not statistics.centred
    assert oracles.covariance_error(shared, true.parameters) > 1e-6


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_narrow_component_takes_own_centres_too(covariance_type):
    rows, parameters = apart(covariance_type, 10)
    narrow = parameters._replace(covariances=parameters.covariances * 1e-8)
    assert type(prepare(Mixture(*narrow), in_memory(rows, None).data_summary)) is CentredParams


def test_float32_products_take_own_centres_earlier():
    rows, parameters = apart("full", 100)
    data_summary = in_memory(rows, None).data_summary
    assert type(prepare(Mixture(*parameters), data_summary, np.float64)) is FeatureMapParams
    assert type(prepare(Mixture(*parameters), data_summary, np.float32)) is CentredParams


@pytest.mark.parametrize("distance", [1, 3, 10, 30, 100, 1000, 1e4])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_float32_products_keep_the_covariances_to_1e_4(covariance_type, distance):
    rows, parameters = apart(covariance_type, distance)
    ours = [em_step(rows, Mixture(*parameters), dtype)[1] for dtype in (np.float32, np.float64)]
    assert 0 < oracles.covariance_error(*ours) < 1e-4


def test_float32_products_of_many_columns_share_a_centre_and_keep_the_covariances():
    """The sum of the sizes of all terms is over the bound here; rounding errors do not add up that way."""
    rng = np.random.default_rng(0)
    factors = np.eye(32) + 0.3 * rng.standard_normal((16, 32, 32)) / np.sqrt(32)
    covariances = factors @ factors.transpose(0, 2, 1)
    mixture = Mixture("full", np.full(16, 1 / 16), 2 * rng.standard_normal((16, 32)), covariances)
    rows, _ = mixture.sample(4000, rng)
    (single, ours), (_, exact) = (em_step(rows, mixture, dtype) for dtype in (np.float32, np.float64))
    assert not single.centred
    assert 0 < oracles.covariance_error(ours, exact) < 1e-4


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("centred", [False, True])
def test_coefficients_have_the_precision_that_is_asked_for(dtype, centred):
    rows, parameters = apart("full", 1e6 if centred else 1)
    found = prepare(Mixture(*parameters), in_memory(rows, None).data_summary, dtype)
    assert (found.mixture.means if centred else found.theta).dtype == dtype


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
@pytest.mark.parametrize(("dtype", "offset", "rtol"), [("float64", 1e8, 1e-6), ("float32", 1e4, 1e-3)])
def test_an_offset_does_not_change_the_fit(covariance_type, dtype, offset, rtol):
    """scikit-learn and Spark lose all digits here."""
    rows, _ = oracles.draw(oracles.random_parameters(covariance_type, 3, 2, seed=2, spread=4.0), 2000)
    rows = rows.astype(dtype)
    moved = rows + np.dtype(dtype).type(offset)
    assert moved.dtype == dtype
    options = SeedOptions(3, covariance_type, em=EMOptions(tol=1e-8))
    here, there = (restart(in_memory(one, None), options, 0).mixture for one in (rows, moved))
    np.testing.assert_allclose(there.weights, here.weights, rtol=rtol)
    assert oracles.covariance_error(there, here) < rtol
    deviations = np.sqrt(here.structure.layout.variances(here.covariances, here.means.shape))
    ulp = np.spacing(np.dtype(dtype).type(offset))  # rows are rounded to it when they are moved
    np.testing.assert_array_less(np.abs(there.means - offset - here.means), rtol * deviations + ulp)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_an_offset_does_not_change_the_m_step_of_many_rows_in_order(covariance_type):
    """Several blocks of the data summary whose means are far apart, as sorted data have them."""
    rows = np.random.default_rng(3).normal(size=(300_000, 2))
    rows[150_000:] += 10
    moved = rows + 1e8
    rows = moved - 1e8  # exact, so that both are the same rows
    unit = {"full": np.array([np.eye(2)] * 2), "tied": np.eye(2), "diag": np.ones((2, 2)), "spherical": np.ones(2)}
    means = np.array([[0.0, 0.0], [10.0, 10.0]])
    mixture = Mixture(covariance_type, np.array([0.5, 0.5]), means, unit[covariance_type])
    _, here = em_step(rows, mixture)
    _, there = em_step(moved, replace(mixture, means=mixture.means + 1e8))
    assert oracles.covariance_error(there, here) < 1e-6


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 + 0.3])
def test_a_constant_column_without_reg_covar_is_an_error_that_names_component_and_remedy(covariance_type, value):
    rows = np.random.default_rng(3).normal(size=(100, 3))
    rows[:, 1] = value
    error = restart(in_memory(rows, None), SeedOptions(2, covariance_type, em=EMOptions()), 0)
    assert isinstance(error, SingularCovarianceError)
    assert isinstance(error, DataError)
    assert "component 0" in str(error)
    assert "increase reg_covar" in str(error)
    assert "decrease n_components" in str(error)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
@pytest.mark.parametrize("factor", [1.0, 3.0, -0.1])
@pytest.mark.parametrize("offset", [0.0, 0.1, 1e8])
def test_a_duplicate_column_without_reg_covar_is_an_error(covariance_type, factor, offset):
    rows = np.random.default_rng(4).normal(size=(100, 3))
    rows[:, 1] = factor * rows[:, 0] + offset
    for seed in range(3):
        error = restart(in_memory(rows, None), SeedOptions(2, covariance_type, em=EMOptions()), seed)
        assert isinstance(error, SingularCovarianceError)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_constant_and_duplicate_columns_are_fitted_with_reg_covar(covariance_type):
    rows, labels = oracles.draw(oracles.random_parameters(covariance_type, 2, 2, seed=5, spread=8.0), 300)
    wide = np.column_stack([rows, np.full(len(rows), 7.5), 3 * rows[:, 0] - 1])
    sample = in_memory(wide, None)
    em = EMOptions(floor=Floor.of(sample.data_summary, DEFAULT_REG_COVAR))
    trial = restart(sample, SeedOptions(2, covariance_type, em=em), 0)
    shares = np.sort(np.bincount(labels) / len(labels))
    np.testing.assert_allclose(np.sort(trial.mixture.weights), shares, atol=0.02)
    np.testing.assert_allclose(trial.mixture.means[:, 2], 7.5, rtol=1e-12)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan])
@pytest.mark.parametrize(("covariance_type", "component"), [("full", 1), ("tied", 0), ("diag", 1), ("spherical", 1)])
def test_a_covariance_that_is_not_positive_is_an_error_that_names_its_component(covariance_type, component, bad):
    rows, parameters = apart(covariance_type, 1)
    broken = parameters.covariances.copy()
    index = {"full": (1, 2, 2), "tied": (2, 2), "diag": (1, 2), "spherical": (1,)}[covariance_type]
    broken[index] = bad
    mixture, data_summary = Mixture(*parameters._replace(covariances=broken)), in_memory(rows, None).data_summary
    with pytest.raises(SingularCovarianceError, match=f"component {component} is not positive definite"):
        prepare(mixture, data_summary)


def test_all_rows_the_same_without_reg_covar_is_an_error_for_spherical_covariances():
    rows = np.full((20, 2), 3.7)
    error = restart(in_memory(rows, None), SeedOptions(2, "spherical", em=EMOptions()), 0)
    assert isinstance(error, SingularCovarianceError)
