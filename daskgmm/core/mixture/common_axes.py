"""Axes that all components share: the rotation D of EVE and VVE.

With t_ki = (D^T S_k D)_ii the variances along the axes, the estimates of the other parameters are closed and leave

    VVE:  sum_k N_k sum_i log t_ki                      EVE:  d log sum_k N_k (prod_i t_ki)^(1/d)

to be minimised over rotations. First the axes turn in pairs. The majoriser sum_i q_i^T (sum_k v_k S_k / t_ki) q_i, with
v_k = N_k, or N_k (prod_i t_ki)^(1/d) for EVE, has in the plane of two axes its minimum at an eigenvector of a 2 x 2
matrix (Flury and Gautschi 1986, SIAM J. Sci. Stat. Comput. 7; Browne and McNicholas 2014, Stat. Comput. 24), and pairs
of different axes do not meet in it: d / 2 of them turn at once. Where axes of the components differ much that takes
hundreds of sweeps, so after one of them all angles go together, by a quasi-Newton method (Nocedal and Wright 2006,
algorithm 7.4) that has the majoriser's curvature to begin with. No step raises the objective.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]  # numbers of axes (p,), and of those that they are paired with

_MAX_STEPS = 300
_N_CURVATURE_STEPS = 10  # steps that the curvature is learnt from
_MAX_TURN = 0.5  # radians, of a step
_SUFFICIENT_DECREASE = 1e-4  # part of what the slope promises, that a step must gain
_MAX_HALVINGS = 20
_TURNS_PER_PAIR = 3  # of each pair before the next: each lowers the objective
_RELATIVE_GAIN = 1e-12  # of a step, nats per row and feature: rounding
_MAX_STARTS = 6  # components whose own axes are tried
_N_FOLLOWED = 2  # starts, that are followed to the end
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is minimised over the axes."""

    shares: Array  # (k,), N_k / N
    covariances: Array  # (k, d, d)
    equal_volumes: bool  # EVE, or VVE

    def rotate(self, axes: Array) -> Array:
        """Return D^T S_k D, (k, d, d)."""
        return along(axes, self.covariances)

    def weights(self, log_volumes: Array) -> Array:
        """Return v_k, which add up to 1, (k,), by the sums of log t_ki."""
        if not self.equal_volumes:
            return self.shares
        n_features = self.covariances.shape[1]
        volumes = self.shares * np.exp((log_volumes - log_volumes.max()) / n_features)
        weights: Array = volumes / volumes.sum()
        return weights

    def level(self, seen: Array) -> float:
        """Return the objective, nats per row."""
        log_volumes, d = np.log(_variances(seen)).sum(axis=1), seen.shape[1]
        if not self.equal_volumes:
            return float(self.shares @ log_volumes)
        most = log_volumes.max()
        return float(most + d * np.log(self.shares @ np.exp((log_volumes - most) / d)))


def common_axes(counts: Array, covariances: Array, previous: Array | None, equal_volumes: bool) -> Array:
    """Return the axes D (d, d), in its columns, for covariances S (k, d, d) of components of these counts (k,).

    They are reached from the axes of the previous estimates, (k, d, d), or, where there are none, from those of the
    pooled covariance and of each of the largest components: local optima exist.
    """
    problem = _Problem(counts / counts.sum(), covariances, equal_volumes)
    if previous is not None:
        return _descend(problem, _swept(problem, axes_of(previous)))
    largest = np.argsort(-counts, kind="stable")[:_MAX_STARTS]
    pooled = np.einsum("k,kij->ij", counts, covariances)
    starts = [_swept(problem, np.linalg.eigh(one)[1]) for one in (pooled, *covariances[largest])]
    starts.sort(key=lambda axes: problem.level(problem.rotate(axes)))
    found = [_descend(problem, axes) for axes in starts[:_N_FOLLOWED]]
    return min(found, key=lambda axes: problem.level(problem.rotate(axes)))


def axes_of(covariances: Array) -> Array:
    """Return the axes (d, d) that covariances (k, d, d) share, or nearly.

    Those of a sum with weights of no simple ratio: where two axes of one component are equally long, another decides.
    """
    shares = 1 + (np.arange(1, len(covariances) + 1) * _GOLDEN) % 1
    total = np.einsum("k,kij->ij", shares / np.trace(covariances, axis1=1, axis2=2), covariances)
    axes: Array = np.linalg.eigh(total)[1]
    return axes


def along(axes: Array, covariances: Array) -> Array:
    """Return D^T S_k D for each of the covariances (k, d, d)."""
    return axes.T @ covariances @ axes


def _swept(problem: _Problem, axes: Array) -> Array:
    """Return the axes after each pair of them has turned towards the objective."""
    seen = problem.rotate(axes)
    for pairs in _rounds(len(axes)):
        turn = _plane_rotations(problem, seen, pairs)
        axes, seen = axes @ turn, turn.T @ seen @ turn
    return axes


