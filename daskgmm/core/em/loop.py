"""The EM loop as a pure function of values: `advance(state, statistics, options) -> state`.

A pass evaluates a proposal of each trial: a step of EM, an extrapolation of its last steps, or where the sample leads
to. A proposal that raises the objective is accepted, and a trial holds the best mixture that was evaluated: so its
objective never falls. The objective is that of the inference: the mean log-likelihood under the floor of the
covariances, the same with a prior, or the evidence lower bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from ...blas import single_threaded
from ...errors import SingularCovarianceError
from ..kernels.natural_parameters import check_regular
from ..mixture.data_summary import DataSummary
from ..mixture.degenerate import overfit
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture, project
from ..mixture.statistics import Statistics
from .anderson import MAX_MEMORY, Step, extrapolate
from .e_step import Expect
from .inference import MAXIMUM_LIKELIHOOD, Inference
from .information_criteria import Criteria, criteria


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


@dataclass(frozen=True, eq=False)
class EMOptions:
    """When to stop, the floor of the M-step, and what is inferred."""

    tol: float = 1e-4  # estimated remaining gain of the mean log-likelihood, nats per row
    max_iter: int = 200  # M-steps
    floor: Floor | None = None  # of the covariances
    accelerate: bool = False  # extrapolate the last steps, and go back where that gains nothing
    inference: Inference = MAXIMUM_LIKELIHOOD


@dataclass(frozen=True, eq=False)
class Trial:
    """One mixture on its way: the best one that was evaluated, and what the next pass evaluates."""

    mixture: Mixture  # the start, or what gave history[-1]
    history: tuple[float, ...] = ()  # objective of each accepted mixture, nats per row: it never falls
    statistics: Statistics | None = None  # of the mixture that gave history[-1]
    stop: StopReason | None = None
    steps: tuple[Step, ...] = ()  # the last ones, oldest first, that acceleration combines
    proposal: Mixture | None = None  # None: the start itself
    extrapolated: bool = False  # whether the proposal is not a step of EM
    came_back: bool = False  # from such a proposal, which gained nothing
    n_rejected: int = 0  # proposals that gained nothing
    overfit: float = 0.0  # by how much the objective flatters components of few rows, nats per row
    n_before: int = 0  # M-steps of an earlier fit that led to the start
    verified: bool = False  # whether the sample has been asked in vain for what EM would gain in the long run
    n_unsound: int = 0  # components whose likelihood means nothing

    @property
    def target(self) -> Mixture:
        """What the next pass evaluates."""
        return self.mixture if self.proposal is None else self.proposal

    @property
    def n_iter(self) -> int:
        """Number of M-steps that were evaluated, those in vain too."""
        return self.n_before + max(len(self.history) - 1, 0) + self.n_rejected

    @property
    def gain(self) -> float:
        """What the last accepted step added to the objective; NaN before there were two."""
        return self.history[-1] - self.history[-2] if len(self.history) > 1 else float("nan")

    @property
    def remaining_gain(self) -> float:
        """Estimated gain of the objective still to come; infinite while nothing can be said."""
        return remaining_gain(self.history)

    @property
    def ranking_key(self) -> tuple[int, float]:
        """What trials are compared by: minus the number of components whose likelihood means nothing (0 is sound).

        Among equals, the objective less overfit.

        It is rounded: trials that found the same mixture differ in their last digits alone, and these, which depend on
        the units of the columns and on the chunks, must not choose among them.
        """
        level = self.history[-1] if self.history else -np.inf
        n_unsound = self.n_unsound + (self.stop is StopReason.COLLAPSED)
        return -n_unsound, round(level - self.overfit, 9)

    @property
    def sound(self) -> bool:
        """Whether the likelihood of all components means something."""
        return self.ranking_key[0] == 0

    @property
    def criteria(self) -> Criteria:
        """AIC, BIC and ICL of the last accepted mixture."""
        assert self.statistics is not None, "criteria need a pass"
        done = self.statistics
        return criteria(done.log_likelihood, done.entropy, self.mixture.n_parameters, done.weight_sum)


@dataclass(frozen=True, eq=False)
class State:
    """The state of a fit: enough to continue from, bit for bit."""

    data_summary: DataSummary
    trials: tuple[Trial, ...]
    iteration: int = 0  # passes made

    @property
    def live(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.stop is None)

    @property
    def targets(self) -> tuple[Mixture, ...]:
        """What the next pass evaluates: a mixture of each live trial."""
        return tuple(trial.target for trial in self.live)

    @property
    def best(self) -> Trial:
        """The best trial so far; the first of equals."""
        return max(self.trials, key=lambda trial: trial.ranking_key)


@dataclass(frozen=True, eq=False)
class Suggestion:
    """Where the statistics of a mixture lead to."""

    mixture: Mixture
    gain: float  # of the objective, as estimated there, nats per row


Suggest = Callable[[Trial, bool], Suggestion | None]  # of an accepted mixture; True: as far as EM leads


def no_suggestion(trial: Trial, far: bool) -> None:
    """Leave the loop to itself."""


def advance(state: State, statistics: tuple[Statistics, ...], options: EMOptions) -> State:
    """Return the state after a pass that gave `statistics` of the live trials' proposals, in their order."""
    passed = iter(statistics)
    trials = tuple(
        trial if trial.stop else _evaluate(trial, next(passed), state.data_summary, options) for trial in state.trials
    )
    best = max(trials, key=lambda trial: trial.ranking_key).history[-1]
    trials = tuple(_propose(_give_up(trial, best), state.data_summary, options) for trial in trials)
    return replace(state, trials=trials, iteration=state.iteration + 1)


