"""How covariances are written as an array: scikit-learn's four forms. All families of one layout share what is here."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from ..arrays.types import Array
from .feature_map import FeatureMap
from .floor import Floor
from .frame import Frame
from .matrices import DenseMatrices, DiagonalMatrices, Matrices

_MANY_FEATURES = 32  # of which no matrix for each component is made to add them up


class Scatter(NamedTuple):
    """What an estimate starts from, in the frame's coordinates."""

    counts: Array  # (k,), N_k = sum_n r_nk, all positive
    shift: Array  # (k, d), mean of the component minus the point that its moments are about
    second: Array  # sum_n r_nk z z^T / N_k about that point, in the shape of the feature map
    total_second: Array  # (d, d), of all rows, about the frame's centre; NO_MATRIX if `second` is each one's


class Layout(Protocol):
    """One form of the array of covariances; (k, d) is the shape of the means."""

    name: str  # scikit-learn's covariance_type with such an array
    scaled: str  # that of the same covariances where each feature is scaled
    dense: bool  # whether the array holds matrices (d, d)
    axes: tuple[str, ...]  # what the axes of the array count
    stacked: bool  # whether the first of them counts components
    feature_map: FeatureMap  # whose statistics hold each component's own covariance
    n_factors: int  # of covariances of low rank plus a diagonal; 0: of others

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        """Return the shape of the covariances."""

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        """Return the variance of each feature in each component, (k, d)."""

    def conditional_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        """Return the variance of each feature in each component given the features before it, (k, d)."""

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        """Return the covariances of z, one for each component."""

    def of_matrices(self, matrices: Matrices) -> Array:
        """Return the covariances of components whose covariances are these, each its own."""

    def within(self, scatter: Scatter, frame: Frame) -> Array:
        """Return the covariances of x about the means: of each component, or pooled if the second moments are."""

    def raise_to(self, covariances: Array, floor: Floor) -> Array:
        """Return the covariances with no direction below the floor."""

    def of_each_component(self, covariances: Array, k: int) -> Array:
        """Return the covariance of each of k components, (k, ...), by covariances of the layout."""

    def gather(self, weights: Array, own: Array) -> Array:
        """Return covariances of the layout from those of each component, (k, ...): their mean if all share one."""

    def outer(self, vectors: Array) -> Array:
        """Return the layout's part of v v^T for each of vectors (k, d), (k, ...)."""

    def reduce(self, covariance: Array) -> Array:
        """Return the layout's part of a covariance (d, d) for one component, (...)."""

    def prior_exponent(self, degrees_of_freedom: float, d: int) -> float:
        """Return e in the density |Sigma|^(-e/2) exp(-tr(Lambda Sigma^-1) / 2): inverse Wishart or inverse gamma."""

    def prior_scale(self, covariance: Array) -> Array:
        """Return Lambda of that density as `reduce` has it, (...), for a prior of scale `covariance` (d, d)."""


class _OfMatrices:
    """What the layouts of whole matrices do alike, own or shared."""

    dense = True
    feature_map = FeatureMap.FULL
    n_factors = 0

    def conditional_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(_square_pivots(covariances), shape)

    def raise_to(self, covariances: Array, floor: Floor) -> Array:
        return floor.raise_matrices(covariances)

    def outer(self, vectors: Array) -> Array:
        return _outer(vectors)

    def reduce(self, covariance: Array) -> Array:
        return covariance

    def prior_exponent(self, degrees_of_freedom: float, d: int) -> float:
        return degrees_of_freedom + d + 1

    def prior_scale(self, covariance: Array) -> Array:
        return self.reduce(covariance)


class Full(_OfMatrices):
    """Each component its own matrix."""

    name = scaled = "full"
    axes: tuple[str, ...] = ("component", "feature", "feature_2")
    stacked = True

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d, d)

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return np.diagonal(covariances, axis1=-2, axis2=-1)

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        return DenseMatrices(covariances / np.outer(frame.scale, frame.scale))

    def of_matrices(self, matrices: Matrices) -> Array:
        return matrices.dense

    def within(self, scatter: Scatter, frame: Frame) -> Array:
        return _to_x(scatter.second - _outer(scatter.shift), frame)

    def of_each_component(self, covariances: Array, k: int) -> Array:
        return covariances

    def gather(self, weights: Array, own: Array) -> Array:
        return own


class Tied(_OfMatrices):
    """One matrix for all components.

    Its quadratic term is common to all components, so it cancels in the responsibilities; the kernel with a shared
    centre needs the linear map only, and the total scatter comes from the data summary:

        Sigma = S / N - sum_k (N_k / N) (mu_k - centre)(mu_k - centre)^T
    """

    name = scaled = "tied"
    axes: tuple[str, ...] = ("feature", "feature_2")
    stacked = False

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (d, d)

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(np.diagonal(covariances), shape)

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        k, d = shape
        return DenseMatrices(np.broadcast_to(covariances / np.outer(frame.scale, frame.scale), (k, d, d)), shared=True)

    def of_matrices(self, matrices: Matrices) -> Array:
        shared: Array = matrices.dense[0]
        return shared

    def within(self, scatter: Scatter, frame: Frame) -> Array:
        share = scatter.counts / scatter.counts.sum()
        between = _weighted_outer(share, scatter.shift)
        about_own_means = scatter.second.ndim == 3
        total = np.einsum("k,kij->ij", share, scatter.second) if about_own_means else scatter.total_second
        return _to_x(total - between, frame)

    def of_each_component(self, covariances: Array, k: int) -> Array:
        return np.broadcast_to(covariances, (k, *covariances.shape))

    def gather(self, weights: Array, own: Array) -> Array:
        mean: Array = np.tensordot(weights / weights.sum(), own, axes=1)
        return mean


