"""Frozen components through the estimator and jobs: what stays, what is fitted, what is refused."""

import numpy as np
import pytest

from daskgmm import GaussianMixture, load_model
from daskgmm.config import parse_config
from daskgmm.core.em.information_criteria import criteria
from daskgmm.errors import ConfigurationError
from daskgmm.jobs.fit import fit
from daskgmm.jobs.select import select

RNG = np.random.default_rng(5)
PARTS = [RNG.normal(size=(n, 2)) for n in (200, 300, 100)]
ROWS = np.concatenate([PARTS[0], PARTS[1] * [2, 0.5] + [4, 1], PARTS[2] + 8])
MEANS = np.array([[0.5, 0.5], [4.0, 1.0], [7.0, 7.0]])
PRECISIONS = {
    "full": np.array([2 * np.eye(2)] * 3),
    "diag": np.full((3, 2), 2.0),
    "tied": 2 * np.eye(2),
    "VEE": None,
    "low_rank": None,
}


def held(covariance_type="full", frozen=(0, 2), **options):
    options = {"means_init": MEANS, "precisions_init": PRECISIONS[covariance_type], "random_state": 0, **options}
    return GaussianMixture(3, covariance_type=covariance_type, frozen=frozen, **options)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_frozen_components_keep_their_bits_and_the_others_and_all_weights_are_fitted(covariance_type):
    model = held(covariance_type).fit(ROWS)
    given = np.linalg.inv(PRECISIONS["full"]) if covariance_type == "full" else 1 / PRECISIONS["diag"]
    np.testing.assert_array_equal(model.means_[[0, 2]], MEANS[[0, 2]])
    np.testing.assert_array_equal(model.covariances_[[0, 2]], given[[0, 2]])
    assert abs(model.means_[1] - MEANS[1]).max() > 1e-3
    np.testing.assert_allclose(model.weights_, [1 / 3, 1 / 2, 1 / 6], atol=0.03)
    assert np.diff(model.lower_bounds_).min() >= 0


def test_the_limit_is_that_of_a_naive_em():
    model = held(tol=1e-9, max_iter=1_000, reg_covar=0, resolution=0).fit(ROWS)
    means, covariances, weights = MEANS.copy(), np.array([np.eye(2) / 2] * 3), np.ones(3) / 3
    for _ in range(300):
        shift = ROWS[:, None] - means
        squares = np.einsum("nki,kij,nkj->nk", shift, np.linalg.inv(covariances), shift)
        joint = weights * np.exp(-squares / 2) / np.sqrt(np.linalg.det(2 * np.pi * covariances))
        resp = joint / joint.sum(axis=1, keepdims=True)
        weights = resp.mean(axis=0)
        means[1] = resp[:, 1] @ ROWS / resp[:, 1].sum()
        covariances[1] = (resp[:, 1] * (ROWS - means[1]).T) @ (ROWS - means[1]) / resp[:, 1].sum()
    assert model.lower_bound_ == pytest.approx(np.log(joint.sum(axis=1)).mean(), abs=1e-8)
    np.testing.assert_allclose(model.means_[1], means[1], atol=1e-3)


def test_all_may_be_frozen_where_components_share_their_covariance():
    model = held("tied", frozen=(0, 1, 2)).fit(ROWS)
    np.testing.assert_array_equal(model.means_, MEANS)
    np.testing.assert_array_equal(model.covariances_, np.eye(2) / 2)


def test_frozen_components_are_no_free_parameters():
    model = held().fit(ROWS)
    assert model._n_parameters() == 2 + 2 + 3
    sums = model.score(ROWS) * len(ROWS)
    assert model.bic(ROWS) == pytest.approx(criteria(sums, 0.0, 7, len(ROWS)).bic)


def test_a_warm_start_freezes_what_the_last_fit_found():
    model = GaussianMixture(3, random_state=0, warm_start=True).fit(ROWS)
    before = model.means_
    model.set_params(frozen=[1]).fit(ROWS + 0.5)
    np.testing.assert_array_equal(model.means_[1], before[1])
    assert abs(model.means_[0] - before[0]).max() > 0.1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"frozen": [3]}, ConfigurationError, "numbers from 0 to 2"),
        ({"frozen": [-1]}, ConfigurationError, "numbers from 0 to 2"),
        ({"frozen": [0, 0]}, ConfigurationError, "different numbers"),
        ({"frozen": [0.5]}, ValueError, "list of numbers"),
        ({"means_init": None}, ConfigurationError, "give means_init and precisions_init"),
        ({"covariance_type": "tied"}, ConfigurationError, "freeze all of them"),
        ({"covariance_type": "VEE"}, ConfigurationError, "freeze all of them"),
        ({"covariance_type": "low_rank", "n_factors": 1}, ConfigurationError, "frozen is not for .* low_rank"),
    ],
)
def test_what_cannot_be_frozen_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        held(**options).fit(ROWS)


def test_a_job_freezes_components_of_a_saved_model(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "other.npy", ROWS + 0.5)
    text = "{{data: {{path: {0}/{1}.npy}}, model: {{n_components: 3}}, output: {{directory: {0}/{1}, report: false}}}}"
    first = fit(parse_config(text.format(tmp_path, "rows")))
    with pytest.raises(ConfigurationError, match=r"name the model that has them in fit\.start"):
        parse_config(text.format(tmp_path, "other"), ["model.frozen=[0, 2]"])
    config = parse_config(text.format(tmp_path, "other"), ["model.frozen=[0, 2]", f"fit.start={tmp_path}/rows"])
    fit(config)
    model = load_model(tmp_path / "other").mixture
    assert model.frozen == (0, 2)
    np.testing.assert_array_equal(model.means[[0, 2]], first.mixture.means[[0, 2]])
    assert abs(model.means[1] - first.mixture.means[1]).max() > 0.1
    with pytest.raises(ConfigurationError, match="is for daskgmm fit"):
        select(config)