def iterate(
    state: State,
    expect: Expect,
    options: EMOptions,
    listen: Callable[[State], None] = lambda state: None,
    suggest: Suggest = no_suggestion,
) -> State:
    """Return the state in which every trial has stopped; `listen` hears of each state on the way.

    `suggest` says where the statistics of a mixture lead to. The loop goes there, and comes back if nothing is gained;
    and no trial has converged before it finds less than tol to be gained in the long run.
    BLAS is held to one thread all the while: to set the limit for each pass takes as long as a small pass.
    """
    with single_threaded():
        while state.live:
            evaluated = tuple(map(options.inference.natural_parameters, state.targets))
            state = advance(state, expect(evaluated), options)
            trials = tuple(_consult(trial, suggest, state.data_summary, options) for trial in state.trials)
            state = replace(state, trials=trials)
            listen(state)
    return state


def _consult(trial: Trial, suggest: Suggest, data_summary: DataSummary, options: EMOptions) -> Trial:
    """Return the trial at where it is suggested to go, or stopped where too little is to be gained there."""
    if trial.stop is StopReason.CONVERGED:
        return _verify(replace(trial, stop=None), suggest, data_summary, options)
    if trial.stop is not None or trial.came_back or not trial.steps:
        return trial
    suggestion = suggest(trial, False)
    if suggestion is None:
        return trial
    if 0 <= suggestion.gain < options.tol and len(trial.history) > 1:  # no fit ends without a step
        return _verify(trial, suggest, data_summary, options)
    if suggestion.gain <= 0 or not _regular(suggestion.mixture, data_summary):
        return trial
    steps = (*(step for step in trial.steps[:-1] if step.suggested), _surrogate_step(trial, suggestion))
    trial = replace(trial, steps=steps, proposal=suggestion.mixture, extrapolated=True)
    leapt = _extrapolate(trial, options)
    return (
        trial if leapt is None or not _regular(leapt.mixture, data_summary) else replace(trial, proposal=leapt.mixture)
    )


def _verify(trial: Trial, suggest: Suggest, data_summary: DataSummary, options: EMOptions) -> Trial:
    """Return the trial as converged, or where EM leads in the long run if more than tol is to be gained on the way.

    Few steps tell little on a plateau, which EM leaves slowly.
    """
    done = replace(trial, stop=StopReason.CONVERGED, proposal=None, extrapolated=False)
    if trial.verified or trial.n_iter >= options.max_iter:
        return done
    far = suggest(trial, True)
    if far is None or not far.gain >= options.tol or not _regular(far.mixture, data_summary):
        return done
    steps = (_surrogate_step(trial, far),)
    return replace(trial, steps=steps, proposal=far.mixture, extrapolated=True, verified=True)


def _surrogate_step(trial: Trial, suggestion: Suggestion) -> Step:
    return Step(trial.mixture, suggestion.mixture, suggested=True)


def remaining_gain(history: tuple[float, ...]) -> float:
    """Return Aitken's estimate of what the log-likelihood still has to gain: gain x ratio / (1 - ratio).

    The gains of a converging EM shrink by a constant ratio in the end (Boehning et al. 1994; McLachlan and Peel 2000,
    2.11). The larger of the last two ratios is taken, since the first step after a start often gains out of the
    ordinary; with a ratio of 1 or more (leaving a saddle) there is no estimate, and it is infinite. A gain within
    rounding is 0.
    """
    if len(history) < 2:
        return float("inf")
    gains = np.diff(history[-4:])
    if gains[-1] <= 1e-13 * max(1.0, abs(history[-1])):
        return 0.0
    if len(gains) < 3 or min(gains) <= 0:
        return float("inf")
    ratio = max(gains[1:] / gains[:-1])
    return float(gains[-1] * ratio / (1 - ratio)) if ratio < 1 else float("inf")


