"""Moves that EM cannot make: where a mixture spends two components on one cluster and one on two, it is put right.

A component whose split gains much is split and two others, whose merger loses little, are merged (Ueda, Nakano,
Ghahramani and Hinton 2000, SMEM algorithm). Several of these exchanges race, by EM on their own components, the others
held (partial EM, there): with S_n the density of row n under the three components and r_n their responsibility for it,
that is EM of a mixture of three with the row weights r_n, on the few rows that have any. What an exchange gains so far
is the mean of

    log(1 - r_n + r_n S'_n / S_n)

Exchanges of different components are made together; EM of the whole mixture goes on from there, and they stand where it
has raised the log-likelihood by more than chance does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .coefficients import prepare_prediction
from .exchanges import Exchange, after, exchanges
from .expectation import Expectation
from .features import Array
from .loop import Trial
from .mixture import Mixture
from .prediction import Wanted, predict
from .seeding import Restart, SeedOptions, chance, in_memory, refine, settle
from .structures import floored

_MOST_ROUNDS = 8
_WORTH = 10  # times the tolerance of EM on the sample: moves that gain less are not worth their time

_MOST, _FEWEST = 16, 4  # exchanges that race, one for each two components; half of them are dropped after each heat
_HEATS, _STEPS = 2, 10  # and steps of EM in each
_ROWS = 20_000  # of their components, about, on which they do
_LEAST = 1e-3  # of a row: less is not counted in these steps


def moved(sample: Expectation, options: SeedOptions, mixture: Mixture) -> Restart:
    """Return the trial after EM from the mixture and the moves that raise its log-likelihood on the sample."""
    trial = settle(sample, options, mixture)
    for _ in range(_MOST_ROUNDS):
        if not isinstance(trial, Trial):
            break
        better = _moved_once(sample, options, trial)
        if better is None:
            break
        trial = better
    return trial


def _moved_once(sample: Expectation, options: SeedOptions, trial: Trial) -> Trial | None:
    """Return the trial after the exchanges that are found to gain, None where they do not gain enough."""
    least = max(chance(sample, options, 1), _WORTH * options.em.tol)
    better = exchanged(sample, options, trial.mixture)
    found = None if better is None else settle(sample, options, better)
    return found if isinstance(found, Trial) and found.history[-1] > trial.history[-1] + least else None


def exchanged(sample: Expectation, options: SeedOptions, mixture: Mixture) -> Mixture | None:
    """Return the mixture after the exchanges that win the race, each of other components; None where none gains."""
    if mixture.n_components < 3 or mixture.empty:
        return None
    log_density = _log_density(sample, mixture)
    most = min(_MOST, max(_FEWEST, mixture.n_components // 2))
    proposed = exchanges(sample, mixture, options.em.reg_covar, most)
    racing = [_entered(sample, mixture, log_density, exchange) for exchange in proposed]
    for _ in range(_HEATS):
        heats = (_after_a_heat(one, options) for one in racing)
        racing = sorted((one for one in heats if one is not None), key=lambda one: -one.gain)
        racing = racing[: max(_FEWEST, len(racing) // 2)]
    made: list[Exchange] = []
    for one in racing:
        if one.gain > 0 and not any(set(one.exchange.components) & set(other.components) for other in made):
            made.append(one.exchange)
    return after(mixture, made) if made else None


@dataclass(frozen=True, eq=False)
class _Runner:
    """An exchange on its way, and what the first rows of the sample say of it."""

    mixture: Mixture  # the whole
    exchange: Exchange
    rows: Expectation  # n of them
    row_weights: Array  # (n,)
    share: float  # weight of its three components
    others: Array  # (n,), log(1 - r_n)
    log_density: Array  # (n,), log p(x_n), all before the exchange
    mass: Array  # (n,), the responsibility of its components, as they are now
    gain: float = 0.0  # nats per row


def _entered(sample: Expectation, mixture: Mixture, log_density: Array, exchange: Exchange) -> _Runner:
    share = float(mixture.weights[list(exchange.components)].sum())
    n = min(len(sample.rows), int(_ROWS / share))
    row_weights = np.ones(n) if sample.row_weights is None else np.asarray(sample.row_weights[:n], np.float64)
    rows = Expectation(sample.rows[:n], row_weights, sample.survey, sample.dtype)
    mass = np.minimum(share * np.exp(_log_density(rows, exchange.ours) - log_density[:n]), 1 - 1e-12)
    return _Runner(mixture, exchange, rows, row_weights, share, np.log1p(-mass), log_density[:n], mass)


def _after_a_heat(runner: _Runner, options: SeedOptions) -> _Runner | None:
    """Return the exchange after a few steps of EM on its components; None where they become singular."""
    rows = runner.rows
    weights, near = runner.mass * runner.row_weights, np.flatnonzero(runner.mass > _LEAST)
    if not len(near):
        return None
    tol = max(options.em.tol, chance(rows, options, 1)) / runner.share
    em = replace(options.em, tol=tol, max_iter=_STEPS)
    part = in_memory(rows.rows[near], weights[near], rows.dtype)
    trial = refine(part, replace(options, em=em), runner.exchange.theirs)
    if not isinstance(trial, Trial):
        return None
    theirs = _as_in_the_whole(trial.mixture, runner, options.em.reg_covar)
    own = np.log(runner.share) + _log_density(rows, theirs) - runner.log_density
    together = np.logaddexp(own, runner.others)
    return replace(
        runner,
        exchange=replace(runner.exchange, theirs=theirs),
        mass=np.exp(own - together),
        gain=float(np.average(together, weights=runner.row_weights)),
    )


def _as_in_the_whole(theirs: Mixture, runner: _Runner, reg_covar: float) -> Mixture:
    """Return the three with the covariance that all share, or else no narrower than the whole is regularised to."""
    whole = after(runner.mixture, [replace(runner.exchange, theirs=theirs)])
    if whole.covariance_type == "tied":
        return replace(theirs, covariances=whole.covariances)
    covariances = floored(whole.structure, whole.covariances, whole.weights, runner.rows.survey, reg_covar)
    return replace(theirs, covariances=covariances[-theirs.n_components :])


def _log_density(sample: Expectation, mixture: Mixture) -> Array:
    """Return log p of each row of the sample, (n,)."""
    wanted, coefficients = Wanted(log_density=True), prepare_prediction(mixture)
    density = predict(sample.rows, sample.row_weights, coefficients, mixture.n_components, wanted).log_density
    assert density is not None, "it was asked for"
    return density