def _plane_rotations(problem: _Problem, seen: Array, pairs: Pairs) -> Array:
    """Return the rotation (d, d) that turns each of the pairs of axes towards the objective."""
    first, second = pairs
    variances, cross = _variances(seen), seen[:, first, second]
    mean, half = (variances[:, first] + variances[:, second]) / 2, (variances[:, first] - variances[:, second]) / 2
    rest = np.log(np.delete(variances, [*first, *second], axis=1)).sum(axis=1)
    angle = np.zeros(len(first))
    for _ in range(_TURNS_PER_PAIR):
        apart = half * np.cos(angle) + cross * np.sin(angle)
        one, other = mean + apart, mean - apart
        weights = problem.weights(rest + (np.log(one) + np.log(other)).sum(axis=1))
        pull = weights[:, None] * (1 / one - 1 / other)
        up, right = -(pull * cross).sum(axis=0), -(pull * half).sum(axis=0)
        angle = np.where((up == 0) & (right == 0), angle, np.arctan2(up, right))
    turn = np.eye(seen.shape[1])
    turn[first, first] = turn[second, second] = np.cos(angle / 2)
    turn[second, first] = np.sin(angle / 2)
    turn[first, second] = -turn[second, first]
    return turn


@cache
def _rounds(d: int) -> Sequence[Pairs]:
    """Return all pairs of d axes in rounds in which each axis is in one pair at most (a round-robin tournament)."""
    n = d + d % 2
    rounds, circle = [], list(range(n))
    for _ in range(n - 1):
        pairs = [pair for pair in zip(circle[: n // 2], circle[: n // 2 - 1 : -1], strict=True) if max(pair) < d]
        if pairs:
            rounds.append((np.array([one for one, _ in pairs]), np.array([other for _, other in pairs])))
        circle = [circle[0], circle[-1], *circle[1:-1]]
    return tuple(rounds)


@dataclass(frozen=True, eq=False)
class _Place:
    """Axes, and the objective there with its derivatives by the angles of all pairs (m,)."""

    axes: Array
    level: float
    gradient: Array
    curvature: Array  # of the majoriser

    @classmethod
    def at(cls, problem: _Problem, axes: Array) -> _Place:
        """Return the place of these axes."""
        seen, (i, j) = problem.rotate(axes), np.triu_indices(len(axes), 1)
        variances = _variances(seen)
        weights = problem.weights(np.log(variances).sum(axis=1))
        first, second = variances[:, i], variances[:, j]
        gradient = weights @ (2 * (seen[:, i, j] / first - seen[:, i, j] / second))
        curvature = weights @ (2 * ((second - first) / first) * ((second - first) / second))
        return cls(axes, problem.level(seen), gradient, curvature + np.finfo(float).eps)


def _descend(problem: _Problem, axes: Array) -> Array:
    """Return the axes at the minimum to which quasi-Newton steps lead from these."""
    if len(axes) < 2:
        return axes
    place, steps = _Place.at(problem, axes), deque[tuple[Array, Array]](maxlen=_N_CURVATURE_STEPS)
    for _ in range(_MAX_STEPS):
        direction = _direction(place, steps)
        found = _search_line(problem, place, direction)
        if found is None and steps:  # what was learnt of the curvature is of no use here
            steps.clear()
            continue
        if found is None:
            break
        step, (before, place) = found[0], (place, found[1])
        if step @ (place.gradient - before.gradient) > 0:
            steps.append((step, place.gradient - before.gradient))
        if before.level - place.level <= _RELATIVE_GAIN * len(axes):
            break
    return place.axes


def _direction(place: _Place, steps: Sequence[tuple[Array, Array]]) -> Array:
    """Return the quasi-Newton step of the angles (m,), none above the most that axes may turn."""
    left: Array = place.gradient
    factors: list[float] = []
    for step, change in reversed(steps):
        factors.append(float((step @ left) / (step @ change)))
        left = left - factors[-1] * change
    left = left / place.curvature
    for (step, change), factor in zip(steps, reversed(factors), strict=True):
        left = left + step * (factor - (change @ left) / (step @ change))
    direction: Array = -left * min(1.0, _MAX_TURN / max(float(np.abs(left).max()), np.finfo(float).tiny))
    return direction


def _search_line(problem: _Problem, place: _Place, direction: Array) -> tuple[Array, _Place] | None:
    """Return the first of the halved steps that gains enough, and where it leads to; None if there is none."""
    slope = float(direction @ place.gradient)
    if not slope < 0:
        return None
    for halving in range(_MAX_HALVINGS):
        step = direction / 2**halving
        found = _Place.at(problem, place.axes @ _rotation(step, len(place.axes)))
        if found.level <= place.level + _SUFFICIENT_DECREASE * slope / 2**halving:
            return step, found
    return None


def _rotation(angles: Array, d: int) -> Array:
    """Return a rotation (d, d) by these angles of all pairs of axes, to first order (Cayley)."""
    half: Array = np.zeros((d, d))
    half[np.triu_indices(d, 1)] = -angles / 2
    skew, eye = half - half.T, np.eye(d)
    return np.linalg.solve(eye - skew, eye + skew).astype(np.float64, copy=False)


def _variances(seen: Array) -> Array:
    return np.diagonal(seen, axis1=1, axis2=2)
