"""k-means of the points of a sample, written out.

scikit-learn's takes half a second to import, and its sums depend on how many threads it has.

The centres that k-means++ draws and the parts that Lloyd's steps end in are those of scikit-learn (`kmeans_plusplus`
and `KMeans` from given centres) but for ties and rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array

Labels = NDArray[np.intp]

_MAX_STEPS = 30  # EM continues from there
_MIN_SHIFT = 1e-4  # squared shift of all centres that ends the steps, in mean variances of the columns
_BLOCK_ROWS = 4096  # rows


def nearest(points: Array, centres: Array) -> Labels:
    """Return the number of the nearest of centres (k, d) for each of points (n, d), in blocks of rows."""
    labels = np.empty(len(points), np.intp)
    half_norms = (centres**2).sum(axis=1) / 2
    for at in range(0, len(points), _BLOCK_ROWS):
        block = slice(at, at + _BLOCK_ROWS)
        labels[block] = np.argmin(half_norms - points[block] @ centres.T, axis=1)
    return labels


def draw_centres(points: Array, weights: Array, k: int, seed: int) -> Array:
    """Return k of the points (n, d) by k-means++ (Arthur and Vassilvitskii 2007).

    Each is the best of 2 + log k candidates, drawn in proportion to weight times squared distance from the centres
    before; the best leaves the smallest sum of these.
    """
    random = np.random.RandomState(seed)
    norms = np.einsum("ij,ij->i", points, points)
    chosen = [int(random.choice(len(points), p=weights / weights.sum()))]
    closest = _squared_distances(points[chosen], points, norms)[0]
    left = closest @ weights
    for _ in range(1, k):
        drawn = random.uniform(size=2 + int(np.log(k))) * left
        candidates = np.minimum(np.searchsorted(np.cumsum(weights * closest), drawn), len(points) - 1)
        distances = np.minimum(closest, _squared_distances(points[candidates], points, norms))
        sums = distances @ weights
        best = int(np.argmin(sums))
        left, closest = sums[best], distances[best]
        chosen.append(int(candidates[best]))
    return points[chosen]


def _squared_distances(centres: Array, points: Array, norms: Array) -> Array:
    """Return the squared distances (k, n) of points, whose squared norms are `norms` (n,), from centres (k, d)."""
    of_centres = np.einsum("ij,ij->i", centres, centres)[:, None]
    distances: Array = np.maximum(of_centres - 2 * (centres @ points.T) + norms, 0.0)
    return distances


def partition_by_k_means(points: Array, weights: Array, k: int, seed: int) -> Labels:
    """Return the parts (n,) that Lloyd's steps find from k-means++ centres; fewer than k if fewer points differ."""
    centres = draw_centres(points, weights, k, seed)
    _, first = np.unique(centres, axis=0, return_index=True)
    mean = points.mean(axis=0)
    tolerance = _MIN_SHIFT * points.var(axis=0).mean()
    points, centres = points - mean, centres[np.sort(first)] - mean
    columns = np.ascontiguousarray((points * weights[:, None]).T)
    before = np.full(len(points), -1)
    for _ in range(_MAX_STEPS):
        labels = nearest(points, centres)
        moved = _move(points, weights, columns, labels, centres)
        shift = ((moved - centres) ** 2).sum()
        centres = moved
        if np.array_equal(labels, before):
            return labels
        if shift <= tolerance:
            break
        before = labels
    return nearest(points, centres)


def _move(points: Array, weights: Array, columns: Array, labels: Labels, centres: Array) -> Array:
    """Return the means (k, d) of the parts; an empty part gets a point that is farthest from its centre.

    `columns` (d, n) are those of the points times the weights.
    """
    k = len(centres)
    masses = np.bincount(labels, weights, k)
    sums = np.stack([np.bincount(labels, column, k) for column in columns], axis=1)
    empty = np.flatnonzero(masses == 0)
    if len(empty):
        distances = ((points - centres[labels]) ** 2).sum(axis=1)
        farthest = np.argpartition(distances, -len(empty))[: -len(empty) - 1 : -1] if distances.any() else empty[:0]
        for part, far in zip(empty, farthest, strict=False):
            sums[labels[far]] -= columns[:, far]
            masses[labels[far]] -= weights[far]
            sums[part], masses[part] = columns[:, far], weights[far]
    largest, filled = np.argmax(masses), (masses > 0)[:, None]
    means: Array = np.where(filled, sums, sums[largest]) / np.where(filled[:, 0], masses, masses[largest])[:, None]
    return means
