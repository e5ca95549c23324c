"""Which exchanges may be worth it: a component whose split gains much, and two whose merger loses little."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import product
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..em.e_step import Expectation
from ..kernels.natural_parameters import Coefficients, prepare_prediction
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..scoring.prediction import PredictionOutputs, predict
from .responsibilities import rank_overlaps
from .splitting import Split, first_of, halve
from .starts import SeedOptions

Halve = Callable[[Mixture], list[Split]]  # the components of a mixture in two, the most promising first

TRIED_PER_SPLIT_AGAIN = 4  # of so many exchanges that are tried one splits a pair again
_OVERLAP_ROWS = 20_000  # of the sample, on which is seen what components share
_MERGERS_PER_EXCHANGE = 2  # pairs to merge, the cheapest, for each exchange that is proposed


class Change(Protocol):
    """Components, and others in their place."""

    @property
    def components(self) -> tuple[int, ...]: ...

    @property
    def replacement(self) -> Mixture: ...


OfComponents = TypeVar("OfComponents", bound=Change)


@dataclass(frozen=True, eq=False)
class Exchange:
    """Components in place of as many others, whose weight they share."""

    components: tuple[int, ...]  # the one that is split, and the one or two that are merged
    replacement: Mixture  # the halves and the merged one, in any order


def combine_exchanges(
    mixture: Mixture, splits: Sequence[Split], most: int, again: Sequence[tuple[float, Exchange]] = ()
) -> list[Exchange]:
    """Return exchanges by what is estimated without EM on them, the most promising first, those of `again` too."""
    mergers = nsmallest(_MERGERS_PER_EXCHANGE * most, bound_mergers(mixture), key=lambda one: one.loss)
    pairs = [pair for pair in product(splits, mergers) if pair[0].component not in (pair[1].first, pair[1].second)]
    found = [
        (split.gain - merger.loss, _exchange(mixture, split, merger)) for split, merger in _rank_pairs(pairs)[:most]
    ]
    if not found:  # two components have no third
        regroupings = _combine_regroupings(mixture, splits)[:most]
        found = [(split.gain - merger.loss, _regroup(mixture, split, merger)) for split, merger in regroupings]
    found = [*found, *again]
    return [one for _, one in sorted(found, key=lambda item: -item[0])]


def propose(
    sample: Expectation, options: SeedOptions, mixture: Mixture, most: int, halve: Halve, n_again: int
) -> list[Exchange]:
    """Return the exchanges that are tried, among them up to `n_again` of pairs that overlap and are split again."""
    again = split_again(sample, mixture, options.em.floor, n_again) if n_again else []
    return combine_exchanges(mixture, halve(mixture), most, again)


def _rank_pairs(pairs: list[tuple[Split, Merger]]) -> list[tuple[Split, Merger]]:
    """Return the pairs in the order of what they are estimated to gain, the most promising first."""
    return sorted(pairs, key=lambda one: one[1].loss - one[0].gain)


def split_again(sample: Expectation, mixture: Mixture, floor: Floor | None, most: int) -> list[tuple[float, Exchange]]:
    """Return the pairs of components that overlap most, each merged and split again, with what is gained by it.

    Two broad components on one cluster, which holds a tight one too, are a plateau that EM does not leave.
    """
    labels, pairs = _find_overlaps(sample, mixture)
    found = []
    for components in pairs[:most]:
        own = np.flatnonzero(np.isin(labels, components))
        if len(own) < 2 * (mixture.n_features + 1):
            continue
        part, originals = first_of(sample, own), mixture.take(components)
        halves = halve(part, originals, floor)
        if halves is not None:
            density = predict(
                part.rows, part.row_weights, _coefficients(part, originals), 2, PredictionOutputs(log_density=True)
            )
            gain = (halves.level - float(np.mean(density.log_density))) * len(own) / len(labels)  # type: ignore[arg-type]
            found.append((gain, Exchange(components, hold_shared(originals, halves.pair))))
    return found


def _coefficients(sample: Expectation, mixture: Mixture) -> Coefficients:
    return prepare_prediction(mixture, missing=sample.data_summary.has_gaps)


def hold_shared(originals: Mixture, replacement: Mixture) -> Mixture:
    """Return components with the covariance that all share, if they do; there are as many as there were."""
    return replace(replacement, covariances=originals.covariances) if replacement.structure.shared else replacement


def _find_overlaps(sample: Expectation, mixture: Mixture) -> tuple[NDArray[np.int32], list[tuple[int, int]]]:
    """Return the labels of the first rows of the sample, and the pairs of components that share most of these rows."""
    rows = sample.rows[:_OVERLAP_ROWS]
    weights = None if sample.row_weights is None else sample.row_weights[:_OVERLAP_ROWS]
    found = predict(
        rows, weights, _coefficients(sample, mixture), mixture.n_components, PredictionOutputs(probabilities=True)
    )
    resp = np.nan_to_num(np.asarray(found.probabilities)[:, : mixture.n_components])  # NaN: of rows that are left out
    shared = np.triu(resp.T @ resp, k=1) / len(rows)
    return found.labels, rank_overlaps(shared)


def _combine_regroupings(mixture: Mixture, splits: Sequence[Split]) -> list[tuple[Split, Merger]]:
    """Return splits with mergers of one of the halves with another component, the most promising first.

    The components are numbered as in the mixture after the split, whose last two are the halves.
    """
    found, k = [], mixture.n_components
    for split in splits:
        after_split = mixture.replace([((split.component,), split.pair)])
        mergers = bound_mergers(after_split)
        found += [(split, one) for one in mergers if one.first < k - 1 <= one.second]
    return _rank_pairs(found)


def _regroup(mixture: Mixture, split: Split, merger: Merger) -> Exchange:
    other = merger.first + (merger.first >= split.component)  # its number before the split
    components = (split.component, other)
    originals = mixture.take(components)
    halves = originals.replace([((0,), split.pair)])  # the other one, then the halves
    half = 1 + merger.second - (mixture.n_components - 1)
    return Exchange(components, halves.merge(0, half))


def disjoint(ranked: Iterable[OfComponents]) -> list[OfComponents]:
    """Return those that share no components with others before them."""
    chosen: list[OfComponents] = []
    taken: set[int] = set()
    for one in ranked:
        if taken.isdisjoint(one.components):
            chosen.append(one)
            taken.update(one.components)
    return chosen


def apply_exchanges(mixture: Mixture, made: Sequence[Change]) -> Mixture:
    """Return the mixture after exchanges of different components."""
    return mixture.replace((one.components, one.replacement) for one in made)


@dataclass(frozen=True)
class Merger:
    """Two components in one."""

    first: int
    second: int  # > first
    loss: float  # at most, nats per row


def bound_mergers(mixture: Mixture) -> Iterator[Merger]:
    """Yield all mergers: (w_i + w_j) log|S_ij| / 2 - w_i log|S_i| / 2 - w_j log|S_j| / 2 is lost (Runnalls 2007)."""
    matrices = mixture.matrices()
    own = mixture.weights * matrices.log_det()
    for first in range(mixture.n_components - 1):
        second = np.arange(first + 1, mixture.n_components)
        between = mixture.means[second] - mixture.means[first]
        together = matrices.merge(first, second, mixture.share(first, second), between)
        weight = mixture.weights[first] + mixture.weights[second]
        losses = (weight * together.log_det() - own[first] - own[second]) / 2
        yield from (Merger(first, int(one), float(loss)) for one, loss in zip(second, losses, strict=True))


def _exchange(mixture: Mixture, split: Split, merger: Merger) -> Exchange:
    components = (split.component, merger.first, merger.second)
    originals = mixture.take(components)
    return Exchange(components, originals.merge(1, 2).replace([((0,), split.pair)]))
