"""Labelled rows through the estimator, beside a naive EM."""

import dask
import dask.array as da
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris

from daskgmm import GaussianMixture, bootstrap
from daskgmm.core.mixture.covariance import FAMILIES
from daskgmm.errors import ConfigurationError, DataError
from tests import oracles

IRIS, SPECIES = load_iris(return_X_y=True)
LABELS = np.where(np.arange(1, 151) % 5 == 0, SPECIES, -1)


def fitted(rows=IRIS, labels=LABELS, k=3, sample_weight=None, **options):
    model = GaussianMixture(k, **{"random_state": 0, "n_init": 1, **options})
    return model.fit(rows, labels, sample_weight=sample_weight)


@pytest.mark.parametrize("family", ["VVV", "EEE", "VVI", "EII", "VEE"])
def test_the_limit_is_a_fixed_point_of_the_equations_and_none_is_above_the_next(family):
    model = fitted(covariance_type=family, tol=1e-12, max_iter=2_000, reg_covar=0, resolution=0)
    covariances = {
        "EEE": lambda c: [c] * 3,
        "VVI": lambda c: list(map(np.diag, c)),
        "EII": lambda c: [one * np.eye(4) for one in c],
    }.get(family, list)(model.covariances_)
    joint = np.array([
        weight * multivariate_normal(mean, covariance).pdf(IRIS)
        for weight, mean, covariance in zip(model.weights_, model.means_, covariances, strict=True)
    ]).T  # fmt: skip
    known = LABELS >= 0
    resp = np.where(known[:, None], np.eye(3)[LABELS], joint / joint.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.weights_, resp.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(model.means_, resp.T @ IRIS / resp.sum(axis=0)[:, None], atol=1e-4)
    level = np.where(known, np.log(joint[np.arange(150), LABELS]), np.log(joint.sum(axis=1))).mean()
    assert model.lower_bound_ == pytest.approx(level, abs=1e-9)
    assert np.diff(model.lower_bounds_).min(initial=0) >= 0


def test_every_family_keeps_the_numbers_of_its_labels():
    for family in FAMILIES:
        model = fitted(covariance_type=family)
        for species in range(3):
            assert (model.predict(IRIS[species == SPECIES]) == species).mean() > 0.6, family


def test_components_without_labels_find_their_own_rows_and_labels_decide_the_numbers():
    rows = np.random.default_rng(0).normal(size=(600, 2)) + np.repeat([[0, 0], [9, 0], [0, 9]], 200, axis=0)
    labels = np.full(600, -1)
    labels[[0, 1, 2, 3]], labels[[400, 401, 402]] = 2, 0
    model = fitted(rows, labels)
    np.testing.assert_allclose(model.means_, [[0, 9], [9, 0], [0, 0]], atol=0.3)


def test_labels_with_chunks_samples_weights_and_far_rows_give_the_same_model():
    exact = fitted(tol=1e-9)
    lazy = fitted(da.from_array(IRIS, chunks=(40, 4)), da.from_array(LABELS, chunks=50), tol=1e-9)
    again = fitted(da.from_array(IRIS, chunks=(40, 4)), da.from_array(LABELS, chunks=50), tol=1e-9)
    np.testing.assert_array_equal(lazy.means_, again.means_)
    np.testing.assert_allclose(lazy.means_, exact.means_, atol=1e-3)
    sampled = fitted(sample_size=60, tol=1e-9)
    assert sampled.lower_bound_ == pytest.approx(exact.lower_bound_, abs=1e-3)
    twice = fitted(sample_weight=np.full(150, 2.0), tol=1e-9)
    np.testing.assert_allclose(twice.means_, exact.means_, atol=1e-3)
    far = fitted(IRIS + 1e6, tol=1e-9, resolution=0)  # own centres
    np.testing.assert_allclose(far.means_ - 1e6, fitted(tol=1e-9, resolution=0).means_, atol=1e-2)
    left_out = np.ones(150)
    left_out[::5] = 0
    rest = fitted(IRIS[left_out > 0], LABELS[left_out > 0], tol=1e-9)
    np.testing.assert_allclose(fitted(sample_weight=left_out, tol=1e-9).means_, rest.means_, atol=1e-3)


def with_gaps(rows, share=0.2, seed=3):
    """Return rows with values missing at random, none in the first feature."""
    rows = rows.copy()
    rows[:, 1:][np.random.default_rng(seed).random(rows[:, 1:].shape) < share] = np.nan
    return rows


@pytest.mark.parametrize(("family", "offset"), [("full", 0.0), ("full", 1e6), ("diag", 0.0), ("tied", 0.0)])
def test_labelled_rows_with_gaps_count_by_what_they_have(family, offset):
    rows = with_gaps(IRIS) + offset
    options = {"missing": "marginal", "tol": 1e-10, "max_iter": 2_000, "reg_covar": 0, "resolution": 0}
    model = fitted(rows, covariance_type=family, **options)
    parameters = oracles.Parameters(family, model.weights_, model.means_ - offset, model.covariances_)
    naive = oracles.missing_step(rows - offset, None, parameters)
    known = LABELS >= 0
    level = np.where(
        known,
        (np.log(np.maximum(naive.resp, 1e-300)) + naive.log_prob[:, None])[np.arange(150), LABELS],
        naive.log_prob,
    )
    assert model.lower_bound_ == pytest.approx(level.mean(), abs=1e-6)
    assert np.diff(model.lower_bounds_).min(initial=0) >= 0
    resp = np.where(known[:, None], np.eye(3)[LABELS], naive.resp)
    np.testing.assert_allclose(model.weights_, resp.mean(axis=0), atol=1e-4)
    dense = oracles.dense_covariances(parameters)
    for c, (mean, covariance) in enumerate(zip(parameters.means, dense, strict=True)):
        own = oracles.Parameters("full", np.ones(1), mean[None], covariance[None])
        alone = oracles.missing_step(rows - offset, resp[:, c], own)
        np.testing.assert_allclose(mean, alone.first[0] / alone.counts[0], atol=1e-3)


def test_labelled_rows_with_gaps_in_chunks_with_weights_and_noise():
    rows, options = with_gaps(IRIS), {"missing": "marginal", "tol": 1e-9}
    weights = np.random.default_rng(0).integers(0, 3, 150)
    repeated = np.repeat(np.arange(150), weights)
    one = fitted(rows, sample_weight=weights, **options)
    chunks = da.from_array(rows, chunks=(40, 4)), da.from_array(LABELS, chunks=50)
    np.testing.assert_allclose(fitted(*chunks, sample_weight=weights, **options).means_, one.means_, atol=1e-3)
    copies = fitted(rows[repeated], LABELS[repeated], **options)
    np.testing.assert_allclose(copies.means_, one.means_, atol=1e-3)
    noisy = fitted(rows, noise=True, missing="marginal")
    assert noisy.weights_.sum() + noisy.noise_weight_ == pytest.approx(1)
    assert np.diff(noisy.lower_bounds_).min(initial=0) >= 0


def test_a_class_whose_rows_all_lack_a_feature_is_found():
    rows = IRIS.copy()
    rows[LABELS == 1, 2] = np.nan
    rows[0] = np.nan
    model = fitted(rows, missing="marginal")
    assert (model.predict(rows)[LABELS == 1] == 1).mean() > 0.8


def test_labels_go_with_noise_and_frozen_components():
    box = np.random.default_rng(0).uniform(IRIS.min(axis=0), IRIS.max(axis=0), (40, 4))
    rows, labels = np.concatenate([IRIS, box]), np.concatenate([LABELS, np.full(40, -1)])
    model = fitted(rows, labels, noise=True)
    assert model.noise_weight_ > 0.1
    assert model.weights_.sum() + model.noise_weight_ == pytest.approx(1)
    once = fitted()
    again = fitted(means_init=once.means_ + 0.1, precisions_init=once.precisions_, frozen=[1])
    np.testing.assert_array_equal(again.means_[1], once.means_[1] + 0.1)


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"noise": True}, None),
        ({"noise": True, "covariance_type": "tied"}, LABELS),
        ({"noise": True, "missing": "marginal"}, LABELS),
        ({"frozen": [0], "means_init": IRIS[[0, 60, 120]], "precisions_init": np.array([np.eye(4)] * 3)}, LABELS),
    ],
    ids=["noise", "noise and labels", "gaps, noise and labels", "frozen and labels"],
)
def test_schedulers_give_the_same_bits(options, labels):
    rows = da.from_array(with_gaps(IRIS) if "missing" in options else IRIS, chunks=(40, 4))
    models = []
    for scheduler in ("sync", "threads"):
        with dask.config.set(scheduler=scheduler, num_workers=3):
            models.append(fitted(rows, labels, sample_size=80, **options))
    for name in ("weights_", "noise_weight_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(*(getattr(one, name) for one in models))


@pytest.mark.parametrize("y", [SPECIES, SPECIES.astype(float), np.where(LABELS < 0, -1.0, LABELS), [["a"]] * 150])
def test_targets_that_are_no_labels_are_ignored(y):
    np.testing.assert_array_equal(fitted(labels=y).means_, fitted(labels=None).means_)


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        (np.where(LABELS == 2, 3, LABELS), {}, DataError, r"row 104 has the label 3: .* 0 to 2, or -1"),
        (np.where(LABELS == 2, -2, LABELS), {}, DataError, "has the label -2"),
        (LABELS[:100], {}, DataError, "give one label for each row"),
        (
            LABELS,
            {"covariance_type": "low_rank", "n_factors": 2},
            ConfigurationError,
            "not for covariance_type low_rank",
        ),
    ],
)
def test_labels_that_cannot_be_are_refused(labels, options, error, message):
    with pytest.raises(error, match=message):
        fitted(labels=labels, **options)


