"""The sample in place of all rows, between two passes over them: where a pass leads to in one go.

Let T and T_S be the mean statistics of all rows and of the sample at the mixture theta_0 that a pass has evaluated, and
L_S the mean log-likelihood of the sample. Then

    L_S(theta) + <Theta(theta), T(theta_0) - T_S(theta_0)>

has at theta_0 the gradient of the log-likelihood of all rows, and about its curvature (Jordan, Lee and Yang 2019,
communication-efficient surrogate likelihood). Its second term is linear in the natural parameters, so EM maximises it
on the sample: the difference of the statistics is added to those of each step (Chen, Zhu, Teh and Zhang 2018,
stochastic EM with variance reduction).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...blas import single_threaded
from ..arrays.types import Array
from ..kernels.natural_parameters import Coefficients, FeatureMapParams, prepare
from ..mixture.data_summary import DataSummary
from ..mixture.mixture import Mixture
from ..mixture.statistics import Statistics
from .e_step import Expectation, expect
from .inference import MaximumLikelihood
from .loop import EMOptions, State, StopReason, Suggestion, Trial, advance, iterate

CHEAP_ROWS = 20_000  # of a sample on which all restarts go on
# Of EM on the sample: more follow what the sample cannot tell, the noise in directions that are nearly flat.
_EM_STEPS = 4
_MAX_EM_STEPS = 200  # at most, where it is asked whether anything is left to be gained
_MAX_CORRECTED_STEPS = 20  # of them, if the sample is not all rows: far from the pass its correction means little
_TOL_DIVISOR = 100  # EM goes so much closer to its limit than tol
_CORRECTED_TOL_DIVISOR = 10
_TOL_DIVISOR_IF_CHEAP = 10_000
_SHARE_OF_SAMPLE = 0.5  # that steps are made on
_LEAST_SHARE_OF_ROWS, _LEAST_PER_PARAMETER = 0.1, 10  # rows that steps are made on at least, if the sample has them
_ROWS_PER_PARAMETER = 0.5  # of these rows: components of fewer take a step of EM on all rows alone


@dataclass(frozen=True, eq=False)
class _Corrected:
    """A pass over the sample, in the frame of all rows, with the difference of the statistics added."""

    sample: Expectation
    data_summary: DataSummary  # of all rows
    control: Array  # (k, F)

    def __call__(self, mixtures: tuple[Mixture, ...]) -> tuple[Statistics, ...]:
        return tuple(self._expect(_shared_parameters(mixture, self.data_summary)) for mixture in mixtures)

    def _expect(self, coefficients: FeatureMapParams) -> Statistics:
        return self.correct(_pass(self.sample, coefficients), coefficients)

    def correct(self, found: Statistics, coefficients: FeatureMapParams) -> Statistics:
        """Return the statistics of the sample as the surrogate has them."""
        level = found.log_likelihood + float(np.vdot(coefficients.theta, self.control))
        return replace(found, sums=found.sums + self.control, log_likelihood=level)


class _OwnCentresError(Exception):
    """The mixture takes the kernels with own centres, whose statistics move with their centres: no corrections."""


@single_threaded()
def propose_surrogate_step(
    sample: Expectation, data_summary: DataSummary, trial: Trial, options: EMOptions, far: bool = False
) -> Suggestion | None:
    """Return the mixture to which the statistics of a trial lead, and its estimated gain there, nats per row.

    In a few steps of EM or, with `far`, in as many as tell a plateau from a limit. None if that is unknown: a component
    is empty, the steps with `far` make one singular, or components lie too far apart for their sizes.
    """
    corrected = len(sample.rows) < data_summary.n_rows
    em = _options(len(sample.rows), options, corrected=corrected, far=far)
    if corrected and not far:
        sample = _cut(sample, data_summary.n_rows, trial.mixture)
    small = _small_components(sample, trial.mixture, options) if corrected else []
    start = replace(trial.mixture, frozen=tuple(sorted({*trial.mixture.frozen, *small})))
    state = State(data_summary, (Trial(start),))
    try:
        expect, evaluated = _correct_sample(sample, data_summary, trial, options)
        found = iterate(advance(state, (evaluated,), em), expect, em).best
    except _OwnCentresError:
        if corrected:
            return None
        found = iterate(state, sample, em).best
    if found.mixture.empty or (far and found.stop is StopReason.COLLAPSED):
        return None
    reached = _step_of(small, found.mixture, trial, data_summary, options)
    return Suggestion(reached, found.history[-1] - found.history[0])


def _cut(sample: Expectation, n_rows: int, mixture: Mixture) -> Expectation:
    """Return the rows of the sample that steps are made on, of n_rows rows in all.

    Half of it, unless that is little beside all rows, where steps cost little, or beside the parameters.
    """
    least = int(_LEAST_SHARE_OF_ROWS * n_rows), CHEAP_ROWS, _LEAST_PER_PARAMETER * mixture.n_parameters
    return sample.take(slice(max(int(_SHARE_OF_SAMPLE * len(sample.rows)), *least)))


def _options(n_sample: int, options: EMOptions, *, corrected: bool, far: bool) -> EMOptions:
    """Return when EM on a sample of so many rows stops; `corrected` if these are not all rows."""
    if corrected:
        closer, most = _CORRECTED_TOL_DIVISOR, _MAX_CORRECTED_STEPS
    else:
        closer, most = _TOL_DIVISOR, _MAX_EM_STEPS
    if n_sample <= CHEAP_ROWS:
        closer = _TOL_DIVISOR_IF_CHEAP
    return replace(options, max_iter=most if far else _EM_STEPS, tol=options.tol / closer, accelerate=far)


def _small_components(sample: Expectation, mixture: Mixture, options: EMOptions) -> list[int]:
    """Return the components of too few rows in the sample for a correction: it would say more than these rows."""
    structure = mixture.structure
    if structure.coupled or structure.layout.n_factors or not isinstance(options.inference, MaximumLikelihood):
        return []
    least = _ROWS_PER_PARAMETER * structure.per_component(mixture.n_features)[1]
    few: list[int] = np.flatnonzero(mixture.weights * len(sample.rows) < least).tolist()
    return few


def _step_of(small: list[int], found: Mixture, trial: Trial, data_summary: DataSummary, options: EMOptions) -> Mixture:
    """Return the mixture with the small components after a step of EM on all rows, and frozen ones as in the trial."""
    means, covariances = found.means, found.covariances
    if small:
        assert trial.statistics is not None, "the trial has not been evaluated"
        image = options.inference.maximize(trial.mixture, trial.statistics, data_summary, options.floor)
        means, covariances = means.copy(), covariances.copy()
        means[small], covariances[small] = image.means[small], image.covariances[small]
    return replace(found, means=means, covariances=covariances, frozen=trial.mixture.frozen)


def _correct_sample(
    sample: Expectation, data_summary: DataSummary, trial: Trial, options: EMOptions
) -> tuple[_Corrected, Statistics]:
    """Return the pass over the sample that has the statistics of all rows at the trial's mixture, and these."""
    assert trial.statistics is not None, "the trial has not been evaluated"
    evaluated, statistics = options.inference.natural_parameters(trial.mixture), trial.statistics
    coefficients = _shared_parameters(evaluated, data_summary)
    found = _pass(sample, coefficients)
    control = statistics.sums * (found.weight_sum / statistics.weight_sum) - found.sums
    corrected = _Corrected(sample, data_summary, control)
    return corrected, corrected.correct(found, coefficients)


def _pass(sample: Expectation, coefficients: Coefficients) -> Statistics:
    return expect(sample.rows, sample.row_weights, (coefficients,))[0]


def _shared_parameters(mixture: Mixture, data_summary: DataSummary) -> FeatureMapParams:
    coefficients = prepare(mixture, data_summary)
    if not isinstance(coefficients, FeatureMapParams):
        raise _OwnCentresError
    return coefficients
