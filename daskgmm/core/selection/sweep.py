"""The sweep as a pure function of values: all live trials of all candidates take part in each pass.

A candidate leaves when its trials have stopped, or when it cannot win any more: when its criterion, at the estimated
limit of its log-likelihood, is worse than what another candidate has reached. Should that other one collapse later,
those that left on its account come back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...errors import SingularCovarianceError
from ..arrays.types import Array
from ..em.information_criteria import Criteria, criteria
from ..em.loop import EMOptions, State, StopReason, Trial, advance
from ..init.splitting import Seeded
from ..kernels.natural_parameters import check_regular
from ..mixture.covariance import STRUCTURES
from ..mixture.data_summary import DataSummary
from ..mixture.degenerate import unsound_components
from ..mixture.mixture import Mixture
from ..mixture.noise import N_PARAMETERS
from ..mixture.resolution import lattice_excess
from .criterion import CRITERIA, Criterion
from .folds import Fold, FoldStatistics

SweepPass = Callable[[tuple[Mixture, ...], tuple[Fold, ...]], tuple[FoldStatistics, ...]]

_ENTROPY_KEPT = 0.5  # of the entropy of the responsibilities, in an optimistic ICL
_TOL_DIVISOR = 10
_N_STANDARD_ERRORS = 2.0  # standard errors of the difference between two held-out log-likelihoods


@dataclass(frozen=True)
class Candidate:
    """One of the models that are compared."""

    n_components: int
    covariance_type: str
    noise: bool | float = False  # as in the options of the model

    @property
    def structure(self) -> str:
        """What it has in common with candidates of other sizes: full, or full+noise."""
        return structure_name(self.covariance_type, self.noise)

    @property
    def name(self) -> str:
        """What it is called in tables and files: full-3, full+noise-3."""
        return f"{self.structure}-{self.n_components}"

    def n_parameters(self, n_features: int) -> int:
        """Return the number of free parameters."""
        k, d = self.n_components, n_features
        noise = 0 if self.noise is False else N_PARAMETERS
        return k - 1 + k * d + STRUCTURES[self.covariance_type].n_parameters(k, d) + noise


def structure_name(covariance_type: str, noise: bool | float) -> str:
    """Return the name of all candidates of a covariance type and noise: full, full+noise, full+noise:400 for V = 400.

    >>> structure_name("tied", True), structure_name("full", 400.0)
    ('tied+noise', 'full+noise:400')
    """
    if noise is False:
        return covariance_type
    return f"{covariance_type}+noise" + ("" if noise is True else f":{noise:.12g}")


@dataclass(frozen=True)
class SweepOptions:
    """How candidates are judged and when they leave."""

    em: EMOptions = field(default_factory=EMOptions)
    criterion: Criterion = "bic"
    n_sample: int | None = None  # rows that the starts were fitted to; None: all rows
    leave_early: bool = True  # when it cannot win any more

    def em_of(self, name: str) -> EMOptions:
        """Return the rule by which the trials of a state stop.

        Those of a fold start from a mixture that has seen the rows held out, and what is left of that would be taken
        for skill: they go ten times closer to their limit.
        """
        if fold_in(name) is None:
            return self.em
        return replace(self.em, tol=self.em.tol / _TOL_DIVISOR)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The state of a sweep: enough to continue from, bit for bit.

    `states` has a `State` for each candidate that has not failed, by its name; and with held-out folds one for each
    fold, named `fold_name(candidate, fold)`, whose trial is fitted to the rows outside of the fold.
    """

    candidates: tuple[Candidate, ...]
    data_summary: DataSummary
    states: Mapping[str, State]
    n_folds: int = 0  # 0: nothing is held out
    held_out: Mapping[str, float] = field(
        default_factory=dict
    )  # by the state's name: of its fold's rows, if any, per row
    failures: Mapping[str, str] = field(default_factory=dict)  # by the candidate's name: what went wrong, a sentence
    seconds: Mapping[str, float] = field(default_factory=dict)  # by the candidate's name: its share of the passes
    iteration: int = 0  # passes made

    @property
    def live(self) -> list[tuple[str, Trial]]:
        """The trials that take part in the next pass, with the names of their states, in the order of the pass."""
        return [(name, trial) for name, state in self.states.items() for trial in state.live]

    @property
    def n_live(self) -> int:
        """Number of candidates that are still in the sweep."""
        return sum(any(self.states[name].live for name in self.names(one)) for one in self.candidates)

    def names(self, candidate: Candidate) -> list[str]:
        """Return the names of the candidate's states: [] for one that failed."""
        folds = [fold_name(candidate, fold) for fold in range(self.n_folds)]
        return [name for name in (candidate.name, *folds) if name in self.states]


