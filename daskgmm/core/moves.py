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

from dataclasses import dataclass, replace

import numpy as np

from ..errors import SingularCovarianceError
from .coefficients import prepare_prediction
from .exchanges import Exchange, after, disjoint, exchanges, group
from .expectation import Expectation
from .features import Array
from .loop import StopReason, Trial
from .mixture import Mixture
from .prediction import Wanted, predict
from .seeding import Restart, SeedOptions, chance, refine, settle
from .structures import regularisation

_MOST_ROUNDS = 8
_WORTH = 10  # times the tolerance of EM on the sample: moves that gain less are not worth their time

_MOST, _FEWEST = 16, 4  # exchanges that are tried: one for each two components
_HEATS, _STEPS = 2, 10  # after the first heat of so many steps those that lose are given up
_ROWS = 20_000  # of their components, about, on which they are tried
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
    regular, level = trial.merit
    for better in exchanged(sample, options, trial.mixture, least):
        found = settle(sample, options, better)
        if isinstance(found, Trial) and found.merit > (regular, level + least):
            return found
    return None


def exchanged(sample: Expectation, options: SeedOptions, mixture: Mixture, least: float) -> list[Mixture]:
    """Return the mixture after the exchanges that gain, each of other components, and after the best of them alone.

    `least` is the gain, nats per row, that is worth to be looked for.
    """
    if mixture.n_components < 3 or mixture.empty:
        return []
    sample = _positive(sample)
    most = min(_MOST, max(_FEWEST, mixture.n_components // 2))
    try:
        whole = _Whole.of(sample, mixture, options.em.reg_covar)
        proposed = exchanges(sample, mixture, options.em.reg_covar, most)
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
    narrowest: Array  # (d,), variances to which its components are regularised

    @classmethod
    def of(cls, sample: Expectation, mixture: Mixture, reg_covar: float) -> _Whole:
        narrowest = regularisation(mixture.structure, mixture.covariances, mixture.weights, sample.survey, reg_covar)
        return cls(mixture, _log_density(sample, mixture), narrowest)

    def held(self, theirs: Mixture) -> Mixture:
        """Return components with the covariance that all share, or none narrower than an M-step makes them here."""
        if theirs.covariance_type == "tied":
            return replace(theirs, covariances=self.mixture.covariances)
        if not self.narrowest.all():
            return theirs
        return replace(theirs, covariances=theirs.structure.raised(theirs.covariances, self.narrowest))


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
            trial = refine(part, em, exchange.theirs)
            if not isinstance(trial, Trial) or trial.stop is StopReason.COLLAPSED or trial.mixture.empty:
                return None
            exchange = replace(exchange, theirs=whole.held(trial.mixture))
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


def _others(rows: Expectation, whole: _Whole, exchange: Exchange, mass: Array) -> Array:
    """Return log(1 - r_n), (n,), r_n = `mass`; where that is near 1, from the densities of all other components."""
    rest = np.setdiff1d(np.arange(whole.mixture.n_components), exchange.components)
    if not len(rest):
        return np.full(len(mass), -np.inf)
    most = mass > 0.5
    others = np.log1p(-np.where(most, 0.0, mass))
    own = replace(rows, rows=rows.rows[most], row_weights=None if rows.row_weights is None else rows.row_weights[most])
    log_share = np.log(whole.mixture.weights[rest].sum())
    density = _log_density(own, group(whole.mixture, rest.tolist()))
    others[most] = log_share + density - whole.log_density[: len(mass)][most]
    return others


def _log_density(rows: Expectation, mixture: Mixture) -> Array:
    """Return log p of each of the rows, (n,)."""
    wanted, coefficients = Wanted(log_density=True), prepare_prediction(mixture)
    density = predict(rows.rows, rows.row_weights, coefficients, mixture.n_components, wanted).log_density
    assert density is not None, "it was asked for"
    return density