def test_the_first_row_of_a_label_that_is_none_is_named_in_any_block():
    labels = LABELS.copy()
    labels[[97, 120]] = 7
    for chunk in (150, 40, 7):
        with pytest.raises(DataError, match="row 97 has the label 7: "):
            fitted(da.from_array(IRIS, chunks=(chunk, 4)), da.from_array(labels, chunks=chunk))


def test_labels_of_a_grid_go_by_dimensions_and_coordinates_and_masked_ones_are_refused():
    xr = pytest.importorskip("xarray")
    coords = {"y": np.arange(15.0), "x": np.arange(10.0)}
    rows = xr.DataArray(IRIS.reshape(15, 10, 4), dims=("y", "x", "feature"), coords=coords)
    labels = xr.DataArray(LABELS.reshape(15, 10), dims=("y", "x"), coords=coords)
    expected = fitted(rows, labels).means_
    np.testing.assert_array_equal(fitted(rows, labels.transpose("x", "y")).means_, expected)
    with pytest.raises(DataError, match="y and the rows differ in their coordinates"):
        fitted(rows, labels.assign_coords(y=coords["y"][::-1]))
    with pytest.raises(DataError, match="y is a masked array with 30 masked values: fill them with -1"):
        fitted(IRIS, np.ma.masked_array(LABELS, LABELS >= 0))


def test_a_bootstrap_of_a_fit_with_labels_is_refused():
    with pytest.raises(ConfigurationError, match="was fitted with labels, which resamples would leave out"):
        bootstrap(fitted(), IRIS, n_resamples=3)
    bootstrap(fitted().fit(IRIS), IRIS, n_resamples=3)