def fold_name(candidate: Candidate, fold: int) -> str:
    """Return the name of the state that is fitted to the rows outside of a fold."""
    return f"{candidate.name}/fold-{fold}"


def fold_in(name: str) -> Fold:
    """Return the fold that a state's name tells of, None where it is fitted to all rows."""
    _, _, fold = name.partition("/fold-")
    return int(fold) if fold else None


def initial_sweep(
    candidates: Sequence[Candidate], seeds: Mapping[str, Seeded], data_summary: DataSummary, n_folds: int = 0
) -> Sweep:
    """Return the sweep before its first pass, from the finalists of each candidate on the sample.

    The fits of folds start from the best finalist (see `SweepOptions.em_of`).
    """
    states: dict[str, State] = {}
    failures: dict[str, str] = {}
    for one in candidates:
        found = seeds[one.name]
        try:
            if isinstance(found, SingularCovarianceError):
                raise found
            for trial in found:
                check_regular(trial.mixture, data_summary.frame)
        except SingularCovarianceError as error:
            failures[one.name] = str(error)
            continue
        states[one.name] = State(data_summary, tuple(Trial(trial.mixture) for trial in found))
        for fold in range(n_folds):
            states[fold_name(one, fold)] = State(data_summary, (Trial(found[0].mixture),))
    return Sweep(tuple(candidates), data_summary, states, n_folds, failures=failures)


def run_sweep(
    sweep: Sweep, expect: SweepPass, options: SweepOptions, listen: Callable[[Sweep], Sweep] = lambda sweep: sweep
) -> Sweep:
    """Return the sweep that all candidates have left; `listen` hears of each state on the way, and may add to it."""
    while live := sweep.live:
        evaluated = tuple(options.em.inference.natural_parameters(trial.target) for _, trial in live)
        scored = expect(evaluated, tuple(fold_in(name) for name, _ in live))
        sweep = listen(advance_sweep(sweep, scored, options))
    return sweep


def advance_sweep(sweep: Sweep, scored: Sequence[FoldStatistics], options: SweepOptions) -> Sweep:
    """Return the sweep after a pass that gave `scored` of the live trials' mixtures, in their order.

    A candidate that cannot be computed any more is left out, and what went wrong is kept in `failures`.
    """
    passed = iter(scored)
    states, held_out, failures = {}, dict(sweep.held_out), dict(sweep.failures)
    for name, state in sweep.states.items():
        own = [next(passed) for _ in state.live]
        try:
            states[name] = _advance_state(state, own, options.em_of(name))
        except (SingularCovarianceError, np.linalg.LinAlgError, FloatingPointError) as error:
            failures[name.partition("/")[0]] = str(error)
            continue
        if own and own[0].held_out.weight_sum > 0 and not states[name].best.came_back:
            held_out[name] = own[0].held_out.mean - lattice_excess(states[name].best.mixture, sweep.data_summary.steps)
    states = {name: state for name, state in states.items() if name.partition("/")[0] not in failures}
    sweep = replace(sweep, states=states, held_out=held_out, failures=failures, iteration=sweep.iteration + 1)
    return _come_back(_leave(sweep, options), options) if options.leave_early else sweep


