"""Moves that EM cannot make: where a mixture spends two components on one cluster and one on two, it is put right.

A component whose split gains much is split and two others, whose merger loses little, are merged (Ueda, Nakano,
Ghahramani and Hinton 2000, SMEM algorithm). Several of these exchanges are tried by EM on their own components, all
others held (partial EM, there): with S_n the density of row n under the three components and r_n their responsibility
for it, that is EM of a mixture of three with the row weights r_n, on the few rows that have any. The log-likelihood of
the whole mixture gains by it the mean of

    log(1 - r_n + r_n S'_n / S_n)

A covariance that all components share is held too. Exchanges of different components are made together; EM of the whole
mixture goes on from there, and they stand where it has raised the log-likelihood by more than chance does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import SingularCovarianceError
from ..arrays.types import Array
from ..em.e_step import Expectation
from ..em.loop import StopReason, Trial
from ..kernels.natural_parameters import prepare_prediction
from ..mixture.mixture import Mixture
from ..scoring.prediction import Wanted, predict
from .exchanges import Exchange, after, disjoint, exchanges, hold_shared, split_again
from .splitting import Halving, halvings, short_runs
from .starts import Restart, SeedOptions, chance, in_memory, ranked, settle

Halve = Callable[[Mixture], list[Halving]]  # the components of a mixture in two, the most promising first

_MOST_ROUNDS = 8
_WORTH = 20  # times the tolerance of EM on the sample: moves that gain less are not worth their time

_WORK = 60_000_000  # numbers of joint log-densities times columns for each step of all exchanges together
_GO_ON = 4  # exchanges, the best after a few steps of EM of the whole mixture, from which a second one is tried
_SETTLED = 2  # of them, that go on to the limit of EM
_MOST, _FEWEST = 24, 6  # exchanges that are tried so, and below the fewest by EM on their own components alone
_MOST_ALONE, _FEWEST_ALONE = 16, 4  # of these: one for each two components
_AGAIN = 4  # of so many exchanges that are tried one splits a pair again
_SHORT_HEATS = 4, 6, 10  # steps of EM of the whole mixture, after which the worse half is given up
_TRY_ROWS, _TRY_ROWS_PER_PARAMETER = 10_000, 40  # at least, on which that is done
_ALIKE = 1e-5  # nats per row: tries that end so close are taken for the same
_HEATS, _STEPS = 2, 10  # after the first heat of so many steps those that lose are given up
_ROWS = 20_000  # of their components, about, on which they are tried
_LEAST = 1e-3  # of a row: less is not counted in these steps


def moved(sample: Expectation, options: SeedOptions, mixture: Mixture, deep: bool = False) -> Restart:
    """Return the trial after EM from the mixture and the moves that raise its log-likelihood on the sample.

    With `deep`, two exchanges are tried together where one gains nothing and that is cheap.
    """
    trial, known = settle(sample, options, mixture), _Halved(sample, options)
    for _ in range(_MOST_ROUNDS):
        if not isinstance(trial, Trial) or not _may_move(trial, options):
            break
        better = _moved_once(sample, options, trial, known, deep=deep)
        if better is None:
            break
        trial = better
    return trial


def _may_move(trial: Trial, options: SeedOptions) -> bool:
    """Return whether moves are tried: where a prior has emptied components, it has no use for more."""
    inference = options.em.inference
    return inference.moves_components and not (inference.regularised and trial.mixture.empty)


class _Halved:
    """The components that were halved so far: what has not changed since is not halved again."""

    def __init__(self, sample: Expectation, options: SeedOptions) -> None:
        self._sample, self._floor, self._known = sample, options.em.floor, list[Halving]()

    def __call__(self, mixture: Mixture) -> list[Halving]:
        """Return the components of a mixture in two, the most promising first."""
        found = halvings(self._sample, mixture, self._floor, self._known)
        known = {id(one.pair) for one in self._known}
        self._known += [one for one in found if id(one.pair) not in known]
        return found


def _moved_once(sample: Expectation, options: SeedOptions, trial: Trial, halve: Halve, *, deep: bool) -> Trial | None:
    """Return the trial after the exchanges that are found to gain, None where they do not gain enough."""
    least = max(chance(sample, options, 1), _WORTH * options.em.tol)
    n_tried = _affordable(sample, trial.mixture)
    if n_tried < _FEWEST:
        return _first_better(sample, options, exchanged(sample, options, trial.mixture, least, halve), trial, least)
    tries = _Tries(sample, options, halve, n_tried)
    level = tries.level(trial.mixture) + least / 2
    tried = tries.best(trial.mixture, n_tried // _AGAIN)
    better = _first_better(sample, options, _promising(tried, level), trial, least)
    if better is not None or not deep or n_tried < _MOST or _n_exchanges(trial.mixture.n_components) <= _MOST:
        return better
    beyond = (_promising(tries.best(one.mixture), level) for one in tried)
    two = (_first_better(sample, options, mixtures, trial, least) for mixtures in beyond)
    return next((one for one in two if one is not None), None)  # what two exchanges gain that one does not


def _promising(trials: Sequence[Trial], level: float) -> list[Mixture]:
    """Return the mixtures of trials that may reach a log-likelihood."""
    return [one.mixture for one in trials if one.history[-1] + one.remaining_gain >= level]


def _first_better(
    sample: Expectation, options: SeedOptions, tried: list[Mixture], trial: Trial, least: float
) -> Trial | None:
    """Return the first trial to which EM leads from these mixtures that is better than the trial by `least`."""
    sound, level = trial.merit
    for mixture in tried[:_SETTLED]:
        found = settle(sample, options, mixture)
        if isinstance(found, Trial) and found.merit > (sound, level + least):
            return found
    return None


def _n_exchanges(k: int) -> int:
    """Return how many ways there are to split one of k components and to merge two others."""
    return k * (k - 1) * (k - 2) // 2


def _affordable(sample: Expectation, mixture: Mixture) -> int:
    """Return how many exchanges may be tried by EM of the whole mixture."""
    columns = mixture.feature_map.n_columns(mixture.n_features)
    return min(_MOST, _WORK // (len(sample.rows) * mixture.n_components * columns))


@dataclass(frozen=True, eq=False)
class _Tries:
    """Exchanges that are tried by a few steps of EM of the whole mixture, on as many rows as tell them apart."""

    sample: Expectation
    options: SeedOptions
    halve: Halve
    most: int

    def best(self, mixture: Mixture, n_again: int = 0) -> list[Trial]:
        """Return the trials of exchanges that are best after a few steps, the best first."""
        try:
            proposed = _proposed(self.sample, self.options, mixture, self.most, self.halve, n_again)
            starts = [after(mixture, [one]) for one in proposed]
            return _apart(ranked(self._run(starts, _SHORT_HEATS)))[:_GO_ON] if starts else []
        except (SingularCovarianceError, np.linalg.LinAlgError):
            return []

    def level(self, mixture: Mixture) -> float:
        """Return the mean log-likelihood that a mixture reaches in as many steps on the same rows."""
        try:
            return float(self._run([mixture], [sum(_SHORT_HEATS)])[0].history[-1])
        except SingularCovarianceError:  # on fewer rows: nothing is known that tries have to reach
            return -np.inf

    def _run(self, starts: Sequence[Mixture], heats: Sequence[int]) -> tuple[Trial, ...]:
        return short_runs(_spread(self.sample, _rows_to_try(starts[0])), self.options, starts, heats)


def _apart(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials in order without those that are about where one before them is: they would take its places."""
    found: list[Trial] = []
    for trial in trials:
        if all(abs(trial.history[-1] - other.history[-1]) > _ALIKE for other in found):
            found.append(trial)
    return found


