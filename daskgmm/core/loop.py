"""The EM loop as a pure function of values: `advance(state, statistics, options) -> state`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from ..errors import SingularCovarianceError
from .acceleration import MEMORY, Step, leap
from .blas import single_threaded
from .coefficients import check_regular
from .criteria import Criteria, criteria
from .expectation import Expect
from .maximization import maximize
from .mixture import Mixture
from .statistics import Statistics
from .structures import floored
from .survey import Survey


class StopReason(Enum):
    """Why a trial stopped; the value is a sentence for a person."""

    CONVERGED = "converged: the estimated remaining gain is below tol"
    MAX_ITER = "stopped at max_iter before convergence: raise max_iter, or tol if the gain left is small enough for you"
    OVERTAKEN = "given up: its estimated limit is below another finalist's log-likelihood"
    BEATEN = "left the sweep: its criterion, even at its estimated limit, is worse than another candidate's"
    COLLAPSED = (
        "stopped before a covariance became singular, where the likelihood has no bound: increase reg_covar or "
        "decrease n_components"
    )


@dataclass(frozen=True)
class EMOptions:
    """When to stop, and the regularisation of the M-step."""

    tol: float = 1e-4  # estimated remaining gain of the mean log-likelihood, nats per row
    max_iter: int = 200  # M-steps
    reg_covar: float = 1e-6  # in units of each feature's mean variance within components
    accelerate: bool = False  # leap to where the last steps lead, and come back where that gains nothing


@dataclass(frozen=True, eq=False)
class Trial:
    """One mixture on its way; once a pass has been made, `statistics` are those of the last evaluated mixture."""

    mixture: Mixture
    history: tuple[float, ...] = ()  # mean log-likelihood of each evaluated mixture, nats per row
    statistics: Statistics | None = None  # of the mixture that gave history[-1]
    stop: StopReason | None = None
    steps: tuple[Step, ...] = ()  # the last ones, oldest first, that acceleration combines
    leaping: bool = False  # whether `mixture` was not made by a step of EM, but by a leap
    came_back: bool = False  # from a leap that gained nothing
    n_rejected: int = 0  # such leaps

    @property
    def n_iter(self) -> int:
        """Number of M-steps that led to the last evaluated mixture."""
        return max(len(self.history) - 1, 0) + self.n_rejected

    @property
    def gain(self) -> float:
        """What the last M-step added to the mean log-likelihood; NaN before there were two passes."""
        return self.history[-1] - self.history[-2] if len(self.history) > 1 else float("nan")

    @property
    def remaining_gain(self) -> float:
        """Estimated gain of the mean log-likelihood still to come; infinite while nothing can be said."""
        return remaining_gain(self.history)

    @property
    def merit(self) -> tuple[bool, float]:
        """What trials are compared by: log-likelihood, after whether it means something (no component collapsed).

        It is rounded: trials that found the same mixture differ in their last digits alone, and these, which depend on
        the units of the columns and on the chunks, must not choose among them.
        """
        return self.stop is not StopReason.COLLAPSED, round(self.history[-1], 9) if self.history else -np.inf

    @property
    def criteria(self) -> Criteria:
        """AIC, BIC and ICL of the last evaluated mixture."""
        assert self.statistics is not None, "criteria need a pass"
        done = self.statistics
        return criteria(done.log_likelihood, done.entropy, self.mixture.n_parameters, done.weight_sum)


@dataclass(frozen=True, eq=False)
class State:
    """Where a fit stands: enough to go on from, bit for bit."""

    survey: Survey
    trials: tuple[Trial, ...]
    iteration: int = 0  # passes made

    @property
    def live(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.stop is None)

    @property
    def best(self) -> Trial:
        """The best trial so far; the first of equals."""
        return max(self.trials, key=lambda trial: trial.merit)


Suggestion = tuple[Mixture, float]  # and the gain that is estimated there, nats per row
Suggest = Callable[[Mixture, Statistics], Suggestion | None]


def no_suggestion(mixture: Mixture, statistics: Statistics) -> None:
    """Leave the loop to itself."""


def advance(state: State, statistics: tuple[Statistics, ...], options: EMOptions) -> State:
    """Return the state after a pass that gave `statistics` of the live trials' mixtures, in their order."""
    passed = iter(statistics)
    trials = tuple(trial if trial.stop else _evaluate(trial, next(passed), options) for trial in state.trials)
    best = max(trials, key=lambda trial: trial.merit).history[-1]
    trials = tuple(_step(_give_up(trial, best), state.survey, options) for trial in trials)
    return replace(state, trials=trials, iteration=state.iteration + 1)


def iterate(
    state: State,
    expect: Expect,
    options: EMOptions,
    listen: Callable[[State], None] = lambda state: None,
    suggest: Suggest = no_suggestion,
) -> State:
    """Return the state in which every trial has stopped; `listen` hears of each state on the way.

    `suggest` tells where the statistics of a mixture lead to. The loop goes there, and comes back if nothing is gained.
    BLAS is held to one thread all the while: to set the limit for each pass takes as long as a small pass.
    """
    with single_threaded():
        while state.live:
            statistics = expect(tuple(trial.mixture for trial in state.live))
            state = advance(state, statistics, options)
            trials = tuple(_suggested(trial, suggest, state.survey, options) for trial in state.trials)
            state = replace(state, trials=trials)
            listen(state)
    return state


