"""The place where rows are densest relative to one Gaussian: a tight group within a broad one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chndtr

from ..arrays.types import Array

_N_PLACES = 64  # rows that are looked at
_N_DENSEST = 16  # of them, those that seem densest, whose share under a Gaussian is computed
_GROUP_SHARES = (0.01, 0.04, 0.15)  # of the rows, that may be the group
_MIN_ROWS = 10  # for each feature, in the smallest group
_FAR = 1e9  # deviations: farther rows, whose squares float32 does not hold, are in no group
_MIN_GAIN = 0.003  # nats per row: less is found in rows of one Gaussian too


def densest_place(white: Array) -> NDArray[np.bool_] | None:
    """Return which of the rows (n, d), whose covariance is I, are in the densest place; None where there is none.

    A ball around a row that holds the share s of the rows, where a Gaussian has the share q, gains by a component of
    its own about s log(s / q) + (1 - s) log((1 - s) / (1 - q)) nats per row.
    """
    white = np.clip(white, -_FAR, _FAR).astype(np.float32)  # partitions, most of the time, take half of it so
    n, d = white.shape
    counts = [int(share * n) for share in _GROUP_SHARES if share * n >= _MIN_ROWS * d]
    if not counts:
        return None
    places = white[:: max(n // _N_PLACES, 1)]
    squares = (places**2).sum(axis=1)[:, None] - 2 * places @ white.T + (white**2).sum(axis=1)
    radii = _radii(np.maximum(squares, 0), counts).astype(np.float64)
    near, shares = _dense(radii, places), np.array(counts) / n
    lengths = (places[near] ** 2).sum(axis=2)
    expected = np.clip(chndtr(np.take_along_axis(radii, near, axis=0), d, lengths), 1e-300, 1 - 1e-12)
    gains = shares * np.log(shares / expected) + (1 - shares) * np.log((1 - shares) / (1 - expected))
    gains = np.where(shares > expected, gains, 0.0)
    best, size = np.unravel_index(np.argmax(gains), gains.shape)
    if gains[best, size] < _MIN_GAIN:
        return None
    place = near[best, size]
    inside: NDArray[np.bool_] = squares[place] <= radii[place, size]
    return inside if not inside.all() else None


def _radii(squares: Array, counts: Sequence[int]) -> Array:
    """Return the squares (m, sizes) of the radii of balls that hold so many rows; squares (m, n), counts ascending."""
    radii: list[Array] = []
    for count in reversed(counts):  # each of the part of the one before: a partition by several ranks takes longer
        squares = np.partition(squares, count - 1, axis=1)[:, :count]
        radii.insert(0, squares[:, -1])
    return np.stack(radii, axis=1)


def _dense(radii: Array, places: Array) -> NDArray[np.intp]:
    """Return for each size of ball (m, sizes) the places where balls hold least of a Gaussian; radii are squared.

    The log of the share of a ball of radius r around p is about d log r - |p|^2 / 2 + r^2 (|p|^2 - d) / (2 d + 4): its
    volume times the density in its centre, and that times the mean of the density over the ball, to second order.
    """
    d, lengths = places.shape[1], (places**2).sum(axis=1)[:, None]
    volume = d * np.log(np.maximum(radii, np.finfo(float).tiny)) / 2
    shares = volume - lengths / 2 + radii * (lengths - d) / (2 * d + 4)
    dense: NDArray[np.intp] = np.argsort(shares, axis=0, kind="stable")[:_N_DENSEST]
    return dense
