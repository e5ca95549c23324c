"""The covariance structures: what each shares between components, which columns it needs, how it is estimated.

A structure is its feature maps, its covariances seen in a frame, and its estimate from moments. All else (kernels,
weights, prediction, seeding) is the same for all. Sources: Celeux and Govaert (1995), Gaussian parsimonious clustering
models, Pattern Recognition 28; McLachlan and Peel (2000), Finite mixture models, chapter 3.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np

from ..arrays.types import Array
from .feature_map import FeatureMap
from .floor import Floor
from .frame import Frame
from .matrices import DenseMatrices, DiagonalMatrices, Matrices


class Scatter(NamedTuple):
    """What an estimate starts from, in the frame's coordinates."""

    counts: Array  # (k,), N_k = sum_n r_nk, all positive
    shift: Array  # (k, d), mean of the component minus the point that its moments are about
    second: Array  # sum_n r_nk z z^T / N_k about that point, in the shape of the feature map
    pooled: Array  # (d, d), second moment of all rows about the frame's centre


class Structure(Protocol):
    """One family of covariances; (k, d) is the shape of the means."""

    name: str
    shared: bool  # whether all components have the same covariance
    dense: bool  # whether features of a component may be correlated
    scaled: str  # the structure that they have where each feature is scaled
    axes: tuple[str, ...]  # what the axes of their array count
    feature_map: FeatureMap  # of the kernel with a shared centre
    centred_map: FeatureMap  # of the kernel with own centres

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        """Return the shape of the covariances."""

    def n_parameters(self, k: int, d: int) -> int:
        """Return the number of free parameters of the covariances."""

    def per_component(self, d: int) -> tuple[int, int]:
        """Return with how many rows more than that a component's covariance is regular, and its free parameters.

        Both are for one component, mean included; 0 and 0 where all components share their covariance.
        """

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        """Return the variance of each feature in each component, (k, d)."""

    def left_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        """Return the variance of each feature in each component given the features before it, (k, d)."""

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        """Return the covariances of z, one for each component."""

    def of_matrices(self, matrices: Matrices) -> Array:
        """Return the covariances of components whose covariances are these, each its own."""

    def estimate(self, scatter: Scatter, frame: Frame) -> Array:
        """Return the covariances of x that maximise the expected log-likelihood."""

    def raised(self, covariances: Array, floor: Floor) -> Array:
        """Return the covariances with no direction below the floor."""


class Full:
    """Each component its own covariance matrix (mclust VVV)."""

    name = scaled = "full"
    axes: tuple[str, ...] = ("component", "feature", "feature_2")
    shared, dense = False, True
    feature_map = FeatureMap.FULL
    centred_map = FeatureMap.FULL

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d, d)

    def n_parameters(self, k: int, d: int) -> int:
        return k * d * (d + 1) // 2

    def per_component(self, d: int) -> tuple[int, int]:
        return d + 1, d * (d + 3) // 2

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return np.diagonal(covariances, axis1=-2, axis2=-1)

    def left_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(_left(covariances), shape)

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        return DenseMatrices(covariances / np.outer(frame.scale, frame.scale))

    def of_matrices(self, matrices: Matrices) -> Array:
        return matrices.dense

    def estimate(self, scatter: Scatter, frame: Frame) -> Array:
        return _to_x(scatter.second - _outer(scatter.shift), frame)

    def raised(self, covariances: Array, floor: Floor) -> Array:
        return floor.raise_matrices(covariances)