def _suggested(trial: Trial, suggest: Suggest, survey: Survey, options: EMOptions) -> Trial:
    """Return the trial at where it is suggested to go, or stopped where too little is to be gained there."""
    if trial.stop is not None or trial.came_back or not trial.steps or trial.statistics is None:
        return trial
    evaluated = trial.steps[-1].mixture
    suggestion = suggest(evaluated, trial.statistics)
    if suggestion is None:
        return trial
    mixture, gain = suggestion
    if 0 <= gain < options.tol:
        return replace(trial, mixture=evaluated, stop=StopReason.CONVERGED)
    if gain <= 0 or not _regular(mixture, survey):
        return trial
    steps = (*(step for step in trial.steps[:-1] if step.suggested), Step(evaluated, mixture, suggested=True))
    trial = replace(trial, steps=steps, mixture=mixture, leaping=True)
    leapt = _leapt(trial, survey, options)
    return trial if leapt is None or not _regular(leapt[0], survey) else replace(trial, mixture=leapt[0])


def remaining_gain(history: tuple[float, ...]) -> float:
    """Return Aitken's estimate of what the log-likelihood still has to gain: gain x ratio / (1 - ratio).

    The gains of a converging EM shrink by a constant ratio in the end (Boehning et al. 1994; McLachlan and Peel 2000,
    2.11). The larger of the last two ratios is taken, since the first step after a start often gains out of the
    ordinary; with a ratio of 1 or more (leaving a saddle) there is no estimate, and it is infinite. A gain within
    rounding is 0, and so are gains that change sign within the error of the kernels.
    Sizes of gains are taken, since with reg_covar > 0 and a component narrower than that the last ones can be negative.
    """
    if len(history) < 2:
        return float("inf")
    differences, unit = np.diff(history[-4:]), max(1.0, abs(history[-1]))
    gains = np.abs(differences)
    if gains[-1] <= 1e-13 * unit or (gains[-1] <= 1e-8 * unit and min(differences[-2:]) < 0):
        return 0.0
    if len(gains) < 3 or min(gains) == 0:
        return float("inf")
    ratio = max(gains[1:] / gains[:-1])
    return float(gains[-1] * ratio / (1 - ratio)) if ratio < 1 else float("inf")


def _evaluate(trial: Trial, statistics: Statistics, options: EMOptions) -> Trial:
    level = statistics.mean_log_likelihood
    if trial.leaping and level < trial.history[-1]:
        return _come_back(trial, options)
    trial = replace(trial, history=(*trial.history, level), statistics=statistics, leaping=False, came_back=False)
    if trial.remaining_gain < options.tol and not (options.accelerate and trial.remaining_gain > 0):
        return replace(trial, stop=StopReason.CONVERGED)
    if options.accelerate and _only_loses(trial.history):
        return replace(trial, stop=StopReason.CONVERGED)
    if trial.n_iter >= options.max_iter:
        return replace(trial, stop=StopReason.MAX_ITER)
    return trial


def _only_loses(history: tuple[float, ...]) -> bool:
    """Return whether the last two steps have lost: reg_covar widens narrow components, and no more is to be gained."""
    return len(history) > 2 and history[-1] < history[-2] < history[-3]


def _come_back(trial: Trial, options: EMOptions) -> Trial:
    """Return the trial at its last mixture before the leap, from which a step of EM leads on.

    Where a suggestion was combined with those before it, the suggestion alone is tried first.
    """
    last, stop = trial.steps[-1], StopReason.MAX_ITER if trial.n_iter + 1 >= options.max_iter else None
    back = replace(trial, came_back=True, n_rejected=trial.n_rejected + 1, stop=stop)
    if stop is None and last.suggested and len(trial.steps) > 1:
        return replace(back, mixture=last.image, steps=(last,), leaping=True)
    return replace(back, mixture=last.mixture, steps=(), leaping=False)


def _give_up(trial: Trial, best: float) -> Trial:
    beaten = trial.stop is None and trial.history[-1] + trial.remaining_gain < best
    return replace(trial, stop=StopReason.OVERTAKEN) if beaten else trial


def _step(trial: Trial, survey: Survey, options: EMOptions) -> Trial:
    if trial.stop is not None or trial.statistics is None or trial.leaping:
        return trial
    mixture = maximize(trial.mixture, trial.statistics, survey, options.reg_covar)
    if not _regular(mixture, survey):
        return replace(trial, stop=StopReason.COLLAPSED)
    if not options.accelerate:
        return replace(trial, mixture=mixture)
    return _leap(replace(trial, steps=(*trial.steps, Step(trial.mixture, mixture))[-MEMORY - 1 :]), survey, options)


def _leap(trial: Trial, survey: Survey, options: EMOptions) -> Trial:
    """Return the trial at where its steps lead to, or stopped at its mixture where too little is gained there."""
    leapt = _leapt(trial, survey, options)
    if leapt is not None:
        mixture, gain = leapt
        if len(trial.steps) > 2 and max(abs(gain), abs(trial.gain)) < options.tol:
            return replace(trial, stop=StopReason.CONVERGED)
        if gain > 0 and _regular(mixture, survey):
            return replace(trial, mixture=mixture, leaping=True)
    return replace(trial, mixture=trial.steps[-1].image)


def _leapt(trial: Trial, survey: Survey, options: EMOptions) -> Suggestion | None:
    """Return where the steps lead to, if anywhere, with components no narrower than an M-step makes them."""
    leapt = leap(trial.steps)
    if leapt is None:
        return None
    mixture, gain = leapt
    covariances = floored(mixture.structure, mixture.covariances, mixture.weights, survey, options.reg_covar)
    return replace(mixture, covariances=covariances), gain


def _regular(mixture: Mixture, survey: Survey) -> bool:
    try:
        check_regular(mixture, survey.frame)
    except SingularCovarianceError:
        return False
    return True