def _advance_state(state: State, scored: Sequence[FoldStatistics], options: EMOptions) -> State:
    if not scored:
        return state
    statistics = tuple(one.statistics for one in scored)
    if not all(np.isfinite(one.log_likelihood) for one in statistics):
        raise FloatingPointError("its log-likelihood is not a finite number: rescale the columns, or raise reg_covar")
    return advance(state, statistics, options)


def loss(sweep: Sweep, candidate: Candidate, criterion: Criterion, *, limit: SweepOptions | None = None) -> float:
    """Return the candidate's criterion, smaller is better; infinite where it has none.

    With `limit`, that which it would have at the estimated limit of its log-likelihood. A held-out log-likelihood
    counts negative, per row, and the bound of a posterior negative, in all.
    """
    names = sweep.names(candidate)
    if not names or not sweep.states[candidate.name].best.history:
        return np.inf
    kind = CRITERIA[criterion]
    if kind.held_out:
        values = held_out_scores(sweep, candidate) + (0.0 if limit is None else _gains(sweep, candidate, limit))
        return kind.loss(float(values.mean())) if len(values) else np.inf
    trial = sweep.states[candidate.name].best
    if kind.of_posterior:
        to_come = 0.0 if limit is None or _is_done(trial) else remaining_gain(trial, limit)
        return kind.loss(evidence_lower_bound(trial, sweep.data_summary) + to_come * sweep.data_summary.weight_sum)
    if limit is None:
        return kind.loss(float(getattr(criteria_of(trial, sweep.data_summary), kind.column)))
    return kind.loss(float(getattr(_criteria_at_limit(trial, sweep.data_summary, limit), kind.column)))


def criteria_of(trial: Trial, data_summary: DataSummary) -> Criteria:
    """Return the criteria of the trial's mixture, from its comparable log-likelihood."""
    done = trial.statistics
    assert done is not None, "a trial is judged after a pass"
    return criteria(comparable(trial, data_summary), done.entropy, trial.mixture.n_parameters, done.weight_sum)


def comparable(trial: Trial, data_summary: DataSummary) -> float:
    """Return the total log-likelihood less what components narrower than the steps of the columns gain by that."""
    done = trial.statistics
    assert done is not None, "a trial is judged after a pass"
    return done.log_likelihood - done.weight_sum * lattice_excess(trial.mixture, data_summary.steps)


def evidence_lower_bound(trial: Trial, data_summary: DataSummary) -> float:
    """Return the bound of the log-evidence that variational inference raises, in nats, as comparable as the rest."""
    done = trial.statistics
    assert done is not None, "a trial is judged after a pass"
    return (trial.history[-1] - lattice_excess(trial.mixture, data_summary.steps)) * done.weight_sum


def held_out_scores(sweep: Sweep, candidate: Candidate) -> Array:
    """Return the mean log-likelihood of each held-out fold that has rows, nats per row, (n_folds,) or fewer."""
    return np.array([sweep.held_out[name] for name in _folds_with_rows(sweep, candidate)])


def _folds_with_rows(sweep: Sweep, candidate: Candidate) -> list[str]:
    """Return the names of the states whose fold has rows: few rows may leave some without."""
    names = (fold_name(candidate, fold) for fold in range(sweep.n_folds))
    return [name for name in names if name in sweep.held_out]


def remaining_gain(trial: Trial, options: SweepOptions) -> float:
    """Return the estimated gain of the mean log-likelihood still to come, nats per row.

    Before there is an estimate from the gains themselves: what the best fit to all rows may have above the best fit to
    the sample. Twice the sum of that is about chi-square with p degrees of freedom, p the number of parameters; taken
    is a value that is exceeded once in ten thousand times, and half as much again since EM on the sample is stopped
    before its limit.
    """
    if len(trial.history) > 3 or options.n_sample is None:
        return max(trial.remaining_gain, options.em.tol) if len(trial.history) > 3 else options.em.tol
    p = trial.mixture.n_parameters
    return 1.5 * (p + 4 * float(np.sqrt(2 * p)) + 10) / (2 * options.n_sample) + options.em.tol


