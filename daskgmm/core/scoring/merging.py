"""Clusters of components: components of a mixture merged one pair at a time by the entropy of the clustering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError
from ..arrays.types import Array

Cluster = tuple[int, ...]  # numbers of its components, rising
Pair = tuple[Cluster, Cluster]
SumGains = Callable[[Sequence[Pair]], Array]  # of the pairs, over all rows

_NEGLIGIBLE = 1e-40  # a smaller responsibility adds less than 1e-38 nats to a gain
_MIN_OVERLAP_NATS = 1e-2  # nats in all: components that overlap less are clusters already


@dataclass(frozen=True)
class Merge:
    """Two clusters that become one."""

    first: Cluster
    second: Cluster
    gain: float  # by how much the entropy falls, nats, summed over the rows

    @property
    def cluster(self) -> Cluster:
        """The components of both."""
        return _union(self.first, self.second)


@dataclass(frozen=True)
class MergeTree:
    """The merges that lead from each component on its own to one cluster, each the one that lowers the entropy most.

    Baudry, Raftery, Celeux, Lo and Gottardo, Combining mixture components for clustering, Journal of Computational and
    Graphical Statistics 19 (2010).
    """

    n_components: int
    merges: tuple[Merge, ...]  # n_components - 1, in their order

    @cached_property
    def entropies(self) -> Array:
        """Entropy -sum_n weight_n sum_c r_nc log r_nc of 1, 2, ..., n_components clusters, nats, (n_components,)."""
        return np.concatenate([[0.0], np.cumsum([merge.gain for merge in reversed(self.merges)])])

    @cached_property
    def elbow(self) -> int:
        """The number of clusters at which the entropy bends: two straight lines that meet there fit it best.

        At least 2, as lines need two points; all components if there are no more than 2, or if none overlap.
        """
        k = self.n_components
        if k <= 2 or self.entropies[-1] < _MIN_OVERLAP_NATS:
            return k
        n_clusters = np.arange(1, k + 1)
        errors = [
            _line_error(n_clusters[:bend], self.entropies[:bend])
            + _line_error(n_clusters[bend - 1 :], self.entropies[bend - 1 :])
            for bend in range(2, k)
        ]
        return 2 + int(np.argmin(errors))

    def check(self) -> None:
        """Raise ValueError unless each merge is of two clusters that the merges before it left, down to one."""
        clusters = _singletons(self.n_components)
        for merge in self.merges:
            if merge.first == merge.second or not {merge.first, merge.second} <= set(clusters):
                raise ValueError(f"{merge.first} and {merge.second} are no two clusters that can be merged")
            clusters = _merge_pair(clusters, (merge.first, merge.second))
        if len(clusters) != 1:
            raise ValueError(f"the merges lead to {len(clusters)} clusters, not to one")

    def partition(self, n_clusters: int) -> tuple[Cluster, ...]:
        """Return the clusters of that number, in the order of their first components."""
        check_n_clusters(n_clusters, self.n_components)
        clusters = _singletons(self.n_components)
        for merge in self.merges[: self.n_components - n_clusters]:
            clusters = _merge_pair(clusters, (merge.first, merge.second))
        return clusters

    def clusters(self, n_clusters: int) -> NDArray[np.int32]:
        """Return the number of the cluster that each component belongs to, (n_components,)."""
        numbers = np.empty(self.n_components, np.int32)
        for number, members in enumerate(self.partition(n_clusters)):
            numbers[list(members)] = number
        return numbers


@dataclass(frozen=True)
class Clusters:
    """A merge tree, and the number of clusters that was chosen."""

    tree: MergeTree
    n_clusters: int

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number of the cluster of each component."""
        return tuple(map(int, self.tree.clusters(self.n_clusters)))


def check_n_clusters(n_clusters: int, n_components: int) -> None:
    """Raise ConfigurationError unless components can be merged to that many clusters."""
    if not isinstance(n_clusters, Integral) or isinstance(n_clusters, bool) or not 1 <= n_clusters <= n_components:
        raise ConfigurationError(
            f"{n_clusters} clusters of {n_components} components: give 1 to {n_components}, or auto for the elbow"
        )


