"""AIC, BIC and ICL."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from daskgmm.core.em.information_criteria import criteria
from daskgmm.core.em.loop import EMOptions, State, Trial, iterate
from daskgmm.core.init.starts import SeedOptions, in_memory, restart
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles

FREE = {"full": 2 + 3 * 4 + 3 * 10, "tied": 2 + 3 * 4 + 10, "diag": 2 + 3 * 4 + 3 * 4, "spherical": 2 + 3 * 4 + 3}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_criteria_equal_the_oracles(covariance_type, weighted):
    parameters = oracles.random_parameters(covariance_type, 3, 4, seed=1, spread=1.0)
    rows, _ = oracles.draw(parameters, 200)
    row_weights = np.random.default_rng(2).uniform(0, 3, len(rows)) if weighted else None
    sample = in_memory(rows, row_weights)
    state = iterate(State(sample.data_summary, (Trial(Mixture(*parameters)),)), sample, EMOptions(max_iter=3))
    trial = state.best
    true = oracles.step(rows, row_weights, trial.mixture)
    size = len(rows) if row_weights is None else row_weights.sum()
    free = FREE[covariance_type]
    assert trial.criteria.aic == pytest.approx(2 * free - 2 * true.log_likelihood, rel=1e-10)
    assert trial.criteria.bic == pytest.approx(free * np.log(size) - 2 * true.log_likelihood, rel=1e-10)
    assert trial.criteria.icl == pytest.approx(trial.criteria.bic + 2 * true.entropy, rel=1e-10)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_number_of_parameters_is_the_table_of_mclust(covariance_type):
    assert Mixture(*oracles.random_parameters(covariance_type, 3, 4)).n_parameters == FREE[covariance_type]


def test_smaller_is_better():
    better, worse = criteria(-100.0, 5.0, 8, 50.0), criteria(-120.0, 5.0, 8, 50.0)
    assert better.aic < worse.aic
    assert better.bic < worse.bic
    assert better.icl < worse.icl


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_aic_and_bic_have_scikit_learns_sign_and_size(covariance_type):
    parameters = oracles.random_parameters(covariance_type, 3, 4, seed=1)
    rows, _ = oracles.draw(parameters, 500)
    trial = restart(in_memory(rows, None), SeedOptions(3, covariance_type, em=EMOptions()), 0)
    theirs = GaussianMixture(3, covariance_type=covariance_type)
    theirs.weights_, theirs.means_ = trial.mixture.weights, trial.mixture.means
    theirs.covariances_ = trial.mixture.covariances
    theirs.precisions_cholesky_ = {
        "full": lambda c: np.linalg.inv(np.linalg.cholesky(c)).transpose(0, 2, 1),
        "tied": lambda c: np.linalg.inv(np.linalg.cholesky(c)).T,
        "diag": lambda c: 1 / np.sqrt(c),
        "spherical": lambda c: 1 / np.sqrt(c),
    }[covariance_type](theirs.covariances_)
    assert trial.criteria.aic == pytest.approx(theirs.aic(rows), rel=1e-10)
    assert trial.criteria.bic == pytest.approx(theirs.bic(rows), rel=1e-10)
