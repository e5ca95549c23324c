"""Errors of estimators name their parameters, not keys of the configuration file."""

import numpy as np
import pytest

from daskgmm import BayesianGaussianMixture, GaussianMixture, GaussianMixtureSelector
from daskgmm.errors import ConfigurationError
from daskgmm.estimators.messages import in_parameters

ROWS = np.random.default_rng(0).normal(size=(60, 2))
GAPPY = np.where(np.arange(120).reshape(60, 2) == 7, np.nan, ROWS)


@pytest.mark.parametrize(
    ("estimator", "rows", "message"),
    [
        (GaussianMixture(2, prior="default", noise=True), ROWS, "the inference is map, but noise and frozen act with"),
        (GaussianMixture(3, frozen=[5]), ROWS, r"^frozen \[5\] must be different numbers from 0 to 2"),
        (GaussianMixture(2, prior={"mean": [0.0]}), ROWS, "^prior mean has 1 numbers, but there are 2 features"),
        (BayesianGaussianMixture(missing="marginal"), GAPPY, "^the inference variational cannot integrate missing"),
        (
            GaussianMixtureSelector([1], criterion="evidence", noise=[True]),
            ROWS,
            "^noise acts with the inference em only",
        ),
    ],
    ids=["inference", "frozen", "prior", "posterior", "selector"],
)
def test_errors_name_parameters(estimator, rows, message):
    with pytest.raises(ConfigurationError, match=message):
        estimator.fit(rows)


def test_values_of_a_prior_have_the_names_of_the_estimators_parameters():
    known = BayesianGaussianMixture().get_params()
    assert in_parameters("model.prior.mean and model.prior.weights", known) == (
        "mean_prior and weight_concentration_prior_type"
    )


def test_keys_that_are_no_parameters_stay():
    assert in_parameters("data.mask: nan in a job", GaussianMixture().get_params()) == "data.mask: nan in a job"
