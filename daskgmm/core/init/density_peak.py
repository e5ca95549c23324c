"""The place where rows lie densest beside what one Gaussian expects: a tight group within a broad one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import chndtr

from ..arrays.types import Array

_PLACES = 256  # rows that are looked at
_SHARES = (0.01, 0.04, 0.15)  # of the rows, that may be the group
_LEAST_ROWS = 10  # for each feature, in the smallest group
_LEAST_GAIN = 0.003  # nats per row: less is found in rows of one Gaussian too


def densest_place(white: Array) -> NDArray[np.bool_] | None:
    """Return which of the rows (n, d), whose covariance is I, are in the densest place; None where there is none.

    A ball around a row that holds the share s of the rows, where a Gaussian has the share q, gains by a component of
    its own about s log(s / q) + (1 - s) log((1 - s) / (1 - q)) nats per row.
    """
    n, d = white.shape
    counts = [int(share * n) for share in _SHARES if share * n >= _LEAST_ROWS * d]
    if not counts:
        return None
    places = white[:: max(n // _PLACES, 1)]
    squares = (places**2).sum(axis=1)[:, None] - 2 * places @ white.T + (white**2).sum(axis=1)
    ranks = [count - 1 for count in counts]
    radii = np.partition(np.maximum(squares, 0.0), ranks, axis=1)[:, ranks]
    expected = np.clip(chndtr(radii, d, (places**2).sum(axis=1)[:, None]), 1e-300, 1 - 1e-12)
    shares = np.array(counts) / n
    gains = shares * np.log(shares / expected) + (1 - shares) * np.log((1 - shares) / (1 - expected))
    gains = np.where(shares > expected, gains, 0.0)
    place, size = np.unravel_index(np.argmax(gains), gains.shape)
    if gains[place, size] < _LEAST_GAIN:
        return None
    inside: NDArray[np.bool_] = squares[place] <= radii[place, size]
    return inside if not inside.all() else None