def merge_by_entropy(n_components: int, sum_gains: SumGains, sum_guide: SumGains) -> MergeTree:
    """Return the merge tree of the rows whose gains `sum_gains` returns, with as few calls of it as possible.

    The gain of a merged cluster with a third one is no function of gains of pairs, so it takes a sum over the rows of
    its own. `sum_guide` returns gains of other rows that are cheap to sum over, such as rows drawn from the mixture:
    the merges that they lead to are expected, and the gains that are then needed are summed in the same call. Where
    the rows decide otherwise, the tree continues from there with another call: only the number of calls depends on the
    guide.
    """
    gains: dict[Pair, float] = {}
    guide: dict[Pair, float] = {}
    clusters, merges = _singletons(n_components), []
    while len(clusters) > 1:
        if any(pair not in gains for pair in combinations(clusters, 2)):
            expected = _expected_pairs(clusters, guide, sum_guide)
            _complete(gains, expected, sum_gains)
        best = _best(clusters, gains)
        merges.append(Merge(*best, gains[best]))
        clusters = _merge_pair(clusters, best)
    return MergeTree(n_components, tuple(merges))


def entropy_gains(resp: Array, row_weights: Array | None, pairs: Sequence[Pair]) -> Array:
    """Return by how much the entropy of responsibilities (n, k) falls if the clusters of each pair are merged.

        sum_n weight_n (h(a_n + b_n) - h(a_n) - h(b_n)),      h(t) = t log t

    for the responsibilities a_n and b_n of the two clusters. It is summed as (a + b) log(1 + b / a) - b log(b / a) for
    b <= a, of which both parts are positive: no digits cancel if b is tiny.
    """
    columns = {cluster: resp[:, list(cluster)].sum(axis=1) for pair in pairs for cluster in pair}
    return np.array([_entropy_gain(columns[one], columns[other], row_weights) for one, other in pairs])


def _entropy_gain(one: Array, other: Array, row_weights: Array | None) -> float:
    smaller = np.minimum(one, other)
    shared = np.flatnonzero(smaller > _NEGLIGIBLE)
    smaller, larger = smaller[shared], np.maximum(one[shared], other[shared])
    ratio = smaller / larger
    gain = (smaller + larger) * np.log1p(ratio) - smaller * np.log(ratio)
    return float(gain.sum() if row_weights is None else (gain * row_weights[shared]).sum())


def cluster_probabilities(resp: NDArray[np.floating], clusters: NDArray[np.integer]) -> NDArray[np.floating]:
    """Return the sums of probabilities (n, k) over the components of each cluster, (n, n_clusters).

    `clusters` (k,) has the number of each component's cluster. A last column of the noise stays one of its own.
    """
    members = [np.flatnonzero(clusters == number) for number in range(int(clusters.max()) + 1)]
    members += [np.array([column]) for column in range(len(clusters), resp.shape[1])]
    return np.stack([resp[:, own].sum(axis=1) for own in members], axis=1)


def _expected_pairs(clusters: Sequence[Cluster], guide: dict[Pair, float], sum_guide: SumGains) -> list[Pair]:
    """Return the pairs whose gains it takes to merge all clusters, if the rows decide as the guide does."""
    pairs = list(combinations(clusters, 2))
    while len(clusters) > 2:
        _complete(guide, list(combinations(clusters, 2)), sum_guide)
        best = _best(clusters, guide)
        clusters, merged = _merge_pair(clusters, best), _union(*best)
        pairs.extend((min(merged, other), max(merged, other)) for other in clusters if other != merged)
    return pairs


def _complete(gains: dict[Pair, float], pairs: Sequence[Pair], sum_gains: SumGains) -> None:
    missing = [pair for pair in pairs if pair not in gains]
    if missing:
        gains.update(zip(missing, map(float, sum_gains(missing)), strict=True))


def _best(clusters: Sequence[Cluster], gains: Mapping[Pair, float]) -> Pair:
    """Return the pair of the largest gain; of equal ones the first."""
    return max(combinations(clusters, 2), key=lambda pair: gains[pair])


def _singletons(n_components: int) -> tuple[Cluster, ...]:
    return tuple((component,) for component in range(n_components))


def _merge_pair(clusters: Iterable[Cluster], pair: Pair) -> tuple[Cluster, ...]:
    """Return the clusters with two of them merged, in the order of their first components."""
    return tuple(sorted([*(one for one in clusters if one not in pair), _union(*pair)]))


def _union(one: Cluster, other: Cluster) -> Cluster:
    return tuple(sorted((*one, *other)))


def _line_error(x: NDArray[np.integer], y: Array) -> float:
    """Return the sum of squared distances to the line that fits the points best."""
    from_centre = x - x.mean()
    slope = from_centre @ (y - y.mean()) / (from_centre @ from_centre)
    return float(((y - y.mean() - slope * from_centre) ** 2).sum())
