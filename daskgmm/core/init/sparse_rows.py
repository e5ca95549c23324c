"""The rows of lowest density, where the noise starts: those that are farthest from their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array

_N_REFERENCE_ROWS = 1_000  # rows among which neighbours are looked for
_NEIGHBOUR_RANK = 10  # the distance to which of them counts (Byers and Raftery 1998)
_BLOCK_ROWS = 4_096  # rows at a time


def sparse_rows(points: Array, weights: Array, share: float) -> NDArray[np.bool_]:
    """Return which of the points (n, d), in random order, have the lowest density: this share of the weights (n,)."""
    distances = _neighbour_distances(points)
    order = np.argsort(-distances, kind="stable")
    taken = np.cumsum(weights[order]) <= share * weights.sum()
    sparse = np.zeros(len(points), dtype=bool)
    sparse[order[taken]] = True
    return sparse


def _neighbour_distances(points: Array) -> Array:
    """Return the squared distance of each point to one of its nearest among the first points, (n,)."""
    references = points[:_N_REFERENCE_ROWS]
    rank = min(_NEIGHBOUR_RANK, len(references) - 1)
    half_norms = (references**2).sum(axis=1) / 2
    distances = np.empty(len(points))
    for at in range(0, len(points), _BLOCK_ROWS):
        block = points[at : at + _BLOCK_ROWS]
        halves = half_norms - block @ references.T + (block**2).sum(axis=1)[:, None] / 2
        distances[at : at + len(block)] = np.partition(halves, rank, axis=1)[:, rank]
    return distances
