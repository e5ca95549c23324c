"""Fill missing values for starts, by their means under one Gaussian given what is observed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array
from ..em.e_step import Expectation
from ..em.m_step import maximize
from ..kernels.natural_parameters import prepare_prediction
from ..mixture.data_summary import Survey
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..scoring.imputation import impute

_LEAST_VARIANCE = 1e-8  # of a direction, in units of each column's variance
_ROWS = 5_000  # that the Gaussian is fitted to
_STEPS = 10  # of EM


def with_fitted_scatter(sample: Expectation) -> Expectation:
    """Return the sample whose survey has the correlations of one Gaussian, fitted by EM to its first rows.

    The scatter of rows with gaps is too small off the diagonal, and pairwise scatters may be indefinite.
    """
    survey = sample.survey
    if not survey.has_gaps or survey.without_value:
        return sample
    weights = None if sample.row_weights is None else sample.row_weights[:_ROWS]
    expect = Expectation(sample.rows[:_ROWS], weights, survey)
    gaussian, floor = _gaussian(survey), _floor(survey)
    for _ in range(_STEPS):
        gaussian = maximize(gaussian, expect((gaussian,))[0], survey, floor)
    return replace(sample, survey=with_correlations(survey, gaussian.covariances[0]))


def with_correlations(survey: Survey, covariance: Array) -> Survey:
    """Return the survey with the variances of its own and the correlations of a covariance (d, d).

    A column that is constant there correlates with none.
    """
    own, known = np.diagonal(survey.scatter), np.diagonal(covariance)
    constant = np.flatnonzero(known == 0)
    deviations = np.sqrt(own / np.where(known == 0, 1.0, known))
    scatter = covariance * np.outer(deviations, deviations)
    scatter[constant, constant] = own[constant]
    return replace(survey, scatter=scatter)


def fill(rows: NDArray[np.number], survey: Survey) -> NDArray[np.number]:
    """Return rows (n, d) with the means of missing values given what is observed, under the survey's Gaussian."""
    if not survey.has_gaps:
        return rows
    return impute(rows, prepare_prediction(_gaussian(survey), missing=True), 1).values


def _gaussian(survey: Survey) -> Mixture:
    """Return the Gaussian with the mean and the covariance of the survey, which is made regular."""
    frame = survey.frame
    covariance = survey.pooled * np.outer(frame.scale, frame.scale)
    return Mixture("full", np.ones(1), survey.mean[None], _floor(survey).raise_matrices(covariance[None]))


def _floor(survey: Survey) -> Floor:
    variances = _LEAST_VARIANCE * survey.frame.scale**2
    return Floor(variances, np.diag(variances))
