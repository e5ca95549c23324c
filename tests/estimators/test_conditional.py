"""Imputation, marginals and conditionals by the estimator, of all kinds of input."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from daskgmm import BayesianGaussianMixture, GaussianMixture
from daskgmm.core.mixture.conditional import condition, marginal
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.errors import ConfigurationError, DataError

from .. import oracles


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) @ rng.normal(size=(3, 3)) + 5])


@pytest.fixture
def model(rows):
    return GaussianMixture(2, random_state=0).fit(rows)


@pytest.fixture
def named(rows):
    return GaussianMixture(2, random_state=0).fit(pd.DataFrame(rows, columns=["a", "b", "c"]))


def parameters(mixture):
    return oracles.Parameters(mixture.covariance_type, mixture.weights, mixture.means, mixture.covariances)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_a_density_is_that_of_the_marginal_times_that_of_the_conditional(covariance_type):
    mixture = Mixture(*oracles.random_parameters(covariance_type, 3, 4))
    row = np.array([0.3, -0.2, 0.9, 0.1])
    parts = marginal(mixture, [2, 0]), condition(mixture, [2, 0], row[[2, 0]])
    whole = float(oracles.e_step(row[None], parameters(mixture))[1][0])
    logs = (
        oracles.e_step(values[None], parameters(part))[1][0]
        for part, values in zip(parts, (row[[2, 0]], row[[1, 3]]), strict=True)
    )
    assert sum(map(float, logs)) == pytest.approx(whole, abs=1e-10)


def test_observed_values_keep_their_bits_and_lazy_rows_stay_lazy(model):
    rows = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    rows[::3, 1] = np.nan
    lazy = model.impute(da.from_array(rows, chunks=(10, 3)))
    assert isinstance(lazy, da.Array)
    assert (lazy.dtype, lazy.chunks) == (np.float32, ((10,) * 4, (3,)))
    filled, gaps = lazy.compute(), np.isnan(rows)
    np.testing.assert_array_equal(filled[~gaps].view(np.int32), rows[~gaps].view(np.int32))
    np.testing.assert_array_equal(filled, model.impute(rows))
    labelled = model.impute(xr.DataArray(rows, dims=("time", "band"), coords={"time": np.arange(40)}))
    assert labelled.dims == ("time", "band")
    np.testing.assert_array_equal(labelled, filled)


def test_standard_errors_are_0_where_values_are_observed(model):
    rows = np.array([[0.0, np.nan, 0.0], [np.nan] * 3])
    filled, errors = model.impute(rows, return_std=True)
    assert errors[0, [0, 2]].tolist() == [0, 0]
    assert errors[0, 1] > 0
    np.testing.assert_allclose(filled[1], model.weights_ @ model.means_)


def test_a_marginal_scores_some_of_the_columns_and_keeps_their_names(named):
    part = named.marginal(["c", "a"])
    assert part.feature_names_in_.tolist() == ["c", "a"]
    frame = pd.DataFrame(np.random.default_rng(2).normal(size=(20, 2)), columns=["c", "a"])
    whole = frame.assign(b=np.nan)[["a", "b", "c"]]
    named.set_params(missing="marginal")
    np.testing.assert_allclose(part.score_samples(frame), named.score_samples(whole), atol=1e-10)
    np.testing.assert_array_equal(part.predict(frame), named.predict(whole))


def test_the_noise_has_marginals_and_conditionals_by_the_sides_of_its_box():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(200, 3)), rng.uniform(-9, 9, (40, 3))])
    model = GaussianMixture(1, noise=True, missing="marginal", random_state=0).fit(rows)
    part, given = model.marginal([2, 0]), model.condition([1], [0.4])
    some = np.where([False, True, False], np.nan, rows[190:210])
    np.testing.assert_allclose(part.score_samples(some[:, [2, 0]]), model.score_samples(some), atol=1e-9)
    some[:, 1] = 0.4
    alone = model.marginal([1]).score_samples([[0.4]])
    np.testing.assert_allclose(given.score_samples(some[:, [0, 2]]), model.score_samples(some) - alone, atol=1e-9)


def test_noise_without_a_box_has_no_marginals():
    model = GaussianMixture(1, noise=1e3).fit(np.random.default_rng(0).normal(size=(60, 2)))
    with pytest.raises(ConfigurationError, match="sides are not known"):
        model.marginal([0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.marginal(["z"]), "there is no feature 'z': the model has 0 to 2 and a, b, c"),
        (lambda model: model.marginal([]), "no feature is given"),
        (lambda model: model.marginal(["a", 0]), "feature 0 is given twice"),
        (lambda model: model.marginal("a"), "a list of names or numbers, got 'a'"),
        (lambda model: model.condition(0, [0.0]), "a list of names or numbers, got 0"),
        (lambda model: model.condition(["a"], ["x"]), "values must be numbers"),
        (lambda model: model.condition(["a"], [np.nan]), "1 finite numbers"),
        (lambda model: model.condition(["a", "b", "c"], [0, 0, 0]), "leave one out"),
        (lambda model: model.impute(pd.DataFrame([[0, np.inf, np.nan]], columns=["a", "b", "c"])), "row 0, column 1"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(named, call, message):
    with pytest.raises(DataError, match=message):
        call(named)


def test_an_estimator_of_other_parameters_has_marginals_too():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    model = BayesianGaussianMixture(n_components=2, random_state=0).fit(rows)
    np.testing.assert_array_equal(model.marginal([2, 0]).means_, model.means_[:, [2, 0]])
