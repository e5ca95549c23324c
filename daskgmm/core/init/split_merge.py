"""Moves that EM cannot make: where a mixture spends two components on one cluster and one on two, it is put right.

A component whose split gains much is split and two others, whose merger loses little, are merged (Ueda, Nakano,
Ghahramani and Hinton 2000, SMEM algorithm). Several of these exchanges are tried by a few steps of EM of the whole
mixture on part of the rows. Where that takes too long they are tried by EM of the components near them alone (see
partial_em.py), or in families without such runs few are, chosen by what they change in the log-likelihood (see
many_components.py). From the best of them EM goes on, and they stand if they have raised the log-likelihood by more
than chance does.

Part of the rows does not tell all mixtures apart: those that are left for others within two standard errors of their
difference are kept, and more rows decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...blas import single_threaded
from ...errors import SingularCovarianceError
from ..em.e_step import Expectation
from ..em.loop import Trial
from ..em.short_runs import can_run
from ..em.surrogate import CHEAP_ROWS
from ..mixture.mixture import Mixture
from .drawn_splits import DrawnSplit
from .exchanges import TRIED_PER_SPLIT_AGAIN, Halve, apply_exchanges, propose
from .many_components import try_exchanges
from .paired_difference import Comparison, mean_log_density
from .partial_em import can_improve, improve_exchanges
from .splitting import Split, halve_each, short_runs
from .starts import (
    Restart,
    SeedOptions,
    distinct,
    expected_optimism,
    first_stage_rows,
    in_memory,
    rank,
    run_em_to_sampling_error,
)

_MAX_ROUNDS = 8
_MIN_GAIN = 20  # times the tolerance of EM on the sample: moves that gain less are not worth their time

_STEP_WORK = 60_000_000  # numbers of joint log-densities times columns for each step of all exchanges together
_N_CONTINUED = 2  # exchanges, the best after a few steps of EM of the whole mixture, from which a second one is tried
_N_RUN_TO_LIMIT = 2  # of them, that go on to the limit of EM
_MAX_TRIED, _MIN_TRIED = 24, 6  # exchanges that are tried so, or else as in many_components.py
_TRIED_TOGETHER = 6  # second exchanges, after each of the best first ones
_SHORT_STAGES = 4, 6, 10  # steps of EM of the whole mixture, after which the worse half is given up
_CHECK_STAGES = 4, 6  # on all rows, of those that fewer do not tell from the mixture before
_TRY_ROWS, _TRY_ROWS_PER_PARAMETER = 5_000, 40  # at least, on which that is done
_SAME_LEVEL = 1e-5  # nats per row: trials that end so close are taken for the same
_MAX_CANDIDATES = 6  # trials that rows do not tell from the best


@single_threaded()  # the same bits whatever the number of threads
def split_merge(
    sample: Expectation, options: SeedOptions, mixtures: Sequence[Mixture], n_moved: int | None = None
) -> tuple[Restart, ...]:
    """Return the trials after EM from the mixtures and moves from the n_moved best of them, the best first.

    If EM fails from all mixtures, their errors are returned. Without n_moved, moves are made from all in their order,
    and from the best two exchanges are tried together if one gains nothing and EM of the whole mixture is cheap; and of
    a part of the sample those trials are returned too that it does not tell from the best.
    """
    search = _Search(sample, options, mixtures[0])
    if n_moved is not None and len(mixtures) > n_moved:
        mixtures = _choose_foremost(sample, mixtures, n_moved + 1)
    ends = []
    for mixture in mixtures:
        ends.append(search.run_em(mixture))
        if n_moved is None:
            search.climb(ends[-1], deep=not options.in_parts)
    if not search.ends:
        return tuple(ends)
    if n_moved is not None:
        for trial in rank(ends)[:n_moved]:
            search.climb(trial)
    elif options.in_parts:
        search.climb(search.best, deep=True)
        return search.candidates()
    return tuple(distinct(rank(search.ends), _SAME_LEVEL))


def _choose_foremost(sample: Expectation, mixtures: Sequence[Mixture], n: int) -> list[Mixture]:
    """Return the n mixtures that fit best to rows they have not seen, all but the first part of the sample.

    The best comes first. Those that were given are returned if one is singular.
    """
    n_seen = first_stage_rows(len(sample.rows))
    unseen = sample if n_seen == len(sample.rows) else sample.take(slice(n_seen, None))
    try:
        levels = [mean_log_density(unseen, mixture) for mixture in mixtures]
    except SingularCovarianceError:
        return list(mixtures)
    order = sorted(range(len(mixtures)), key=lambda number: -levels[number])
    return [mixtures[number] for number in order[:n]]


def _may_move(trial: Trial, options: SeedOptions) -> bool:
    """Return whether moves are tried: where a prior has emptied components, it has no use for more."""
    inference = options.em.inference
    return inference.moves_components and not (inference.regularised and trial.mixture.empty)


class _Search:
    """The moves on rows; from what was found so far none are made again."""

    def __init__(self, sample: Expectation, options: SeedOptions, like: Mixture) -> None:
        """`like` is a mixture of the family; its parameters do not matter."""
        self.ends = list[Trial]()  # to which EM has led
        self._short_ends = list[Trial]()  # after a few steps
        self._sample, self._options = sample, options
        self._coarse = _coarsen(sample, options, like)
        self._halve = _Halved(self._coarse, options)
        self._split = list[DrawnSplit]()  # components of mixtures of many
        self._explored = list[_Explored]()
        self._least = max(expected_optimism(sample, options, 1), _MIN_GAIN * options.em.tol)

    def run_em(self, mixture: Mixture) -> Restart:
        """Return the trial to which EM leads from the mixture, or why there is none."""
        found = run_em_to_sampling_error(self._sample, self._options, mixture)
        self._short_ends = [one for one in self._short_ends if one.mixture is not mixture]
        if isinstance(found, Trial):
            self.ends.append(found)
        return found

    @property
    def best(self) -> Trial:
        """The best trial so far."""
        return rank(self.ends)[0]

    def climb(self, found: Restart, *, deep: bool = False) -> None:
        """Make moves from a trial for as long as they gain.

        With `deep`, two are tried together if one gains nothing and none is better so far.
        """
        better = found if isinstance(found, Trial) else None
        for _ in range(_MAX_ROUNDS):
            if better is None or not _may_move(better, self._options):
                break
            trial, better = better, self._move(better)
            if better is None and deep and trial.ranking_key >= self.best.ranking_key:
                better = self._move_twice(trial)

    def candidates(self) -> tuple[Trial, ...]:
        """Return n_finalists trials, and others that the rows do not tell from the best one, the best first."""
        ends, n = distinct(rank(self.ends), _SAME_LEVEL), self._options.n_finalists
        best, comparison = ends[0], Comparison.of(self._sample, ends[0].mixture)
        others = sorted([*ends[n:], *self._short_ends], key=lambda one: one.ranking_key, reverse=True)
        as_sound = (one for one in distinct(others, _SAME_LEVEL) if one.ranking_key[0] == best.ranking_key[0])
        return *ends[:n], *[one for one in as_sound if comparison.may_be_better(one.mixture)][:_MAX_CANDIDATES]

    def _move(self, trial: Trial) -> Trial | None:
        """Return the trial after the exchanges that are found to gain, None if they gain too little or were tried."""
        if self._known(trial) is not None:
            return None
        tries = _Tries(self._coarse, self._options, self._halve, trial)
        if tries.n_tried < _MAX_TRIED and can_improve(self._sample, trial.mixture, self._options):
            self._explored.append(_Explored(trial, tries, []))
            improved = improve_exchanges(self._coarse, self._options, trial.mixture, self._split, self._least)
            return self._find_better(improved, trial)
        if tries.n_tried < _MIN_TRIED:
            self._explored.append(_Explored(trial, tries, []))
            found = try_exchanges(self._coarse, self._options, trial.mixture, self._split)
            return self._find_better(self._select_in_reach(found, trial), trial)
        tried = tries.best(trial.mixture, tries.n_tried, tries.n_tried // TRIED_PER_SPLIT_AGAIN)
        self._explored.append(_Explored(trial, tries, tried))
        return self._find_better(self._select_promising(tries, tried), trial)

    def _move_twice(self, trial: Trial) -> Trial | None:
        """Return the trial after two exchanges together, None if they gain too little or are not cheap."""
        known = self._known(trial)
        if known is None or known.tries.n_tried < _MAX_TRIED or _n_exchanges(trial.mixture.n_components) <= _MAX_TRIED:
            return None
        tries = known.tries
        beyond = (self._select_promising(tries, tries.best(one.mixture, _TRIED_TOGETHER)) for one in known.tried)
        two = (self._find_better(mixtures, trial) for mixtures in beyond)
        return next((one for one in two if one is not None), None)

    def _select_promising(self, tries: _Tries, tried: Sequence[Trial]) -> list[Mixture]:
        """Return the mixtures of trials that may be better than the one before them by enough, the best first."""
        may = tries.select_promising(tried, self._least)
        if not tries.in_part or not may:
            return may
        found = rank(short_runs(self._coarse, self._options, may, _CHECK_STAGES))
        self._short_ends += found
        return self._select_in_reach(found, tries.trial)

    def _select_in_reach(self, found: Sequence[Trial], trial: Trial) -> list[Mixture]:
        """Return the mixtures of trials that EM is expected to lead above another one by enough, the best first."""
        level = trial.history[-1] + self._least / 2
        return [one.mixture for one in rank(found) if one.history[-1] + one.remaining_gain >= level] if found else []

    def _known(self, trial: Trial) -> _Explored | None:
        near = (one for one in self._explored if abs(one.trial.history[-1] - trial.history[-1]) <= _SAME_LEVEL)
        return next(near, None)

    def _find_better(self, mixtures: Sequence[Mixture], trial: Trial) -> Trial | None:
        """Return the first trial to which EM leads from these mixtures that is better than the trial by enough."""
        soundness, level = trial.ranking_key
        for mixture in mixtures[:_N_RUN_TO_LIMIT]:
            found = self.run_em(mixture)
            if isinstance(found, Trial) and found.ranking_key > (soundness, level + self._least):
                return found
        return None


class _Halved:
    """The components that were halved so far: what has not changed since is not halved again."""

    def __init__(self, sample: Expectation, options: SeedOptions) -> None:
        self._sample, self._floor, self._known = sample, options.em.floor, list[Split]()

    def __call__(self, mixture: Mixture) -> list[Split]:
        """Return the components of a mixture in two, the most promising first."""
        found = halve_each(self._sample, mixture, self._floor, self._known)
        known = {id(one.pair) for one in self._known}
        self._known += [one for one in found if id(one.pair) not in known]
        return found


def _coarsen(sample: Expectation, options: SeedOptions, like: Mixture) -> Expectation:
    """Return the rows as moves are tried on them: in float32 where compiled runs do so, unless there are few rows.

    What a move gains is decided by EM on the sample in float64.
    """
    few = len(sample.rows) <= CHEAP_ROWS
    return sample if few or not can_run(sample, like, options.em) else replace(sample, dtype=np.float32)


def _n_exchanges(k: int) -> int:
    """Return the number of ways to split one of k components and to merge two others."""
    return k * (k - 1) * (k - 2) // 2


def _affordable(sample: Expectation, mixture: Mixture) -> int:
    """Return the number of exchanges that may be tried by EM of the whole mixture."""
    columns = mixture.feature_map.n_columns(mixture.n_features)
    return min(_MAX_TRIED, _STEP_WORK // (len(sample.rows) * mixture.n_components * columns))


@dataclass(frozen=True, eq=False)
class _Tries:
    """Exchanges that are tried by a few steps of EM of the whole mixture, on as many rows as tell them apart."""

    sample: Expectation
    options: SeedOptions
    halve: Halve
    trial: Trial  # before

    @cached_property
    def n_tried(self) -> int:
        """How many exchanges are tried."""
        return _affordable(self.sample, self.trial.mixture)

    def best(self, mixture: Mixture, most: int, n_again: int = 0) -> list[Trial]:
        """Return the trials that are best after a few steps, of `most` exchanges and n_again that split pairs again."""
        try:
            proposed = propose(self.sample, self.options, mixture, most, self.halve, n_again)
            starts = [apply_exchanges(mixture, [one]) for one in proposed]
            return distinct(rank(self._run(starts, _SHORT_STAGES)), _SAME_LEVEL)[:_N_CONTINUED] if starts else []
        except (SingularCovarianceError, np.linalg.LinAlgError):
            return []

    def select_promising(self, tried: Sequence[Trial], least: float) -> list[Mixture]:
        """Return the mixtures of trials that may be better than the one before by `least`, the best first."""
        if self._before is None:
            return [one.mixture for one in tried]
        level = self._before.history[-1] + least / 2
        return [one.mixture for one in tried if one.history[-1] + one.remaining_gain >= level or self._in_doubt(one)]

    @property
    def in_part(self) -> bool:
        """Whether not all rows of the sample are used."""
        return self._rows is not self.sample

    @cached_property
    def _rows(self) -> Expectation:
        return _spread(self.sample, _count_rows_to_try(self.trial.mixture))

    @cached_property
    def _before(self) -> Trial | None:
        """The mixture before after as many steps on the same rows; None if that has no meaning on fewer rows."""
        try:
            return self._run([self.trial.mixture], [sum(_SHORT_STAGES)])[0]
        except SingularCovarianceError:
            return None

    @cached_property
    def _comparison(self) -> Comparison:
        assert self._before is not None, "there is nothing to compare with"
        return Comparison.of(self._rows, self._before.mixture, len(self._rows.rows) / len(self.sample.rows))

    def _in_doubt(self, one: Trial) -> bool:
        return self.in_part and self._comparison.may_be_better(one.mixture)

    def _run(self, starts: Sequence[Mixture], stages: Sequence[int]) -> tuple[Trial, ...]:
        return short_runs(self._rows, self.options, starts, stages)


@dataclass(frozen=True, eq=False)
class _Explored:
    """A trial from which moves were tried, and the best of them after a few steps."""

    trial: Trial
    tries: _Tries
    tried: list[Trial]


def _count_rows_to_try(mixture: Mixture) -> int:
    return max(_TRY_ROWS, _TRY_ROWS_PER_PARAMETER * mixture.n_parameters)


def _spread(sample: Expectation, n: int) -> Expectation:
    """Return about n rows, spread over all of the sample."""
    step = len(sample.rows) // n
    if step < 2:
        return sample
    weights = None if sample.row_weights is None else sample.row_weights[::step]
    return in_memory(sample.rows[::step], weights, sample.dtype)
