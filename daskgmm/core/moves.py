"""Moves that EM cannot make: where a mixture spends two components on one cluster and one on two, it is put right.

A component whose split gains much is split and two others, whose merger loses little, are merged (Ueda, Nakano,
Ghahramani and Hinton 2000, SMEM algorithm). The most promising of these exchanges race over a few steps of EM; the
winner stands where it has raised the log-likelihood by more than chance does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import SingularCovarianceError
from .expectation import Expectation
from .features import Array
from .frame import Frame
from .growth import MOST_SPLITS, Halving, halvings, replaced, short_runs
from .loop import Trial
from .mixture import Mixture
from .seeding import Restart, SeedOptions, chance, ranked, settle

_MOST_ROUNDS = 8
_MERGERS = 3  # pairs that are merged, for each component that is split
_TRIES = 4  # exchanges that race
_STEPS = 3  # of EM, after which half of them are dropped
_WORTH = 10  # times the tolerance of EM on the sample: a move that gains less is not worth its time


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
    """Return the trial after the exchange that is found to gain most, None where that is not enough."""
    least = trial.history[-1] + max(chance(sample, options, 1), _WORTH * options.em.tol)
    best = _best(sample, options, exchanges(sample, trial.mixture, options.em.reg_covar))
    found = None if best is None else settle(sample, options, best)
    return found if isinstance(found, Trial) and found.history[-1] > least else None


def _best(sample: Expectation, options: SeedOptions, mixtures: list[Mixture]) -> Mixture | None:
    """Return what wins a race in which half is dropped after a few steps of EM each; None where none is regular."""
    try:
        while len(mixtures) > 1:
            best = ranked(short_runs(sample, options, mixtures, _STEPS))
            mixtures = [trial.mixture for trial in best[: len(mixtures) // 2]]
    except SingularCovarianceError:
        return None
    return mixtures[0] if mixtures else None


def exchanges(sample: Expectation, mixture: Mixture, reg_covar: float) -> list[Mixture]:
    """Return mixtures with one component split and two others merged, the most promising first."""
    spread, found = _spread(mixture), []
    mergers = sorted(_mergers(mixture, spread), key=lambda one: one.loss)
    for split in halvings(sample, mixture, reg_covar)[:MOST_SPLITS]:
        apart = [one for one in mergers if split.component not in (one.first, one.second)]
        found += [(split, one) for one in apart[:_MERGERS]]
    found.sort(key=lambda one: one[1].loss - one[0].gain)
    return [_exchanged(mixture, spread, split, merger) for split, merger in found[:_TRIES]]


@dataclass(frozen=True)
class _Merger:
    """Two components in one."""

    first: int
    second: int  # > first
    loss: float  # at most, nats per row


def _mergers(mixture: Mixture, spread: Array) -> Iterator[_Merger]:
    """Yield all mergers: (w_i + w_j) log|S_ij| / 2 - w_i log|S_i| / 2 - w_j log|S_j| / 2 is lost (Runnalls 2007)."""
    own = mixture.weights * _log_det(spread)
    for first in range(mixture.n_components - 1):
        second = np.arange(first + 1, mixture.n_components)
        weight, _, together = _moments(mixture, spread, first, second)
        losses = (weight * _log_det(together) - own[first] - own[second]) / 2
        yield from (_Merger(first, int(one), float(loss)) for one, loss in zip(second, losses, strict=True))


def _exchanged(mixture: Mixture, spread: Array, split: Halving, merger: _Merger) -> Mixture:
    merged = _merged(mixture, spread, merger.first, merger.second)
    return replaced(merged, split.component - (split.component > merger.second), split.pair)


def _spread(mixture: Mixture) -> Array:
    """Return the covariances as matrices (k, d, d), or diagonals (k, d)."""
    unit = Frame(np.zeros(mixture.n_features), np.ones(mixture.n_features))
    spread: Array = mixture.structure.in_frame(mixture.covariances, mixture.means.shape, unit)
    return spread


def _log_det(spread: Array) -> Array:
    """Return the logarithms of the determinants of matrices (k, d, d) or diagonals (k, d)."""
    log_det: Array = np.linalg.slogdet(spread)[1] if spread.ndim == 3 else np.log(spread).sum(axis=1)
    return log_det


def _moments(mixture: Mixture, spread: Array, first: int, second: NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """Return weight, mean and covariance of a component together with each of others."""
    weight = mixture.weights[first] + mixture.weights[second]
    share = (mixture.weights[second] / np.maximum(weight, np.finfo(float).tiny))[:, None]
    way = mixture.means[second] - mixture.means[first]
    mean = mixture.means[first] + share * way
    if spread.ndim == 2:
        return weight, mean, (1 - share) * spread[first] + share * spread[second] + share * (1 - share) * way**2
    outer = way[:, :, None] * way[:, None, :]
    share = share[:, :, None]
    return weight, mean, (1 - share) * spread[first] + share * spread[second] + share * (1 - share) * outer


def _merged(mixture: Mixture, spread: Array, first: int, second: int) -> Mixture:
    """Return the mixture with two components merged to one; a covariance that all share stays."""
    weight, mean, together = (one[0] for one in _moments(mixture, spread, first, np.array([second])))
    weights, means, covariances = mixture.weights.copy(), mixture.means.copy(), mixture.covariances.copy()
    weights[first], means[first] = weight, mean
    kept = np.delete(np.arange(mixture.n_components), second)
    if mixture.covariance_type == "tied":
        return Mixture("tied", weights[kept], means[kept], covariances)
    covariances[first] = together.mean() if mixture.covariance_type == "spherical" else together
    return Mixture(mixture.covariance_type, weights[kept], means[kept], covariances[kept])
