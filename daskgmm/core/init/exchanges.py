"""Which exchanges may be worth it: a component whose split gains much, and two whose merger loses little."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import product

import numpy as np

from ..mixture.mixture import Mixture
from .splitting import Halving

_MERGERS = 2  # pairs to merge, the cheapest, for each exchange that is proposed


@dataclass(frozen=True, eq=False)
class Exchange:
    """Components in place of as many others; the weights of both, as mixtures of their own, add up to 1."""

    components: tuple[int, ...]  # the one that is split, and the one or two that are merged
    ours: Mixture  # these
    theirs: Mixture  # the halves and the merged one, in any order


def exchanges(mixture: Mixture, splits: Sequence[Halving], most: int) -> list[Exchange]:
    """Return exchanges by what is estimated without EM on them, the most promising first."""
    mergers = nsmallest(_MERGERS * most, _mergers(mixture), key=lambda one: one.loss)
    pairs = [pair for pair in product(splits, mergers) if pair[0].component not in (pair[1].first, pair[1].second)]
    pairs.sort(key=lambda one: one[1].loss - one[0].gain)
    proposed = [_exchange(mixture, split, merger) for split, merger in pairs[:most]]
    if proposed:
        return proposed
    return [_regrouping(mixture, *one) for one in _regroupings(mixture, splits)[:most]]  # two components have no third


def _regroupings(mixture: Mixture, splits: Sequence[Halving]) -> list[tuple[Halving, _Merger]]:
    """Return splits with mergers of one of the halves with another component, the most promising first.

    The components are numbered as in the mixture after the split, whose last two are the halves.
    """
    found, k = [], mixture.n_components
    for split in splits:
        after_split = mixture.replace([((split.component,), split.pair)])
        mergers = _mergers(after_split)
        found += [(split, one) for one in mergers if one.first < k - 1 <= one.second]
    return sorted(found, key=lambda one: one[1].loss - one[0].gain)


def _regrouping(mixture: Mixture, split: Halving, merger: _Merger) -> Exchange:
    other = merger.first + (merger.first >= split.component)  # its number before the split
    components = (split.component, other)
    ours = mixture.take(components)
    halves = ours.replace([((0,), split.pair)])  # the other one, then the halves
    half = 1 + merger.second - (mixture.n_components - 1)
    return Exchange(components, ours, halves.merge(0, half))


def disjoint(ranked: Iterable[Exchange]) -> list[Exchange]:
    """Return those that share no components with others before them."""
    chosen: list[Exchange] = []
    taken: set[int] = set()
    for one in ranked:
        if taken.isdisjoint(one.components):
            chosen.append(one)
            taken.update(one.components)
    return chosen


def after(mixture: Mixture, made: Sequence[Exchange]) -> Mixture:
    """Return the mixture after exchanges of different components."""
    return mixture.replace((one.components, one.theirs) for one in made)


@dataclass(frozen=True)
class _Merger:
    """Two components in one."""

    first: int
    second: int  # > first
    loss: float  # at most, nats per row


def _mergers(mixture: Mixture) -> Iterator[_Merger]:
    """Yield all mergers: (w_i + w_j) log|S_ij| / 2 - w_i log|S_i| / 2 - w_j log|S_j| / 2 is lost (Runnalls 2007)."""
    matrices = mixture.matrices()
    own = mixture.weights * matrices.log_det()
    for first in range(mixture.n_components - 1):
        second = np.arange(first + 1, mixture.n_components)
        between = mixture.means[second] - mixture.means[first]
        together = matrices.merge(first, second, mixture.share(first, second), between)
        weight = mixture.weights[first] + mixture.weights[second]
        losses = (weight * together.log_det() - own[first] - own[second]) / 2
        yield from (_Merger(first, int(one), float(loss)) for one, loss in zip(second, losses, strict=True))


def _exchange(mixture: Mixture, split: Halving, merger: _Merger) -> Exchange:
    components = (split.component, merger.first, merger.second)
    ours = mixture.take(components)
    return Exchange(components, ours, ours.merge(1, 2).replace([((0,), split.pair)]))
