"""Missing values in the estimator: reference answers, kinds of input, and what is refused."""

import json

import dask.array as da
import numpy as np
import pandas as pd
import pytest

from daskgmm import GaussianMixture, GaussianMixtureSelector
from daskgmm.errors import DataError
from tests.conftest import DATA

REFERENCE = json.loads((DATA / "missing.json").read_text())["fits"]
IDS = [f"{one['data']}-{one['n_components']}" for one in REFERENCE]


def rows_of(reference):
    return np.genfromtxt(DATA / reference["data"], delimiter=",", skip_header=1, missing_values="NA")


@pytest.fixture
def gappy():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(150, 3)), rng.normal(size=(150, 3)) + 5])
    rows[rng.random(rows.shape) < 0.15] = np.nan
    return rng.permutation(rows)


@pytest.mark.parametrize("reference", REFERENCE, ids=IDS)
def test_from_the_given_start_the_log_likelihoods_are_the_reference_ones(reference):
    rows, start = rows_of(reference), reference["start"]
    model = GaussianMixture(
        reference["n_components"],
        missing="marginal",
        weights_init=start["weights"],
        means_init=start["means"],
        precisions_init=np.linalg.inv(start["covariances"]),
        tol=1e-8,
        max_iter=2000,
        resolution=0,
    ).fit(rows)
    assert model.lower_bounds_[0] * len(rows) == pytest.approx(reference["loglik_at_start"], abs=1e-6)
    assert model.lower_bound_ * len(rows) == pytest.approx(reference["loglik"], abs=2e-3)


@pytest.mark.parametrize("reference", REFERENCE, ids=IDS)
@pytest.mark.parametrize(("covariance_type", "key"), [("full", "loglik"), ("diag", "diag_loglik")])
def test_own_starts_end_no_lower_than_the_reference(reference, covariance_type, key):
    rows, k = rows_of(reference), reference["n_components"]
    model = GaussianMixture(k, covariance_type=covariance_type, missing="marginal", resolution=0, random_state=0)
    assert model.fit(rows).score(rows) * len(rows) > reference[key] - 0.5


def test_nan_is_refused_by_default_and_the_option_named(gappy):
    with pytest.raises(DataError, match="missing='marginal'"):
        GaussianMixture(2).fit(gappy)


def test_infinite_values_are_refused(gappy):
    gappy[3, 1] = np.inf
    with pytest.raises(DataError, match="row 3, column 1"):
        GaussianMixture(2, missing="marginal").fit(gappy)
    model = GaussianMixture(2, missing="marginal", random_state=0).fit(np.delete(gappy, 3, axis=0))
    with pytest.raises(DataError, match="row 3, column 1"):
        model.predict(gappy)


def test_a_column_without_any_value_is_refused_by_name(gappy):
    frame = pd.DataFrame(gappy, columns=["a", "b", "c"]).assign(b=np.nan)
    with pytest.raises(DataError, match=r"column 1.* has no value in any row"):
        GaussianMixture(2, missing="marginal").fit(frame)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_rows_without_gaps_give_the_bits_of_missing_error(gappy, covariance_type):
    rows = gappy[~np.isnan(gappy).any(axis=1)]
    marginal, error = (
        GaussianMixture(2, covariance_type=covariance_type, missing=missing, random_state=0).fit(rows)
        for missing in ("marginal", "error")
    )
    np.testing.assert_array_equal(marginal.means_, error.means_)
    np.testing.assert_array_equal(marginal.covariances_, error.covariances_)


def test_masked_arrays_and_nullable_columns_are_missing_values(gappy):
    whole = np.round(gappy * 10)
    expected = GaussianMixture(2, missing="marginal", random_state=0).fit(whole)
    masked = np.ma.masked_array(np.nan_to_num(whole).astype(int), np.isnan(whole))
    nullable = pd.DataFrame(whole, columns=["a", "b", "c"]).astype("Int64")
    lazy = da.from_array(masked, chunks=(300, 3))
    for rows in (masked, nullable, lazy):
        found = GaussianMixture(2, missing="marginal", random_state=0).fit(rows)
        np.testing.assert_allclose(found.means_, expected.means_, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EII", "VEI", "EVE", "VEV"])
def test_chunks_change_rounding_alone(gappy, covariance_type):
    options = {"covariance_type": covariance_type, "missing": "marginal", "tol": 1e-9, "max_iter": 500}
    weights = np.random.default_rng(1).integers(0, 3, len(gappy))
    whole = GaussianMixture(2, random_state=0, **options).fit(gappy, sample_weight=weights)
    chunked = GaussianMixture(2, random_state=0, **options).fit(
        da.from_array(gappy.astype(np.float32), chunks=(70, 3)), sample_weight=weights
    )
    order = np.argsort(whole.means_[:, 0]), np.argsort(chunked.means_[:, 0])
    np.testing.assert_allclose(whole.means_[order[0]], chunked.means_[order[1]], atol=1e-4)
    assert np.diff(whole.lower_bounds_).min(initial=0) >= 0


def test_a_row_without_any_value_is_scored_0_and_has_a_label_of_its_own(gappy):
    gappy[7] = np.nan
    model = GaussianMixture(2, missing="marginal", random_state=0).fit(gappy)
    assert (model.predict(gappy)[7], model.score_samples(gappy)[7]) == (-2, 0.0)
    np.testing.assert_allclose(model.predict_proba(gappy)[7], model.weights_)
    assert model.score(gappy) == pytest.approx(model.lower_bound_, abs=1e-9)


def test_a_sweep_finds_the_groups_of_rows_with_gaps(gappy):
    selector = GaussianMixtureSelector(
        range(1, 4), covariance_type=("full", "spherical"), criterion="heldout", missing="marginal", random_state=0
    ).fit(gappy)
    assert selector.best_params_ == {"n_components": 2, "covariance_type": "spherical"}
    assert selector.predict(gappy).shape == (300,)


def test_a_constant_column_with_gaps_correlates_with_none():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 6])
    rows[rng.random(rows.shape) < 0.1] = np.nan
    constant = np.where(rng.random(120) < 0.1, np.nan, 2.0)
    model = GaussianMixture(2, missing="marginal", random_state=0).fit(np.column_stack([rows, constant]))
    without = GaussianMixture(2, missing="marginal", random_state=0).fit(rows)
    np.testing.assert_allclose(model.means_[:, 2], 2.0)
    np.testing.assert_allclose(model.means_[:, :2], without.means_, atol=1e-3)