def _evaluate(trial: Trial, statistics: Statistics, data_summary: DataSummary, options: EMOptions) -> Trial:
    """Return the trial after its proposal was evaluated: accepted, or rejected since it gains nothing."""
    level = options.inference.objective(trial.target, statistics)
    if trial.history and not level >= trial.history[-1]:
        return _reject(trial, options)
    suggested = trial.extrapolated and trial.steps[-1].suggested
    far_enough = suggested and bool(trial.history) and level - trial.history[-1] >= options.tol
    flattered, n_unsound = (
        (0.0, 0) if options.inference.regularised else overfit(trial.target, data_summary.n_rows, options.floor)
    )
    trial = replace(
        trial,
        mixture=trial.target,
        history=(*trial.history, level),
        statistics=statistics,
        proposal=None,
        extrapolated=False,
        came_back=False,
        overfit=flattered,
        n_unsound=n_unsound,
        verified=trial.verified and not far_enough,
    )
    return replace(trial, stop=_stop_reason(trial, options))


def _stop_reason(trial: Trial, options: EMOptions) -> StopReason | None:
    """Return why the trial stops at the mixture that it has accepted, if it does."""
    remaining = trial.remaining_gain
    if remaining < options.tol and (remaining == 0 or not options.accelerate):
        return StopReason.CONVERGED
    return StopReason.MAX_ITER if trial.n_iter >= options.max_iter else None


def _reject(trial: Trial, options: EMOptions) -> Trial:
    """Return the trial at its best mixture, from which a step of EM leads on.

    Where a suggestion was combined with those before it, the suggestion alone is tried first. A step of EM that gains
    nothing is one within rounding: nothing is left to be gained.
    """
    back = replace(trial, proposal=None, extrapolated=False, came_back=True, n_rejected=trial.n_rejected + 1)
    if not trial.extrapolated:
        return replace(back, stop=StopReason.CONVERGED)
    if back.n_iter >= options.max_iter:
        return replace(back, stop=StopReason.MAX_ITER)
    last = trial.steps[-1]
    if last.suggested and len(trial.steps) > 1:
        return replace(back, proposal=last.image, steps=(last,), extrapolated=True)
    return replace(back, steps=())


def _give_up(trial: Trial, best: float) -> Trial:
    beaten = trial.stop is None and trial.history[-1] + trial.remaining_gain < best
    return replace(trial, stop=StopReason.OVERTAKEN) if beaten else trial


def _propose(trial: Trial, data_summary: DataSummary, options: EMOptions) -> Trial:
    """Return the trial with what the next pass evaluates: a step of EM, or an extrapolation of the last ones."""
    if trial.stop is not None or trial.statistics is None or trial.extrapolated:
        return trial
    image = options.inference.maximize(trial.mixture, trial.statistics, data_summary, options.floor)
    if not _regular(image, data_summary):
        return replace(trial, stop=StopReason.COLLAPSED)
    if not options.accelerate:
        return replace(trial, proposal=image)
    steps = (*trial.steps, Step(trial.mixture, image))[-MAX_MEMORY - 1 :]
    return _propose_extrapolation(replace(trial, steps=steps, proposal=image), data_summary, options)


def _propose_extrapolation(trial: Trial, data_summary: DataSummary, options: EMOptions) -> Trial:
    """Return the trial at where its steps lead to, or stopped where too little is gained there."""
    leapt = _extrapolate(trial, options)
    if leapt is None:
        return trial
    if len(trial.steps) > 2 and max(abs(leapt.gain), trial.gain) < options.tol:
        return replace(trial, proposal=None, stop=StopReason.CONVERGED)
    if leapt.gain > 0 and _regular(leapt.mixture, data_summary):
        return replace(trial, proposal=leapt.mixture, extrapolated=True)
    return trial


def _extrapolate(trial: Trial, options: EMOptions) -> Suggestion | None:
    """Return the extrapolation of the steps, if there is one, with covariances that an M-step can make."""
    leapt = extrapolate(trial.steps)
    if leapt is None:
        return None
    mixture, gain = leapt
    return Suggestion(project(mixture, options.floor), gain)


def _regular(mixture: Mixture, data_summary: DataSummary) -> bool:
    try:
        check_regular(mixture, data_summary.frame)
    except SingularCovarianceError:
        return False
    return True
