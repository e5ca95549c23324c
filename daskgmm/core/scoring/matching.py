"""Two mixtures over the same features side by side: which component became which, and what moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..arrays.types import Array
from ..mixture.mixture import Mixture
from .bhattacharyya import bhattacharyya_distances


@dataclass(frozen=True, eq=False)
class Match:
    """A component of one mixture and the one of the other that it became."""

    first: int
    second: int
    distance: float  # Bhattacharyya
    weights: tuple[float, float]
    shift: Array  # (d,), of the mean, in standard deviations pooled over both
    spread_ratio: float  # geometric mean over the features of the second's standard deviations to the first's

    @property
    def moved_most(self) -> int:
        """The feature whose mean moved most."""
        return int(np.argmax(np.abs(self.shift)))

    @property
    def moved(self) -> float:
        """Length of the shift, pooled standard deviations."""
        return float(np.linalg.norm(self.shift))


@dataclass(frozen=True, eq=False)
class Comparison:
    """The matches of two mixtures, the heaviest of the first mixture first, and what is in one of them only."""

    matches: tuple[Match, ...]
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]
    weight_variation: float  # total variation between the weights, from 0 to 1; unmatched components count wholly


def compare(first: Mixture, second: Mixture) -> Comparison:
    """Match the components of a mixture with those of another one over the same features.

    Components are matched one to one by assignment (Kuhn 1955) on D / (1 + D), D the Bhattacharyya distance: it rises
    with D, and is bounded, so that a component without a counterpart draws no other one away from its own. Empty
    components stay unmatched.
    """
    live = np.flatnonzero(first.weights > 0), np.flatnonzero(second.weights > 0)
    distances = bhattacharyya_distances(first, second)
    among_live = distances[np.ix_(*live)]
    rows, columns = linear_sum_assignment(among_live / (1 + among_live))
    pairs = list(zip(live[0][rows], live[1][columns], strict=True))
    pairs.sort(key=lambda pair: -first.weights[pair[0]])
    matches = tuple(_match(first, second, distances, int(one), int(other)) for one, other in pairs)
    alone_first, alone_second = _others(live[0][rows], first), _others(live[1][columns], second)
    changes = sum(abs(match.weights[1] - match.weights[0]) for match in matches)
    alone = first.weights[list(alone_first)].sum() + second.weights[list(alone_second)].sum()
    before, after = noise_weights(first, second)
    return Comparison(matches, alone_first, alone_second, float(changes + alone + abs(after - before)) / 2)


def noise_weights(first: Mixture, second: Mixture) -> tuple[float, float]:
    """Return the weights of the noise of two mixtures, 0 where there is none."""
    before, after = (0.0 if one.noise is None else one.noise.weight for one in (first, second))
    return before, after


def _match(first: Mixture, second: Mixture, distances: Array, one: int, other: int) -> Match:
    variances = [mixture.variances[component] for mixture, component in ((first, one), (second, other))]
    return Match(
        first=one,
        second=other,
        distance=float(distances[one, other]),
        weights=(float(first.weights[one]), float(second.weights[other])),
        shift=(second.means[other] - first.means[one]) / np.sqrt((variances[0] + variances[1]) / 2),
        spread_ratio=float(np.exp(np.log(variances[1] / variances[0]).mean() / 2)),
    )


def _others(matched: NDArray[np.intp], mixture: Mixture) -> tuple[int, ...]:
    return tuple(int(one) for one in np.setdiff1d(np.arange(mixture.n_components), matched))
