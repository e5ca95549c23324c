"""scikit-learn's own tests and checks, pointed at our estimators of mixtures."""

import inspect
import warnings

import pytest
import sklearn.mixture.tests.test_bayesian_mixture as tests_of_bayesian
import sklearn.mixture.tests.test_gaussian_mixture as tests_of_gaussian
from sklearn.utils.estimator_checks import parametrize_with_checks

from daskgmm import BayesianGaussianMixture, GaussianMixture

# Their tests that are not ours to pass, with the reason.
NOT_OURS = {
    "test_gaussian_mixture_precisions_init": "calls the private _initialize and _set_parameters",
    "test_gaussian_mixture_precisions_init_diag": "starts from their private _estimate_gaussian_parameters; our starts "
    "blend covariances with the pooled one",
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": "counts calls of their private function",
    "test_gaussian_mixture_array_api_compliance": "array API input is not offered",
    "test_gaussian_mixture_raises_where_array_api_not_implemented": "array API input is not offered",
    "test_check_weights": "expects a message that calls the smallest weight 'max value' and the largest 'min value'",
    "test_monotonic_likelihood": "expects the diagonal fit to stop within 600 iterations by the size of the last gain; "
    "Aitken's estimate sees that 70 times tol is still to be gained",
    "test_warm_start": "expects that two fits of one step are one of two; ours begin where moves on the sample end",
    "test_score": "expects a fit of one step to be worse than one that converged; ours begins at the sample's limit",
    "test_regularisation": "expects an error for rows of zeros and ones; these are known to a step of 1, so that no "
    "covariance is singular there",
    "test_init": "compares ten restarts with one to the last digit; ours take trials within 1e-6 nats for the same",
    "test_compare_covar_type": "calls the private _check_parameters and _initialize_parameters",
    "test_invariant_translation": "compares covariances of 1e4 to seven decimals after accelerated steps",
    "test_log_dirichlet_norm": "of a private function",
    "test_log_wishart_norm": "of a private function",
}
TESTS = {GaussianMixture: tests_of_gaussian, BayesianGaussianMixture: tests_of_bayesian}
SLOW = {BayesianGaussianMixture}


def public_tests(estimator):
    """Return their tests of the estimator, by name, but those that are not ours to pass."""
    tests = {name: test for name, test in vars(TESTS[estimator]).items() if name.startswith("test_")}
    own = {name: test for name, test in tests.items() if estimator.__name__ in inspect.getsource(test)}
    return {name: test for name, test in own.items() if name not in NOT_OURS}


def arguments(test):
    """Return the values that each of their parametrize marks gives, for one case of each."""
    cases = [{}]
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            names = [one.strip() for one in mark.args[0].split(",")]
            rows = [row if len(names) > 1 else (row,) for row in mark.args[1]]
            cases = [case | dict(zip(names, row, strict=True)) for case in cases for row in rows]
    return cases


FIXTURES = {"global_dtype": "float64", "global_random_seed": 42}
CASES = [
    pytest.param(
        estimator,
        test,
        case,
        id="-".join([estimator.__name__, name, *map(str, case.values())]),
        marks=[pytest.mark.slow] if estimator in SLOW else [],
    )
    for estimator in TESTS
    for name, test in public_tests(estimator).items()
    for case in arguments(test)
]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(("estimator", "test", "case"), CASES)
def test_their_test_passes(estimator, test, case, monkeypatch):
    monkeypatch.setattr(TESTS[estimator], estimator.__name__, estimator)
    wanted = inspect.signature(test).parameters
    fixtures = {name: value for name, value in FIXTURES.items() if name in wanted}
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as in their own runs
        test(**case, **fixtures)


def test_what_is_left_out_exists():
    assert set(NOT_OURS) <= set(vars(tests_of_gaussian)) | set(vars(tests_of_bayesian))
    assert len(public_tests(GaussianMixture)) >= 24


@parametrize_with_checks([GaussianMixture(), BayesianGaussianMixture()])
def test_scikit_learns_checks_pass(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as in check_estimator
        check(estimator)
