"""Missing values in the estimator: reference answers, kinds of input, and what is refused."""

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest

from daskgmm import GaussianMixture, GaussianMixtureSelector
from daskgmm.core.em.priors import sample_covariance
from daskgmm.core.mixture.covariance import FAMILIES
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.errors import DataError
from tests import oracles
from tests.references.answers import Folder

REFERENCE = Folder().fits("missing")
IDS = [f"{one['data']}-{one['k']}" for one in REFERENCE]


def rows_of(reference):
    return Folder().rows(reference["data"])


@pytest.fixture
def gappy():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(150, 3)), rng.normal(size=(150, 3)) + 5])
    rows[rng.random(rows.shape) < 0.15] = np.nan
    return rng.permutation(rows)


@pytest.mark.slow
@pytest.mark.parametrize("reference", REFERENCE, ids=IDS)
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_own_starts_end_no_lower_than_the_reference(reference, covariance_type):
    rows, k = rows_of(reference), reference["k"]
    least = (reference if covariance_type == "full" else reference["diag"])["loglik"]
    model = GaussianMixture(k, covariance_type=covariance_type, missing="marginal", resolution=0, random_state=0)
    assert model.fit(rows).score(rows) * len(rows) > least - 0.5


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


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EII", "VEI", "EVE", "VEV"])
def test_chunks_change_rounding_alone(gappy, covariance_type):
    assert_chunks_change_rounding_alone(gappy, covariance_type, np.float64)


@pytest.mark.slow  # it compiles the kernel for float32
def test_chunks_of_single_precision_change_rounding_alone(gappy):
    assert_chunks_change_rounding_alone(gappy, "full", np.float32)


def assert_chunks_change_rounding_alone(gappy, covariance_type, dtype):
    options = {"covariance_type": covariance_type, "missing": "marginal", "tol": 1e-9, "max_iter": 500}
    weights = np.random.default_rng(1).integers(0, 3, len(gappy))
    whole = GaussianMixture(2, random_state=0, **options).fit(gappy, sample_weight=weights)
    chunked = GaussianMixture(2, random_state=0, **options).fit(
        da.from_array(gappy.astype(dtype), chunks=(70, 3)), sample_weight=weights
    )
    order = np.argsort(whole.means_[:, 0]), np.argsort(chunked.means_[:, 0])
    np.testing.assert_allclose(whole.means_[order[0]], chunked.means_[order[1]], atol=1e-4)
    assert np.diff(whole.lower_bounds_).min(initial=0) >= 0


def moments_of(naive):
    """Return counts, means and covariances of the rows of a naive step."""
    means = naive.first / naive.counts[:, None]
    outer = means[:, :, None] * means[:, None, :]
    return naive.counts, means, naive.second / naive.counts[:, None, None] - outer


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("name", FAMILIES)
def test_the_limit_of_each_family_is_a_fixed_point_of_the_naive_step(gappy, name):
    rows, weights = gappy[:80], np.random.default_rng(2).integers(0, 3, 80)
    options = {"reg_covar": 0, "resolution": 0, "tol": 1e-11, "max_iter": 5_000, "n_init": 1, "random_state": 0}
    model = GaussianMixture(2, covariance_type=name, missing="marginal", **options).fit(rows, sample_weight=weights)
    mixture = model._mixture()
    dense = oracles.Parameters("full", mixture.weights, mixture.means, mixture.matrices().dense)
    naive = oracles.missing_step(rows, weights, dense)
    assert model.lower_bound_ == pytest.approx(float(weights @ naive.log_prob) / weights.sum(), abs=1e-9)
    assert np.diff(model.lower_bounds_).min(initial=0) >= 0
    counts, means, own = moments_of(naive)
    np.testing.assert_allclose(model.weights_, counts / counts.sum(), atol=1e-4)
    np.testing.assert_allclose(model.means_, means, atol=1e-3)
    layout = mixture.structure.layout
    reduced = layout.gather(counts, np.array([layout.reduce(one) for one in own]))
    expected = mixture.structure.estimate(counts, reduced, mixture.covariances)
    np.testing.assert_allclose(mixture.covariances, expected, atol=2e-3)
    np.testing.assert_allclose(model.impute(rows), naive.imputed, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["VVV", "EEI"])
