"""Predictions for rows in memory."""

import tracemalloc

import numpy as np
import pytest

from daskgmm.core.arrays.blocks import block_rows
from daskgmm.core.kernels import natural_parameters as coefficients
from daskgmm.core.kernels.natural_parameters import CentredParams, FeatureMapParams, prepare_prediction
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.scoring.prediction import PredictionOutputs, predict
from daskgmm.errors import DataError
from tests import oracles

ALL = PredictionOutputs(probabilities=True, log_density=True)


def score(rows, mixture, outputs=ALL):
    return predict(rows, None, prepare_prediction(mixture), mixture.n_components, outputs)


@pytest.fixture(params=["shared", "centred"])
def kernel(request, monkeypatch):
    bound, kind = {"shared": (np.inf, FeatureMapParams), "centred": (-1.0, CentredParams)}[request.param]
    monkeypatch.setattr(coefficients, "MAX_ERROR", dict.fromkeys(coefficients.MAX_ERROR, bound))
    return kind


@pytest.mark.parametrize("shape", [(300, 3, 3), (257, 1, 2), (40, 2, 1), (30, 4, 5)])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_labels_probabilities_and_densities_equal_the_oracles(covariance_type, shape, kernel):
    n, d, k = shape
    parameters = oracles.random_parameters(covariance_type, k, d, seed=1, spread=1.0)
    rows, _ = oracles.draw(parameters, n)
    resp, log_prob = oracles.e_step(rows, parameters)
    mixture = Mixture(*parameters)
    assert type(prepare_prediction(mixture)) is kernel
    found = score(rows, mixture)
    np.testing.assert_array_equal(found.labels, resp.argmax(axis=1))
    np.testing.assert_allclose(found.probabilities, resp.astype(float), rtol=1e-10, atol=1e-30)  # the flush
    np.testing.assert_allclose(found.log_density, log_prob.astype(float), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-14)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_rows_far_from_all_components_are_scored_right(covariance_type):
    parameters = oracles.random_parameters(covariance_type, 3, 2, seed=2)
    rows = np.array([[100.0, -80.0], [-300.0, 20.0], [1e3, 1e3]])
    resp, log_prob = oracles.e_step(rows, parameters)
    found = score(rows, Mixture(*parameters))
    np.testing.assert_array_equal(found.labels, resp.argmax(axis=1))
    np.testing.assert_allclose(found.log_density, log_prob.astype(float), rtol=1e-10)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_an_empty_component_gets_no_row(covariance_type):
    parameters = oracles.random_parameters(covariance_type, 3, 2, seed=3, spread=1.0)
    parameters = parameters._replace(weights=np.array([0.6, 0.0, 0.4]))
    rows, _ = oracles.draw(parameters, 300)
    _, log_prob = oracles.e_step(rows, parameters)
    found = score(rows, Mixture(*parameters))
    assert 1 not in found.labels
    np.testing.assert_array_equal(found.probabilities[:, 1], 0)
    np.testing.assert_allclose(found.log_density, log_prob.astype(float), rtol=1e-10, atol=1e-10)


def test_only_what_is_wanted_is_returned():
    parameters = oracles.random_parameters("full", 3, 2)
    rows, _ = oracles.draw(parameters, 50)
    whole = score(rows, Mixture(*parameters))
    for outputs in (PredictionOutputs(), PredictionOutputs(probabilities=True), PredictionOutputs(log_density=True)):
        found = score(rows, Mixture(*parameters), outputs)
        np.testing.assert_array_equal(found.labels, whole.labels)
        assert found.labels.dtype == np.int32
        for ours, theirs, asked in (
            (found.probabilities, whole.probabilities, outputs.probabilities),
            (found.log_density, whole.log_density, outputs.log_density),
        ):
            assert (ours is not None) == asked
            if asked:
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", ">f8"])
def test_rows_of_any_type_are_scored_as_float64(dtype):
    rows = np.random.default_rng(4).integers(0, 100, size=(block_rows(3) + 10, 3))
    mixture = Mixture("full", np.array([0.5, 0.5]), np.array([[20.0] * 3, [70.0] * 3]), np.array([np.eye(3) * 400] * 2))
    found, expected = score(rows.astype(dtype), mixture), score(rows.astype(float), mixture)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-10, atol=1e-30)
    np.testing.assert_allclose(found.log_density, expected.log_density, rtol=1e-10)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda rows: np.repeat(rows, 2, axis=1)[:, ::2]])
def test_rows_of_any_layout_are_scored_alike(layout):
    parameters = oracles.random_parameters("full", 3, 2)
    rows, _ = oracles.draw(parameters, 500)
    found, expected = score(layout(rows), Mixture(*parameters)), score(rows, Mixture(*parameters))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.log_density, expected.log_density)


