"""The kernel of mixtures of factor analysers: two products of matrices forward, and two back.

With Sigma_k^-1 = Psi_k^-1 - V_k^T V_k in the frame's coordinates z (see `mixture.low_rank`),

    log w_k N(x | k) = Theta_k . (1, z, z^2) + |u_k|^2 / 2,      u_k = V_k (z - m_k)

so the products forward are with Theta (k, 2 d + 1) and with all V_k together (k q, d). The statistics of a component,

    N, sum r z, sum r z^2, sum r z u^T

are the products back; the moments of the factors follow from them. The terms of Theta cancel as those of the diagonal
kernel do; the floor of the noise bounds by how much. If float32 loses too much there, the products are in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...errors import ConfigurationError
from ..arrays.types import Array
from ..mixture.frame import Frame
from ..mixture.low_rank import NO_MISSING, LowRankMatrices
from ..mixture.mixture import Mixture
from ..mixture.statistics import Statistics
from .compiled import OutputBuffers
from .missing import Pattern
from .missing_compiled import Filled

_TILE_NUMBERS = 2**20  # of the arrays of a tile
_TILE_ROWS = 512, 4096  # fewest and most: products of fewer rows wait for memory
_LOG_ZERO = -1e30  # log weight of an empty component: finite, so that it stays out of every product as a number
_FLUSH = -69.0  # log responsibilities (relative to the largest) below it are exactly 0
_MAX_ERROR = 3e-4  # nats, that rounding to float32 may add to a log-density


@dataclass(frozen=True, eq=False)
class LowRank:
    """A mixture of factor analysers for its kernel."""

    frame: Frame
    theta: NDArray[np.floating]  # (k, 1 + 2 d)
    projection: NDArray[np.floating]  # (k q, d), V of all components
    offsets: NDArray[np.floating]  # (k q,), V_k m_k
    missing: None = None  # values are not missing here
    has_noise: bool = False  # nor is there a noise component

    @property
    def n_factors(self) -> int:
        return len(self.projection) // len(self.theta)

    def expect(self, rows: NDArray[np.floating], row_weights: Array | None) -> Statistics:
        """Return the statistics of rows (n, d) with weights (n,) or None."""
        (k, n_columns), d = self.theta.shape, self.frame.n_features
        first, second = np.zeros((k, n_columns)), np.zeros((k * self.n_factors, d))
        log_likelihood, joint_sum, weight_sum = 0.0, 0.0, 0.0
        for tile in self._tiles(len(rows)):
            weights = np.ones(tile.stop - tile.start) if row_weights is None else row_weights[tile]
            features, factors, joint = self._joint(rows[tile])
            resp, log_prob = _responsibilities(joint)
            resp *= weights[:, None]
            log_likelihood += float(weights @ log_prob)
            joint_sum += float(np.vdot(resp, joint))
            weight_sum += float(weights.sum())
            resp = resp.astype(features.dtype, copy=False)
            first += resp.T @ features
            factors *= resp[:, :, None]
            second += factors.reshape(len(resp), -1).T @ features[:, 1 : 1 + d]
        own = second.reshape(k, self.n_factors, d).transpose(0, 2, 1).reshape(k, -1)
        sums = np.concatenate([first, own], axis=1)
        return Statistics(sums, log_likelihood, log_likelihood - joint_sum, weight_sum, centred=False)

    def predict(self, rows: NDArray[np.floating], outputs: OutputBuffers) -> None:
        """Fill the outputs of rows (n, d): labels, and responsibilities and log-densities if there is room for them."""
        for tile in self._tiles(len(rows)):
            joint = self._joint(rows[tile])[2]
            outputs.labels[tile] = np.argmax(joint, axis=1)
            if not len(outputs.resp) and not len(outputs.log_prob):
                continue
            resp, log_prob = _responsibilities(joint)
            if len(outputs.resp):
                outputs.resp[tile] = resp
            if len(outputs.log_prob):
                outputs.log_prob[tile] = log_prob

    def expect_missing(self, rows: NDArray[np.floating], row_weights: Array | None, found: Pattern) -> NoReturn:
        """Raise ConfigurationError: this kernel integrates no missing values out."""
        raise ConfigurationError(NO_MISSING)

    def predict_missing(self, rows: NDArray[np.floating], outputs: OutputBuffers, filled: Filled) -> NoReturn:
        """Raise ConfigurationError, as above."""
        raise ConfigurationError(NO_MISSING)

    def _tiles(self, n_rows: int) -> Iterator[slice]:
        n_tile = tile_rows(len(self.theta), self.frame.n_features, self.n_factors)
        return (slice(at, min(at + n_tile, n_rows)) for at in range(0, n_rows, n_tile))

    def _joint(self, rows: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating], Array]:
        """Return (1, z, z^2) of rows (n, 1 + 2 d), u (n, k, q) and the joint log-densities (n, k), float64."""
        d = self.frame.n_features
        features = np.empty((len(rows), 1 + 2 * d), self.theta.dtype)
        features[:, 0] = 1
        features[:, 1 : 1 + d] = self.frame.to_z(rows.astype(np.float64, copy=False))
        np.square(features[:, 1 : 1 + d], out=features[:, 1 + d :])
        factors = features[:, 1 : 1 + d] @ self.projection.T
        factors -= self.offsets
        factors = factors.reshape(len(rows), len(self.theta), self.n_factors)
        joint = (features @ self.theta.T).astype(np.float64, copy=False)
        joint += np.einsum("nkq,nkq->nk", factors, factors) / 2
        return features, factors, joint


def prepare_low_rank(mixture: Mixture, frame: Frame, dtype: DTypeLike = np.float64) -> LowRank:
    """Return a mixture of factor analysers ready for a pass in a frame; raise SingularCovarianceError."""
    matrices, means = mixture.matrices(frame), frame.to_z(mixture.means)
    assert isinstance(matrices, LowRankMatrices), "a mixture of factor analysers"
    projection, factors = matrices.project_factors()
    precisions = 1 / matrices.noise
    log_det = np.log(matrices.noise).sum(axis=1) + 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    log_det += 2 * np.log(frame.scale).sum() + mixture.n_features * np.log(2 * np.pi)
    with np.errstate(divide="ignore"):
        log_weights = np.maximum(np.log(mixture.weights), _LOG_ZERO)
    constants = log_weights - (log_det + (precisions * means**2).sum(axis=1)) / 2
    theta = np.concatenate([constants[:, None], precisions * means, -precisions / 2], axis=1)
    reach = (np.abs(means) + np.sqrt(matrices.diagonals)) ** 2 * precisions
    error = np.finfo(np.dtype(dtype)).eps * float(np.sqrt((reach**2).sum(axis=1)).max())
    kind = np.dtype(dtype) if error <= _MAX_ERROR else np.dtype(np.float64)
    offsets = np.einsum("kqd,kd->kq", projection, means).ravel()
    flat = projection.reshape(-1, mixture.n_features)
    theta, flat, offsets = (np.ascontiguousarray(one, dtype=kind) for one in (theta, flat, offsets))
    return LowRank(frame, theta, flat, offsets)


def tile_rows(n_components: int, n_features: int, n_factors: int) -> int:
    """Return the number of rows of a tile; it depends on the arguments alone, and so do the bits."""
    fewest, most = _TILE_ROWS
    return max(fewest, min(most, _TILE_NUMBERS // tile_columns(n_components, n_features, n_factors)))


def tile_columns(n_components: int, n_features: int, n_factors: int) -> int:
    """Return the count of numbers that a tile has for each of its rows."""
    return n_components * (n_factors + 4) + 1 + 3 * n_features


def _responsibilities(joint: Array) -> tuple[Array, Array]:
    """Return the responsibilities (n, k) and the log-densities (n,) of joint log-densities (n, k)."""
    largest = joint.max(axis=1)
    resp = joint - largest[:, None]
    resp[resp < _FLUSH] = -np.inf
    np.exp(resp, out=resp)
    total = resp.sum(axis=1)
    resp /= total[:, None]
    return resp, largest + np.log(total)
