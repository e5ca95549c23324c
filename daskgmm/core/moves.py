"""Moves that EM cannot make: where a mixture spends two components on one cluster and one on two, it is put right.

The component whose split gains most is split and, after a few steps of EM, the two that are most alike are merged
(Ueda, Nakano, Ghahramani and Hinton 2000, SMEM algorithm). A move stands where it has raised the log-likelihood.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .expectation import Expectation
from .features import Array
from .frame import Frame
from .growth import short_runs, splits
from .loop import Trial
from .mixture import Mixture
from .seeding import Restart, SeedOptions, ranked, refine
from .structures import STRUCTURES

_MOST_ROUNDS = 8
_CLOSE = 0.05  # to the limit of EM, in units of what chance adds to the log-likelihood of the sample
_MERGES = 3  # that are tried of each split


def moved(sample: Expectation, options: SeedOptions, mixture: Mixture) -> Restart:
    """Return the trial after EM from the mixture and the moves that raise its log-likelihood on the sample."""
    options = _as_close_as_rows_tell(sample, options)
    trial = refine(sample, options, mixture)
    if not isinstance(trial, Trial) or mixture.n_components < 3:
        return trial
    for _ in range(_MOST_ROUNDS):
        better = _moved_once(sample, options, trial)
        if better is None:
            break
        trial = better
    return trial


def _as_close_as_rows_tell(sample: Expectation, options: SeedOptions) -> SeedOptions:
    tol = max(options.em.tol, _CLOSE * _chance(sample, options, options.n_components))
    return replace(options, em=replace(options.em, tol=tol))


def _chance(sample: Expectation, options: SeedOptions, n_components: int) -> float:
    """Return by how much components raise the mean log-likelihood of rows that they do not tell from noise."""
    d = sample.rows.shape[1]
    n_parameters = n_components * (1 + d) + STRUCTURES[options.covariance_type].n_parameters(n_components, d)
    return float(n_parameters / (2 * len(sample.rows)))


def _moved_once(sample: Expectation, options: SeedOptions, trial: Trial) -> Trial | None:
    larger = splits(sample, trial.mixture, options.em.reg_covar)
    if not larger:
        return None
    grown = short_runs(sample, options, larger)
    smaller = [one for split in grown for one in merges(split.mixture, _MERGES)]
    best = ranked(short_runs(sample, options, smaller))[0]
    found = refine(sample, options, best.mixture)
    least = trial.history[-1] + _chance(sample, options, 1)
    return found if isinstance(found, Trial) and found.history[-1] > least else None


def merges(mixture: Mixture, most: int) -> list[Mixture]:
    """Return mixtures of one component less, each with two merged to one of their moments, the least loss first.

    The loss per row is at most (w_i + w_j) log|S_ij| / 2 - w_i log|S_i| / 2 - w_j log|S_j| / 2 (Runnalls 2007).
    """
    unit = Frame(np.zeros(mixture.n_features), np.ones(mixture.n_features))
    spread = mixture.structure.in_frame(mixture.covariances, mixture.means.shape, unit)
    own = mixture.weights * _log_det(spread)
    pairs: list[tuple[int, int]] = []
    losses: list[Array] = []
    for first in range(mixture.n_components - 1):
        second = np.arange(first + 1, mixture.n_components)
        weight, _, together = _moments(mixture, spread, first, second)
        losses.append(weight * _log_det(together) - own[first] - own[second])
        pairs.extend((first, int(one)) for one in second)
    order = np.argsort(np.concatenate(losses), kind="stable")[:most]
    return [_merged(mixture, spread, *pairs[at]) for at in order]


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