def test_no_rows_have_no_labels():
    found = score(np.empty((0, 2)), Mixture(*oracles.random_parameters("full", 3, 2)))
    assert found.labels.shape == found.log_density.shape == (0,)
    assert found.probabilities.shape == (0, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32", ">f8"])
def test_a_value_that_is_not_finite_is_an_error_that_names_row_and_column(bad, dtype):
    rows = np.zeros((2 * block_rows(2) + 9, 2), dtype)
    rows[block_rows(2) + 3, 1] = rows[block_rows(2) + 5, 0] = bad
    with pytest.raises(DataError, match=f"^row {block_rows(2) + 3}, column 1 is {bad}"):
        score(rows, Mixture(*oracles.random_parameters("full", 3, 2)))


def test_the_caller_says_where_in_the_grid_rows_are():
    mixture, rows = Mixture(*oracles.random_parameters("full", 3, 2)), np.zeros((10, 2))
    rows[4, 0] = np.nan
    with pytest.raises(DataError, match=r"^row \(10, 4\), column 0 is nan"):
        predict(rows, None, prepare_prediction(mixture), 3, PredictionOutputs(), lambda row: (10, row))


def test_infinities_of_both_signs_are_an_error_too():
    rows = np.zeros((10, 2))
    rows[3, 1], rows[4, 0] = np.inf, -np.inf
    with pytest.raises(DataError, match="row 3, column 1"):
        score(rows, Mixture(*oracles.random_parameters("full", 3, 2)))


def test_the_largest_numbers_are_finite():
    rows = np.full((10, 2), 1e308)
    found = score(rows, Mixture(*oracles.random_parameters("full", 3, 2)), PredictionOutputs())
    assert len(found.labels) == 10


def score_top(top, k=6, n=400, **more):
    parameters = oracles.random_parameters("full", k, 2, seed=4, spread=1.0)
    rows, _ = oracles.draw(parameters, n)
    mixture = Mixture(*parameters)
    outputs = PredictionOutputs(probabilities=True, top=top, **more)
    return score(rows, mixture), predict(rows, None, prepare_prediction(mixture), k, outputs)


@pytest.mark.parametrize("top", [1, 2, 5, 6])
def test_the_largest_probabilities_come_in_falling_order_with_their_components(top):
    everything, found = score_top(top)
    order = np.argsort(-everything.probabilities, axis=1, kind="stable")[:, :top]
    np.testing.assert_array_equal(found.components, order)
    np.testing.assert_array_equal(found.probabilities, np.take_along_axis(everything.probabilities, order, axis=1))
    np.testing.assert_array_equal(found.components[:, 0], found.labels)


def test_more_components_than_there_are_are_all_of_them():
    assert score_top(9)[1].probabilities.shape == (400, 6)


def test_probabilities_come_in_the_wanted_precision():
    everything, found = score_top(None, dtype=np.float32)
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, everything.probabilities, rtol=1e-6)


def test_rows_without_weight_are_absent_and_may_hold_anything():
    parameters = oracles.random_parameters("full", 3, 2, seed=5, spread=1.0)
    rows, _ = oracles.draw(parameters, 50)
    mixture = Mixture(*parameters)
    expected = score(rows, mixture, PredictionOutputs(probabilities=True, log_density=True, top=2))
    row_weights = np.ones(50)
    absent = np.array([3, 17, 49])
    row_weights[absent] = 0
    rows[absent] = [[np.nan, 1], [np.inf, np.nan], [1e300, 0]]
    coefficients = prepare_prediction(mixture)
    found = predict(rows, row_weights, coefficients, 3, PredictionOutputs(probabilities=True, log_density=True, top=2))
    assert (found.labels[absent] == -2).all()
    assert (found.components[absent] == -2).all()
    assert np.isnan(found.probabilities[absent]).all()
    assert np.isnan(found.log_density[absent]).all()
    present = row_weights > 0
    for name in ("labels", "components", "probabilities", "log_density"):
        np.testing.assert_array_equal(getattr(found, name)[present], getattr(expected, name)[present])


def test_a_value_that_is_not_finite_is_named_though_others_are_absent():
    mixture = Mixture(*oracles.random_parameters("full", 3, 2, seed=5, spread=1.0))
    rows = np.zeros((10, 2))
    rows[[2, 7], 1] = np.nan
    row_weights = np.ones(10)
    row_weights[2] = 0
    with pytest.raises(DataError, match="row 7, column 1 is nan"):
        predict(rows, row_weights, prepare_prediction(mixture), 3, PredictionOutputs())


def test_a_thousand_probabilities_of_each_row_are_held_for_one_block_at_a_time():
    k, n = 1000, 4096
    mixture = Mixture("spherical", np.full(k, 1 / k), np.arange(k, dtype=float)[:, None], np.ones(k))
    rows = np.random.default_rng(0).uniform(0, k, (n, 1))
    predict(rows[:10], None, prepare_prediction(mixture), k, PredictionOutputs(probabilities=True, top=3))
    tracemalloc.start()
    try:
        predict(rows, None, prepare_prediction(mixture), k, PredictionOutputs(probabilities=True, top=3))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < n * k * 8 / 2