class Diagonal:
    """Each component its own variances, no correlation."""

    name = scaled = "diag"
    axes: tuple[str, ...] = ("component", "feature")
    stacked = True
    dense = False
    feature_map = FeatureMap.DIAGONAL
    n_factors = 0

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d)

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return covariances

    def conditional_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return covariances

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        return DiagonalMatrices(covariances / frame.scale**2)

    def of_matrices(self, matrices: Matrices) -> Array:
        return matrices.diagonals

    def within(self, scatter: Scatter, frame: Frame) -> Array:
        own = scatter.second.shape[1] > 0
        variances: Array = scatter.second - scatter.shift**2 if own else _pooled_variances(scatter)
        return variances * frame.scale**2

    def raise_to(self, covariances: Array, floor: Floor) -> Array:
        return floor.raise_variances(covariances)

    def of_each_component(self, covariances: Array, k: int) -> Array:
        return covariances

    def gather(self, weights: Array, own: Array) -> Array:
        return own

    def outer(self, vectors: Array) -> Array:
        squares: Array = vectors**2
        return squares

    def reduce(self, covariance: Array) -> Array:
        return np.diagonal(covariance)

    def prior_exponent(self, degrees_of_freedom: float, d: int) -> float:
        return degrees_of_freedom + 2

    def prior_scale(self, covariance: Array) -> Array:
        return self.reduce(covariance)


class Isotropic:
    """Each component one variance for all features; it depends on the units of the features."""

    name, scaled = "spherical", "diag"
    axes: tuple[str, ...] = ("component",)
    stacked = True
    dense = False
    feature_map = FeatureMap.SPHERICAL
    n_factors = 0

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k,)

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(covariances[:, None], shape)

    def conditional_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return self.variances(covariances, shape)

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Matrices:
        return DiagonalMatrices(covariances[:, None] / frame.scale**2)

    def of_matrices(self, matrices: Matrices) -> Array:
        means: Array = matrices.diagonals.mean(axis=1)
        return means

    def within(self, scatter: Scatter, frame: Frame) -> Array:
        own = scatter.second.shape[1] > 0
        between = scatter.shift**2 @ frame.isotropy_weights
        squares = scatter.second[:, 0] - between if own else _pooled_variances(scatter) @ frame.isotropy_weights
        variances: Array = squares / frame.n_features * frame.unit
        return variances

    def raise_to(self, covariances: Array, floor: Floor) -> Array:
        return floor.raise_isotropic(covariances)

    def of_each_component(self, covariances: Array, k: int) -> Array:
        return covariances

    def gather(self, weights: Array, own: Array) -> Array:
        return own

    def outer(self, vectors: Array) -> Array:
        means: Array = (vectors**2).mean(axis=1)
        return means

    def reduce(self, covariance: Array) -> Array:
        return np.asarray(np.diagonal(covariance).mean())

    def prior_exponent(self, degrees_of_freedom: float, d: int) -> float:
        return (degrees_of_freedom + 2) / d

    def prior_scale(self, covariance: Array) -> Array:
        return self.reduce(covariance) / len(covariance)


FULL, TIED, DIAGONAL, ISOTROPIC = Full(), Tied(), Diagonal(), Isotropic()


def _square_pivots(covariances: Array) -> Array:
    """Return the squared pivots of covariances (..., d, d), (..., d)."""
    pivots: Array = np.diagonal(np.linalg.cholesky(covariances), axis1=-2, axis2=-1) ** 2
    return pivots


def _weighted_outer(share: Array, shift: Array) -> Array:
    """Return sum_k share_k v_k v_k^T, (d, d); of many features one component at a time, which saves memory."""
    if shift.shape[1] < _MANY_FEATURES:
        few: Array = np.einsum("k,kij->ij", share, _outer(shift))
        return few
    total = np.zeros((shift.shape[1], shift.shape[1]))
    for own, vector in zip(share, shift, strict=True):
        total += own * np.outer(vector, vector)
    return total


def _outer(shift: Array) -> Array:
    return shift[:, :, None] * shift[:, None, :]


def _to_x(covariances_z: Array, frame: Frame) -> Array:
    scaled: Array = covariances_z * np.outer(frame.scale, frame.scale)
    return scaled


def _pooled_variances(scatter: Scatter) -> Array:
    """Return the variances of z within components, which come from the sums of all rows, for each component, (k, d)."""
    between = scatter.counts / scatter.counts.sum() @ scatter.shift**2
    return np.broadcast_to(np.diagonal(scatter.total_second) - between, scatter.shift.shape)
