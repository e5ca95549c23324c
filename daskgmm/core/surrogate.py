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

from .coefficients import Coefficients, Shared, prepare
from .expectation import Expectation, expect
from .features import Array
from .loop import EMOptions, State, Suggestion, Trial, iterate
from .mixture import Mixture
from .statistics import Statistics
from .survey import Survey

_STEPS = 4  # of EM on the sample: more follow what the sample cannot tell, the noise in directions that are nearly flat


@dataclass(frozen=True, eq=False)
class _Tilted:
    """A pass over the sample, in the frame of all rows, with the difference of the statistics added."""

    sample: Expectation
    survey: Survey  # of all rows
    tilt: Array  # (k, F)

    def __call__(self, mixtures: tuple[Mixture, ...]) -> tuple[Statistics, ...]:
        return tuple(self._tilted(_shared(mixture, self.survey)) for mixture in mixtures)

    def _tilted(self, coefficients: Shared) -> Statistics:
        found = _pass(self.sample, coefficients)
        level = found.log_likelihood + float(np.vdot(coefficients.theta, self.tilt))
        return replace(found, sums=found.sums + self.tilt, log_likelihood=level)


class _OwnCentresError(Exception):
    """The mixture takes the kernels with own centres, whose statistics cannot be told as a difference."""


def suggested(
    sample: Expectation, survey: Survey, mixture: Mixture, statistics: Statistics, options: EMOptions
) -> Suggestion | None:
    """Return the mixture to which the statistics of all rows lead, and its estimated gain there, nats per row.

    None where that cannot be told: a component is empty, or they lie too far apart for their sizes.
    """
    try:
        found = _pass(sample, _shared(mixture, survey))
        tilt = statistics.sums * (found.weight_sum / statistics.weight_sum) - found.sums
        em = replace(options, max_iter=_STEPS, tol=options.tol / 100, accelerate=False)
        trial = iterate(State(survey, (Trial(mixture),)), _Tilted(sample, survey, tilt), em).best
    except _OwnCentresError:
        return None
    if trial.mixture.empty:
        return None
    return trial.mixture, trial.history[-1] - trial.history[0]


def _pass(sample: Expectation, coefficients: Coefficients) -> Statistics:
    return expect(sample.rows, sample.row_weights, (coefficients,))[0]


def _shared(mixture: Mixture, survey: Survey) -> Shared:
    coefficients = prepare(mixture, survey)
    if not isinstance(coefficients, Shared):
        raise _OwnCentresError
    return coefficients