def best_candidate(sweep: Sweep, options: SweepOptions, *, finished: bool = False) -> Candidate | None:
    """Return the candidate of the best criterion, the first of equals; None where none has any.

    One with a collapsed component comes after all others, since its likelihood has no bound. With `finished`, only
    those that have left are looked at.
    """
    losses = [(loss(sweep, one, options.criterion), one) for one in sweep.candidates]
    known = [(value, one) for value, one in losses if value < np.inf and not (finished and _is_live(sweep, one))]
    known.sort(key=lambda item: item[0])
    sound = (one for _, one in known if not collapsed_components(sweep, one, options))
    return next(sound, known[0][1] if known else None)


def collapsed_components(sweep: Sweep, candidate: Candidate, options: SweepOptions) -> tuple[int, ...]:
    """Return the numbers of the components of the candidate's best trial that have collapsed."""
    if candidate.name not in sweep.states:
        return ()
    trial = sweep.states[candidate.name].best
    if trial.stop is StopReason.COLLAPSED:
        return (0,)
    if options.em.inference.regularised:
        return ()
    return unsound_components(trial.mixture, sweep.data_summary.n_rows, options.em.floor)


def _is_live(sweep: Sweep, candidate: Candidate) -> bool:
    return any(sweep.states[name].live for name in sweep.names(candidate))


def _gains(sweep: Sweep, candidate: Candidate, options: SweepOptions) -> Array:
    trials = [sweep.states[name].best for name in _folds_with_rows(sweep, candidate)]
    return np.array([0.0 if _is_done(trial) else remaining_gain(trial, options) for trial in trials])


def _is_done(trial: Trial) -> bool:
    return trial.stop is not None and trial.stop is not StopReason.BEATEN


def _criteria_at_limit(trial: Trial, data_summary: DataSummary, options: SweepOptions) -> Criteria:
    done = trial.statistics
    assert done is not None, "a trial is judged after a pass"
    if _is_done(trial):
        return criteria_of(trial, data_summary)
    log_likelihood = comparable(trial, data_summary) + remaining_gain(trial, options) * done.weight_sum
    return criteria(log_likelihood, _ENTROPY_KEPT * done.entropy, trial.mixture.n_parameters, done.weight_sum)


def _leave(sweep: Sweep, options: SweepOptions) -> Sweep:
    """Stop the candidates that cannot win any more."""
    leader = best_candidate(sweep, options, finished=CRITERIA[options.criterion].held_out)
    if leader is None:
        return sweep
    beaten = [
        name
        for one in sweep.candidates
        if _is_live(sweep, one) and _is_beaten(sweep, one, leader, options)
        for name in sweep.names(one)
    ]
    return _with_stop(sweep, beaten, None, StopReason.BEATEN)


def _come_back(sweep: Sweep, options: SweepOptions) -> Sweep:
    """Let those go on that have left and could win after all, once no other is live."""
    leader = best_candidate(sweep, options)
    if sweep.live or leader is None:
        return sweep
    back = [
        name for one in sweep.candidates for name in sweep.names(one) if not _is_beaten(sweep, one, leader, options)
    ]
    return _with_stop(sweep, back, StopReason.BEATEN, None)


def _is_beaten(sweep: Sweep, one: Candidate, leader: Candidate, options: SweepOptions) -> bool:
    best = loss(sweep, one, options.criterion, limit=options)
    if CRITERIA[options.criterion].held_out:
        best -= _N_STANDARD_ERRORS * standard_error(held_out_scores(sweep, one) - held_out_scores(sweep, leader))
    return best > loss(sweep, leader, options.criterion)


def standard_error(values: Array) -> float:
    """Return the standard error of the mean of values, one for each fold; infinite for a single one."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.inf


def _with_stop(sweep: Sweep, names: Sequence[str], before: StopReason | None, after: StopReason | None) -> Sweep:
    """Give the trials of these states that have one stop reason another."""
    states = dict(sweep.states)
    for name in names:
        trials = tuple(replace(t, stop=after) if t.stop is before else t for t in states[name].trials)
        states[name] = replace(states[name], trials=trials)
    return replace(sweep, states=states)