class Tied:
    """One covariance matrix for all components (mclust EEE).

    Its quadratic term is common to all components, so it cancels in the responsibilities; the kernel with a shared
    centre needs the linear map only, and the pooled scatter comes from the survey:

        Sigma = S / N - sum_k (N_k / N) (mu_k - centre)(mu_k - centre)^T
    """

    name = scaled = "tied"
    axes: tuple[str, ...] = ("feature", "feature_2")
    shared, dense = True, True
    feature_map = FeatureMap.LINEAR
    centred_map = FeatureMap.FULL

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (d, d)

    def n_parameters(self, k: int, d: int) -> int:
        return d * (d + 1) // 2

    def per_component(self, d: int) -> tuple[int, int]:
        return 0, 0

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(np.diagonal(covariances), shape)

    def left_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(_left(covariances), shape)

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        k, d = shape
        return DenseMatrices(np.broadcast_to(covariances / np.outer(frame.scale, frame.scale), (k, d, d)), shared=True)

    def of_matrices(self, matrices: Matrices) -> Array:
        shared: Array = matrices.dense[0]
        return shared

    def estimate(self, scatter: Scatter, frame: Frame) -> Array:
        share = scatter.counts / scatter.counts.sum()
        between = np.einsum("k,kij->ij", share, _outer(scatter.shift))
        about_own_means = scatter.second.ndim == 3
        total = np.einsum("k,kij->ij", share, scatter.second) if about_own_means else scatter.pooled
        return _to_x(total - between, frame)

    def raised(self, covariances: Array, floor: Floor) -> Array:
        return floor.raise_matrices(covariances)


class Diagonal:
    """Each component its own variances, no correlation (mclust VVI)."""

    name = scaled = "diag"
    axes: tuple[str, ...] = ("component", "feature")
    shared, dense = False, False
    feature_map = FeatureMap.DIAGONAL
    centred_map = FeatureMap.DIAGONAL

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d)

    def n_parameters(self, k: int, d: int) -> int:
        return k * d

    def per_component(self, d: int) -> tuple[int, int]:
        return 2, 2 * d

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return covariances

    def left_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return self.variances(covariances, shape)

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        return DiagonalMatrices(covariances / frame.scale**2)

    def of_matrices(self, matrices: Matrices) -> Array:
        return matrices.diagonals

    def estimate(self, scatter: Scatter, frame: Frame) -> Array:
        variances: Array = (scatter.second - scatter.shift**2) * frame.scale**2
        return variances

    def raised(self, covariances: Array, floor: Floor) -> Array:
        return floor.raise_variances(covariances)


class Spherical:
    """Each component one variance for all features (mclust VII); the one structure that depends on units."""

    name, scaled = "spherical", "diag"
    axes: tuple[str, ...] = ("component",)
    shared, dense = False, False
    feature_map = FeatureMap.SPHERICAL
    centred_map = FeatureMap.SPHERICAL

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k,)

    def n_parameters(self, k: int, d: int) -> int:
        return k

    def per_component(self, d: int) -> tuple[int, int]:
        return 1, d + 1

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(covariances[:, None], shape)

    def left_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return self.variances(covariances, shape)

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        return DiagonalMatrices(covariances[:, None] / frame.scale**2)

    def of_matrices(self, matrices: Matrices) -> Array:
        means: Array = matrices.diagonals.mean(axis=1)
        return means

    def estimate(self, scatter: Scatter, frame: Frame) -> Array:
        squares: Array = scatter.second[:, 0] - scatter.shift**2 @ frame.metric
        variances: Array = squares / frame.n_features * frame.unit
        return variances

    def raised(self, covariances: Array, floor: Floor) -> Array:
        return floor.raise_isotropic(covariances)


STRUCTURES: dict[str, Structure] = {s.name: s for s in (Full(), Tied(), Diagonal(), Spherical())}


def raised_to(floor: Floor | None, structure: Structure, covariances: Array) -> Array:
    """Return the covariances with no direction below the floor, if there is one."""
    return covariances if floor is None else structure.raised(covariances, floor)


def _left(covariances: Array) -> Array:
    """Return the squared pivots of covariances (..., d, d), (..., d)."""
    pivots: Array = np.diagonal(np.linalg.cholesky(covariances), axis1=-2, axis2=-1) ** 2
    return pivots


def _outer(shift: Array) -> Array:
    return shift[:, :, None] * shift[:, None, :]


def _to_x(covariances_z: Array, frame: Frame) -> Array:
    scaled: Array = covariances_z * np.outer(frame.scale, frame.scale)
    return scaled


CovarianceType = Literal["full", "tied", "diag", "spherical"]
ALL_TYPES: tuple[CovarianceType, ...] = get_args(CovarianceType)