def test_a_prior_of_rows_with_gaps_is_raised_by_each_step(gappy, name):
    model = GaussianMixture(3, covariance_type=name, missing="marginal", prior="default", random_state=0, tol=1e-8)
    assert np.diff(model.fit(gappy).lower_bounds_).min(initial=0) >= 0


def test_the_default_prior_has_the_variances_of_the_values_that_there_are(gappy):
    prior = sample_covariance(summarise_rows(gappy, None, missing=True))
    np.testing.assert_allclose(np.diagonal(prior), np.nanvar(gappy, axis=0, ddof=1))


@pytest.mark.parametrize(
    "options", [{}, {"covariance_type": "EVE"}, {"noise": True}, {"covariance_type": "diag", "prior": "default"}]
)
def test_schedulers_give_the_same_bits(gappy, options):
    rows, models = da.from_array(gappy, chunks=(70, 3)), []
    for scheduler in ("sync", "threads"):
        with dask.config.set(scheduler=scheduler, num_workers=3):
            model = GaussianMixture(2, missing="marginal", sample_size=150, n_init=1, random_state=0, **options)
            models.append(model.fit(rows))
    for name in ("weights_", "noise_weight_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(*(getattr(one, name) for one in models))
    filled = [model.impute(rows).compute(scheduler=name) for name in ("sync", "threads")]
    np.testing.assert_array_equal(*filled)


def test_a_row_without_any_value_is_scored_0_and_has_a_label_of_its_own(gappy):
    gappy[7] = np.nan
    model = GaussianMixture(2, missing="marginal", random_state=0).fit(gappy)
    assert (model.predict(gappy)[7], model.score_samples(gappy)[7]) == (-2, 0.0)
    np.testing.assert_allclose(model.predict_proba(gappy)[7], model.weights_)
    assert model.score(gappy) == pytest.approx(model.lower_bound_, abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_without_any_value_leave_icl_as_it_is(gappy, weighted):
    rows = np.array(gappy)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, len(rows)) if weighted else None
    model = GaussianMixture(2, missing="marginal", random_state=0).fit(rows, sample_weight=weights)
    empty = np.full((40, rows.shape[1]), np.nan)
    more = None if weights is None else np.append(weights, np.ones(40))
    before, after = model.icl(rows, sample_weight=weights), model.icl(np.concatenate([rows, empty]), sample_weight=more)
    n = len(rows) if weights is None else weights.sum()
    assert after - before == pytest.approx(model._n_parameters() * np.log((n + 40) / n), rel=1e-6)


def test_a_sweep_finds_the_groups_of_rows_with_gaps(gappy):
    selector = GaussianMixtureSelector(
        range(1, 4), covariance_type=("full", "spherical"), criterion="heldout", missing="marginal", random_state=0
    ).fit(gappy)
    assert selector.best_params_ == {"n_components": 2, "covariance_type": "spherical"}
    assert selector.predict(gappy).shape == (300,)


@pytest.mark.slow
def test_a_sweep_of_families_and_noise_ends_as_their_own_fits(gappy):
    shared = {"missing": "marginal", "random_state": 0, "tol": 1e-8}
    families = ["EVI", "VEV"]
    selector = GaussianMixtureSelector([2], covariance_type=families, noise=[False, True], leave_early=False, **shared)
    levels = selector.fit(gappy).results_
    found = dict(zip(levels["name"], levels["log_likelihood"], strict=True))
    for name, noise in (("EVI", False), ("VEV", True)):
        own = GaussianMixture(2, covariance_type=name, noise=noise, **shared).fit(gappy)
        assert found[f"{name}+noise-2" if noise else f"{name}-2"] >= 300 * own.lower_bound_ - 0.1


def test_a_constant_column_with_gaps_correlates_with_none():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 6])
    rows[rng.random(rows.shape) < 0.1] = np.nan
    constant = np.where(rng.random(120) < 0.1, np.nan, 2.0)
    model = GaussianMixture(2, missing="marginal", random_state=0).fit(np.column_stack([rows, constant]))
    without = GaussianMixture(2, missing="marginal", random_state=0).fit(rows)
    np.testing.assert_allclose(model.means_[:, 2], 2.0)
    np.testing.assert_allclose(model.means_[:, :2], without.means_, atol=1e-3)
