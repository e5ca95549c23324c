"""Exchanges that are tried by EM on their own components, all others held (partial EM).

With S_n the density of row n under the three components of an exchange and r_n their responsibility for it, that is EM
of a mixture of three with the row weights r_n, on the few rows that have any. The log-likelihood of the whole mixture
gains by it the mean of

    log(1 - r_n + r_n S'_n / S_n)

(Ueda, Nakano, Ghahramani and Hinton 2000, SMEM algorithm). A covariance that all components share is held too.
Exchanges of different components are made together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...errors import SingularCovarianceError
from ..arrays.types import Array
from ..em.e_step import Expectation
from ..em.loop import StopReason
from ..mixture.mixture import Mixture
from .exchanges import Exchange, after, disjoint, exchanges, hold_shared, split_again
from .paired_difference import log_density
from .splitting import Split, short_runs
from .starts import SeedOptions, expected_optimism

Halve = Callable[[Mixture], list[Split]]  # the components of a mixture in two, the most promising first

AGAIN = 4  # of so many exchanges that are tried one splits a pair again
_MOST_ALONE, _FEWEST_ALONE = 16, 4  # exchanges: one for each two components
_STAGES, _STEPS = 2, 10  # after the first stage of so many steps those that lose are given up
_ROWS = 20_000  # of their components, about, on which they are tried
_MIN_RESP = 1e-3  # of a row: less is not counted in these steps


def propose(
    sample: Expectation, options: SeedOptions, mixture: Mixture, most: int, halve: Halve, n_again: int
) -> list[Exchange]:
    """Return the exchanges that are tried, among them up to `n_again` of pairs that overlap and are split again."""
    again = split_again(sample, mixture, options.em.floor, n_again) if n_again else []
    return exchanges(mixture, halve(mixture), most, again)


def run_exchanges(
    sample: Expectation, options: SeedOptions, mixture: Mixture, least: float, halve: Halve
) -> list[Mixture]:
    """Return the mixture after the exchanges that gain, each of other components, and after the best of them alone.

    `least` is the gain, nats per row, that is worth to be looked for.
    """
    if mixture.n_components < 2 or mixture.empty:
        return []
    sample = _positive(sample)
    most = min(_MOST_ALONE, max(_FEWEST_ALONE, mixture.n_components // 2))
    try:
        whole = _FullModel(mixture, log_density(sample, mixture))
        proposed = propose(sample, options, mixture, most, halve, most // AGAIN)
    except (SingularCovarianceError, np.linalg.LinAlgError):
        return []
    tried = (_try(sample, options, whole, least, exchange) for exchange in proposed)
    gaining = sorted((one for one in tried if one is not None and one[0] > 0), key=lambda one: -one[0])
    made = disjoint(exchange for _, exchange in gaining)
    return [after(mixture, some) for some in ([made, made[:1]] if len(made) > 1 else [made]) if some]


@dataclass(frozen=True, eq=False)
class _FullModel:
    """The mixture before the exchanges."""

    mixture: Mixture
    log_density: Array  # (n,), log p of the rows of the sample


def _try(
    sample: Expectation, options: SeedOptions, whole: _FullModel, least: float, exchange: Exchange
) -> tuple[float, Exchange] | None:
    """Return what an exchange gains, nats per row, and it after EM on its components; None where it is given up."""
    share = float(whole.mixture.weights[list(exchange.components)].sum())
    rows = _first(sample, int(min(len(sample.rows), _ROWS / share)))
    row_weights = np.ones(len(rows.rows)) if rows.row_weights is None else np.asarray(rows.row_weights, np.float64)
    gain, before = 0.0, whole.log_density[: len(rows.rows)] - np.log(share)
    tol = max(options.em.tol, expected_optimism(sample, options, 1)) / share
    em = replace(options, em=replace(options.em, tol=tol, max_iter=min(_STEPS, options.em.max_iter)))
    try:
        mass = np.exp(log_density(rows, exchange.ours) - before)
        others = _others(rows, whole, exchange, mass)
        for _ in range(_STAGES):
            near = np.flatnonzero(mass > _MIN_RESP)
            part = replace(rows, rows=rows.rows[near], row_weights=mass[near] * row_weights[near])
            trial = short_runs(part, em, [exchange.theirs], [em.em.max_iter])[0]
            if trial.stop is StopReason.COLLAPSED or trial.mixture.empty:
                return None
            exchange = replace(exchange, theirs=hold_shared(exchange.ours, trial.mixture))
            own = log_density(rows, exchange.theirs) - before
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


def _others(rows: Expectation, whole: _FullModel, exchange: Exchange, mass: Array) -> Array:
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
        density = np.logaddexp(density, log_share + log_density(own, whole.mixture.take(rest.tolist())))
    others[most] = density - whole.log_density[: len(mass)][most]
    return others
