"""Clusters of components: what `GaussianMixture.merge_components` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..chunked.prediction import Result
from ..core.arrays.types import Array
from ..core.scoring.merging import MergeTree


class Scorer(Protocol):
    """A fitted estimator."""

    def _score(self, X: Any, result: Result, clusters: tuple[int, ...] | None = None) -> Any: ...


@dataclass(frozen=True, eq=False, repr=False)
class MergedComponents:
    """Clusters that are unions of components of a mixture, and the tree of merges that led to them.

    A row belongs to the cluster whose components have the largest probability together, which need not be that of its
    most probable component.
    """

    estimator: Scorer
    tree: MergeTree
    n_clusters: int

    @property
    def clusters(self) -> NDArray[np.int32]:
        """The number of the cluster that each component belongs to, (n_components,)."""
        return self.tree.clusters(self.n_clusters)

    @property
    def entropies(self) -> Array:
        """Entropy of 1, 2, ..., n_components clusters, in nats, summed over the rows."""
        return self.tree.entropies

    def predict(self, X: Any) -> Any:
        """Return the most probable cluster of each row, (n,) or (...,)."""
        return self.estimator._score(X, "clusters", self._numbers())

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each cluster for each row, (n, n_clusters) or (..., n_clusters)."""
        return self.estimator._score(X, "probabilities", self._numbers())

    def _numbers(self) -> tuple[int, ...]:
        return tuple(map(int, self.clusters))

    def __repr__(self) -> str:
        members = "; ".join(" ".join(map(str, own)) for own in self.tree.partition(self.n_clusters))
        return f"{self.n_clusters} clusters of {self.tree.n_components} components: {members}"
