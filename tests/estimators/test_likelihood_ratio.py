"""Likelihood-ratio tests of the number of components."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from daskgmm import GaussianMixture, likelihood_ratio_test
from daskgmm.errors import ConfigurationError
from daskgmm.estimators.likelihood_ratio import LikelihoodRatioTest, LikelihoodRatioTests

# mclustBootstrapLRT of mclust 6.0.0: model VVV, 1 component against 2
STATISTICS = {"faithful": 319.065353531528, "iris": 331.119851503513}


@pytest.mark.slow
def test_the_statistics_are_those_of_mclust(faithful):
    for name, rows in (("faithful", faithful), ("iris", load_iris().data)):
        found = likelihood_ratio_test(
            GaussianMixture(random_state=0), rows, [1], n_resamples=1, level=0.5, random_state=0
        )
        assert found.tests[0].statistic == pytest.approx(STATISTICS[name], abs=2e-3)


@pytest.mark.slow
def test_two_clusters_are_two_and_one_is_one():
    random = np.random.default_rng(1)
    one = random.normal(size=(40, 1))
    two = one + 6 * (np.arange(40)[:, None] % 2)
    model = GaussianMixture(n_init=1)
    assert likelihood_ratio_test(model, one, [1], n_resamples=9, level=0.1, random_state=0).n_components == 1
    found = likelihood_ratio_test(model, two, [1], n_resamples=9, level=0.1, random_state=0)
    assert found.n_components == 2
    assert "1 against 2" in repr(found)


def test_rows_of_a_resample_are_rounded_as_the_data_are():
    rows = np.random.default_rng(0).poisson(3, size=(60, 1)).astype(float)
    found = likelihood_ratio_test(GaussianMixture(n_init=1), rows, [1], n_resamples=4, level=0.3, random_state=0)
    assert np.isfinite(found.tests[0].resampled).all()
    assert found.tests[0].resampled.max() < 40  # a component on one whole number gains more


def test_p_values_count_the_statistic_itself_and_stop_at_enough():
    assert LikelihoodRatioTest(1, 5.0, np.zeros(19)).p_value == 1 / 20
    assert LikelihoodRatioTest(1, 5.0, np.array([6.0, 1.0, 5.0])).p_value == 3 / 4
    assert LikelihoodRatioTest(1, 5.0, np.repeat([6.0, 1.0], 20)).p_value == 0.5
    significant = LikelihoodRatioTest(3, 5.0, np.zeros(99))
    assert LikelihoodRatioTests((significant,), 0.05).n_components == 4


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ({}, {"n_components": [0]}, r"n_components is \[0\]"),
        ({}, {"level": 2}, "level is 2"),
        ({}, {"n_resamples": 9}, "level 0.05 needs 19 at least"),
        ({"prior": "default"}, {}, "prior is 'default'"),
        ({"missing": "marginal"}, {}, "missing is 'marginal'"),
        ({"noise": 3.0}, {}, "noise is 3.0"),
    ],
)
def test_what_cannot_be_tested_is_refused(faithful, model, options, message):
    with pytest.raises(ConfigurationError, match=message):
        likelihood_ratio_test(GaussianMixture(**model), faithful, **options)
