"""Standard errors and intervals by resamples."""

import dask.array as da
import numpy as np
import pytest

from daskgmm import BayesianGaussianMixture, GaussianMixture, bootstrap
from daskgmm.core.selection.resampling import Resampling
from daskgmm.errors import ConfigurationError, DataError

FIRST_SEED = int(np.random.RandomState(0).randint(2**31 - 1))  # of random_state=0


@pytest.fixture(scope="module")
def model(faithful):
    return GaussianMixture(2, random_state=0).fit(faithful)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("covariance_type", ["full", "tied", "EVE"])
def test_a_resample_gives_the_fit_of_the_weighted_rows(faithful, covariance_type):
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(faithful)
    found = bootstrap(model, faithful, n_resamples=2, random_state=0).resampled
    for number, mixture in enumerate(found):
        weights = Resampling("bayesian", FIRST_SEED).weights(number, 0, len(faithful))
        refit = GaussianMixture(2, covariance_type=covariance_type, random_state=0, tol=1e-9)
        refit.fit(faithful, sample_weight=weights)
        mine, theirs = np.argsort(mixture.means[:, 0]), np.argsort(refit.means_[:, 0])
        np.testing.assert_allclose(mixture.means[mine], refit.means_[theirs], rtol=2e-3)
        np.testing.assert_allclose(mixture.weights[mine], refit.weights_[theirs], rtol=2e-3)


def test_standard_errors_of_one_component_are_those_of_the_mean(faithful):
    model = GaussianMixture(1, random_state=0).fit(faithful)
    found = bootstrap(model, faithful, n_resamples=400, random_state=1)
    expected = faithful.std(axis=0) / np.sqrt(len(faithful))
    np.testing.assert_allclose(found.standard_errors.means[0], expected, rtol=0.15)
    lower, upper = found.intervals(0.9)
    np.testing.assert_allclose(upper.means[0] - lower.means[0], 2 * 1.645 * expected, rtol=0.2)


@pytest.mark.slow
def test_kinds_agree_on_the_standard_errors(faithful, model):
    errors = [bootstrap(model, faithful, kind=kind, random_state=0).standard_errors for kind in ("bayesian", "poisson")]
    np.testing.assert_allclose(errors[0].means, errors[1].means, rtol=0.3)
    np.testing.assert_allclose(errors[0].weights, 0.0295, rtol=0.15)  # mclust 6.0.0, MclustBootstrap


def test_chunks_change_rounding_alone_and_weights_of_rows_count(faithful, model):
    lazy = bootstrap(model, da.from_array(faithful, chunks=(50, 2)), n_resamples=3, random_state=0)
    plain = bootstrap(model, faithful, n_resamples=3, random_state=0)
    twice = bootstrap(model, faithful, np.full(len(faithful), 2.0), n_resamples=3, random_state=0)
    for one, other, doubled in zip(lazy.resampled, plain.resampled, twice.resampled, strict=True):
        np.testing.assert_allclose(one.means, other.means, rtol=1e-10)
        np.testing.assert_allclose(doubled.means, other.means, rtol=1e-4)


@pytest.mark.slow
def test_noise_gaps_and_factors_are_resampled_too(faithful):
    scattered = np.concatenate([faithful, np.random.default_rng(0).uniform((0, 0), (8, 150), size=(30, 2))])
    noisy = GaussianMixture(2, noise=True, random_state=0).fit(scattered)
    assert bootstrap(noisy, scattered, n_resamples=9, random_state=0).standard_errors.noise_weight > 0
    rows = np.where(np.random.default_rng(0).uniform(size=faithful.shape) < 0.1, np.nan, faithful)
    gappy = GaussianMixture(2, missing="marginal", random_state=0).fit(rows)
    errors = bootstrap(gappy, rows, n_resamples=20, random_state=0).standard_errors.means
    assert ((errors > 0.01) & (errors < 2)).all()
    wide = np.random.default_rng(1).normal(size=(200, 5)) @ np.diag([3, 2, 1, 1, 1])
    factors = GaussianMixture(1, covariance_type="low_rank", n_factors=1, random_state=0).fit(wide)
    assert len(bootstrap(factors, wide, n_resamples=3, random_state=0).resampled) == 3


def test_it_prints_estimates_with_their_errors(faithful, model):
    shown = repr(bootstrap(model, faithful, n_resamples=50, random_state=0))
    assert "±" in shown
    assert "weights and means ± standard error, of 50 resamples" in shown
    assert "79.97 ± 0." in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_resamples": 1}, "n_resamples is 1, but must be 2 at least"),
        ({"kind": "rows"}, "kind is 'rows', but must be"),
    ],
)
def test_what_cannot_be_resampled_is_refused(faithful, model, options, message):
    with pytest.raises(ConfigurationError, match=message):
        bootstrap(model, faithful, **options)


def test_a_posterior_is_refused_and_few_resamples_have_no_interval(faithful, model):
    posterior = BayesianGaussianMixture(n_components=2, random_state=0).fit(faithful)
    with pytest.raises(ConfigurationError, match="tells its own uncertainty"):
        bootstrap(posterior, faithful)
    few = bootstrap(model, faithful, n_resamples=9, random_state=0)
    with pytest.raises(ConfigurationError, match=r"level 0.95 needs 39 resamples, but there are 9"):
        few.intervals()
    with pytest.raises(ConfigurationError, match=r"level is 1\.5"):
        few.intervals(1.5)


def test_resamples_that_do_not_converge_are_left_out_and_counted(faithful):
    model = GaussianMixture(3, random_state=0).fit(faithful)
    model.max_iter = 1
    with pytest.raises(DataError, match=r"of 3 resamples converged: .* raise max_iter"):
        bootstrap(model, faithful, n_resamples=3, random_state=0)


def test_rows_are_as_coarse_and_as_incomplete_as_in_the_fit():
    rng = np.random.default_rng(2)
    rows = np.round(rng.normal(size=(300, 2)) * 3) + np.array([(0, 0), (9, 9)])[np.arange(300) % 2]
    rows[rng.uniform(size=rows.shape) < 0.4] = np.nan
    model = GaussianMixture(2, missing="marginal", random_state=0).fit(rows)
    for mixture in bootstrap(model, rows, n_resamples=5, random_state=0).resampled:
        assert np.linalg.eigvalsh(mixture.covariances).min() >= 1 / 12 - 1e-9  # of whole numbers
