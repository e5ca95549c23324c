"""Feature maps: the columns phi(z) in which log-densities and statistics are linear (DESIGN section 2).

    log w_k N(x|k) = theta_k . phi(z)          T_k = sum_n r_nk phi(z_n)

`pack` and `unpack` translate between the columns of a map and the moments they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from ..arrays.types import Array


class FeatureMap(IntEnum):
    """Which columns phi(z) has; an integer, so that one compiled kernel serves all maps."""

    LINEAR = 0  # 1, z
    SPHERICAL = 1  # 1, z, sum_i g_i z_i^2      (g: the frame's isotropy weights)
    DIAGONAL = 2  # 1, z, z_i^2
    FULL = 3  # 1, z, z_i z_j (i <= j, row by row)

    def n_columns(self, n_features: int) -> int:
        """Return F, the number of columns of phi(z) for z of `n_features` entries."""
        d = n_features
        return 1 + d + (0, 1, d, d * (d + 1) // 2)[self]


@dataclass(frozen=True)
class FactorMap:
    """The columns of statistics of a mixture of factor analysers: 1, z, z_i^2 and z_i u_j, with u the factors seen.

    u depends on the mixture, so these statistics are no linear function of rows alone.
    """

    n_factors: int

    def n_columns(self, n_features: int) -> int:
        """Return the number of columns for z of `n_features` entries."""
        return 1 + n_features * (2 + self.n_factors)


class Moments(NamedTuple):
    """The columns of a map by order: `zeroth` (k,), `first` (k, d) and `second`.

    `second` is (k, 0) for LINEAR, (k, 1) for SPHERICAL, (k, d) for DIAGONAL and symmetric (k, d, d) for FULL.
    """

    zeroth: Array
    first: Array
    second: Array


def unpack(feature_map: FeatureMap, sums: Array, n_features: int) -> Moments:
    """Return the moments that sums (k, F) over phi(z) stand for."""
    zeroth, first, second = sums[:, 0], sums[:, 1 : 1 + n_features], sums[:, 1 + n_features :]
    if feature_map is FeatureMap.FULL:
        second = _symmetric(second, n_features)
    return Moments(zeroth, first, second)


def pack_sums(moments: Moments) -> Array:
    """Return sums (k, F) from moments; the inverse of `unpack`."""
    second = moments.second
    if second.ndim == 3:
        i, j = np.triu_indices(second.shape[-1])
        second = second[:, i, j]
    return np.concatenate([moments.zeroth[:, None], moments.first, second], axis=1)


def pack_coefficients(constant: Array, linear: Array, quadratic: Array) -> Array:
    """Return Theta (k, F) with Theta . phi(z) = constant + linear . z + the quadratic form.

    A dense quadratic (k, d, d) is symmetric: the column z_i z_j, i < j, takes both of its halves.
    """
    if quadratic.ndim == 3:
        both_halves = 2.0 - np.eye(quadratic.shape[-1])
        quadratic = quadratic * both_halves
    return pack_sums(Moments(constant, linear, quadratic))


def _symmetric(upper: Array, n_features: int) -> Array:
    i, j = np.triu_indices(n_features)
    matrices = np.empty((len(upper), n_features, n_features))
    matrices[:, i, j] = upper
    matrices[:, j, i] = upper
    return matrices