def _rows_to_try(mixture: Mixture) -> int:
    return max(_TRY_ROWS, _TRY_ROWS_PER_PARAMETER * mixture.n_parameters)


def _proposed(
    sample: Expectation, options: SeedOptions, mixture: Mixture, most: int, halve: Halve, n_again: int
) -> list[Exchange]:
    """Return the exchanges that are tried, among them up to `n_again` of pairs that overlap and are split again."""
    again = split_again(sample, mixture, options.em.floor, n_again) if n_again else []
    return exchanges(mixture, halve(mixture), most, again)


def exchanged(sample: Expectation, options: SeedOptions, mixture: Mixture, least: float, halve: Halve) -> list[Mixture]:
    """Return the mixture after the exchanges that gain, each of other components, and after the best of them alone.

    `least` is the gain, nats per row, that is worth to be looked for.
    """
    if mixture.n_components < 2 or mixture.empty:
        return []
    sample = _positive(sample)
    most = min(_MOST_ALONE, max(_FEWEST_ALONE, mixture.n_components // 2))
    try:
        whole = _Whole(mixture, _log_density(sample, mixture))
        proposed = _proposed(sample, options, mixture, most, halve, most // _AGAIN)
    except (SingularCovarianceError, np.linalg.LinAlgError):
        return []
    tried = (_tried(sample, options, whole, least, exchange) for exchange in proposed)
    gaining = sorted((one for one in tried if one is not None and one[0] > 0), key=lambda one: -one[0])
    made = disjoint(exchange for _, exchange in gaining)
    return [after(mixture, some) for some in ([made, made[:1]] if len(made) > 1 else [made]) if some]


@dataclass(frozen=True, eq=False)
class _Whole:
    """The mixture before the exchanges."""

    mixture: Mixture
    log_density: Array  # (n,), log p of the rows of the sample


def _tried(
    sample: Expectation, options: SeedOptions, whole: _Whole, least: float, exchange: Exchange
) -> tuple[float, Exchange] | None:
    """Return what an exchange gains, nats per row, and it after EM on its components; None where it is given up."""
    share = float(whole.mixture.weights[list(exchange.components)].sum())
    rows = _first(sample, int(min(len(sample.rows), _ROWS / share)))
    row_weights = np.ones(len(rows.rows)) if rows.row_weights is None else np.asarray(rows.row_weights, np.float64)
    gain, log_density = 0.0, whole.log_density[: len(rows.rows)] - np.log(share)
    tol = max(options.em.tol, chance(sample, options, 1)) / share
    em = replace(options, em=replace(options.em, tol=tol, max_iter=min(_STEPS, options.em.max_iter)))
    try:
        mass = np.exp(_log_density(rows, exchange.ours) - log_density)
        others = _others(rows, whole, exchange, mass)
        for _ in range(_HEATS):
            near = np.flatnonzero(mass > _LEAST)
            part = replace(rows, rows=rows.rows[near], row_weights=mass[near] * row_weights[near])
            trial = short_runs(part, em, [exchange.theirs], [em.em.max_iter])[0]
            if trial.stop is StopReason.COLLAPSED or trial.mixture.empty:
                return None
            exchange = replace(exchange, theirs=hold_shared(exchange.ours, trial.mixture))
            own = _log_density(rows, exchange.theirs) - log_density
            together = np.logaddexp(own, others)
            gain = float(np.average(together, weights=row_weights))
            if gain < -least:
                return None
            mass = np.exp(own - together)
    except (SingularCovarianceError, np.linalg.LinAlgError):
        return None
    return gain, exchange


def _positive(sample: Expectation) -> Expectation:
    """Return the rows of the sample that have a positive weight, which the survey is of."""
    if sample.row_weights is None:
        return sample
    positive = sample.row_weights > 0
    return replace(sample, rows=sample.rows[positive], row_weights=sample.row_weights[positive])


def _first(sample: Expectation, n: int) -> Expectation:
    """Return the first n rows of the sample."""
    row_weights = None if sample.row_weights is None else sample.row_weights[:n]
    return replace(sample, rows=sample.rows[:n], row_weights=row_weights, some_rows=True)


def _spread(sample: Expectation, n: int) -> Expectation:
    """Return about n rows, spread over all of the sample."""
    step = len(sample.rows) // n
    if step < 2:
        return sample
    weights = None if sample.row_weights is None else sample.row_weights[::step]
    return in_memory(sample.rows[::step], weights, sample.dtype)


def _others(rows: Expectation, whole: _Whole, exchange: Exchange, mass: Array) -> Array:
    """Return log(1 - r_n), (n,), r_n = `mass`; where that is near 1, from the densities of all other components."""
    rest = np.setdiff1d(np.arange(whole.mixture.n_components), exchange.components)
    noise = whole.mixture.noise
    if not len(rest) and noise is None:
        return np.full(len(mass), -np.inf)
    most = mass > 0.5
    others = np.log1p(-np.where(most, 0.0, mass))
    own = replace(rows, rows=rows.rows[most], row_weights=None if rows.row_weights is None else rows.row_weights[most])
    density = np.full(len(own.rows), -np.inf) if noise is None else noise.log_density(own.rows)
    if len(rest):
        log_share = np.log(whole.mixture.weights[rest].sum())
        density = np.logaddexp(density, log_share + _log_density(own, whole.mixture.take(rest.tolist())))
    others[most] = density - whole.log_density[: len(mass)][most]
    return others


def _log_density(rows: Expectation, mixture: Mixture) -> Array:
    """Return log p of each of the rows, (n,)."""
    wanted, coefficients = Wanted(log_density=True), prepare_prediction(mixture, missing=rows.survey.has_gaps)
    density = predict(rows.rows, rows.row_weights, coefficients, mixture.n_components, wanted).log_density
    assert density is not None, "it was asked for"
    return density
