"""Fill missing values for starts, by their means under one Gaussian given what is observed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array
from ..em.e_step import Expectation
from ..em.m_step import maximize
from ..kernels.natural_parameters import prepare_prediction
from ..mixture.data_summary import DataSummary
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..scoring.imputation import impute

_MIN_VARIANCE = 1e-8  # of a direction, in units of each column's variance
_MAX_ROWS = 5_000  # that the Gaussian is fitted to
_EM_STEPS = 10  # of EM


def with_fitted_scatter(sample: Expectation) -> Expectation:
    """Return the sample whose data summary has the correlations of one Gaussian, fitted by EM to its first rows.

    The scatter of rows with gaps is too small off the diagonal, and pairwise scatters may be indefinite.
    """
    data_summary = sample.data_summary
    if not data_summary.has_gaps or data_summary.without_value:
        return sample
    weights = None if sample.row_weights is None else sample.row_weights[:_MAX_ROWS]
    expect = Expectation(sample.rows[:_MAX_ROWS], weights, data_summary)
    gaussian, floor = _gaussian(data_summary), _floor(data_summary)
    for _ in range(_EM_STEPS):
        gaussian = maximize(gaussian, expect((gaussian,))[0], data_summary, floor)
    return replace(sample, data_summary=with_correlations(data_summary, gaussian.covariances[0]))


def with_correlations(data_summary: DataSummary, covariance: Array) -> DataSummary:
    """Return the data summary with the variances of its own and the correlations of a covariance (d, d).

    A column that is constant there correlates with none.
    """
    own, known = np.diagonal(data_summary.scatter), np.diagonal(covariance)
    constant = np.flatnonzero(known == 0)
    deviations = np.sqrt(own / np.where(known == 0, 1.0, known))
    scatter = covariance * np.outer(deviations, deviations)
    scatter[constant, constant] = own[constant]
    return replace(data_summary, scatter=scatter)


def fill(rows: NDArray[np.number], data_summary: DataSummary) -> NDArray[np.number]:
    """Return rows (n, d) with the means of missing values given what is observed, under the data summary's Gaussian."""
    if not data_summary.has_gaps:
        return rows
    return impute(rows, prepare_prediction(_gaussian(data_summary), missing=True), 1).values


def _gaussian(data_summary: DataSummary) -> Mixture:
    """Return the Gaussian with the mean and the covariance of the data summary, which is made regular."""
    frame = data_summary.frame
    covariance = data_summary.total_covariance * np.outer(frame.scale, frame.scale)
    return Mixture("full", np.ones(1), data_summary.mean[None], _floor(data_summary).raise_matrices(covariance[None]))


def _floor(data_summary: DataSummary) -> Floor:
    variances = _MIN_VARIANCE * data_summary.frame.scale**2
    return Floor(variances, np.diag(variances))
