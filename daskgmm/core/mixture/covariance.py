"""The covariance structures: what each shares between components, which columns it needs, how it is estimated.

A structure is its feature maps, its covariances seen in a frame, and its estimate from moments. All else (kernels,
weights, prediction, seeding) is the same for all. Sources: Celeux and Govaert (1995), Gaussian parsimonious clustering
models, Pattern Recognition 28; McLachlan and Peel (2000), Finite mixture models, chapter 3.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np

from ...errors import SingularCovarianceError
from ..arrays.types import Array
from .feature_map import FeatureMap
from .floor import Floor
from .frame import Frame


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

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Array:
        """Return the covariances of z for each component, dense (k, d, d) or, where diagonal, (k, d)."""

    def estimate(self, scatter: Scatter, frame: Frame) -> Array:
        """Return the covariances of x that maximise the expected log-likelihood."""

    def raised(self, covariances: Array, floor: Floor) -> Array:
        """Return the covariances with no direction below the floor."""


class Full:
    """Each component its own covariance matrix (mclust VVV)."""

    name = "full"
    shared = False
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

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Array:
        return covariances / np.outer(frame.scale, frame.scale)

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

    name = "tied"
    shared = True
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

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Array:
        k, d = shape
        return np.broadcast_to(covariances / np.outer(frame.scale, frame.scale), (k, d, d))

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

    name = "diag"
    shared = False
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

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Array:
        return covariances / frame.scale**2

    def estimate(self, scatter: Scatter, frame: Frame) -> Array:
        variances: Array = (scatter.second - scatter.shift**2) * frame.scale**2
        return variances

    def raised(self, covariances: Array, floor: Floor) -> Array:
        return floor.raise_variances(covariances)


class Spherical:
    """Each component one variance for all features (mclust VII); the one structure that depends on units."""

    name = "spherical"
    shared = False
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

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> Array:
        variances: Array = covariances[:, None] / frame.scale**2
        return variances

    def estimate(self, scatter: Scatter, frame: Frame) -> Array:
        squares: Array = scatter.second[:, 0] - scatter.shift**2 @ frame.metric
        variances: Array = squares / frame.n_features * frame.unit
        return variances

    def raised(self, covariances: Array, floor: Floor) -> Array:
        return floor.raise_isotropic(covariances)


_SMALLEST_PIVOT = 1e-13  # share of a variance that the features before it leave: below it is rounding

STRUCTURES: dict[str, Structure] = {s.name: s for s in (Full(), Tied(), Diagonal(), Spherical())}


def raised_to(floor: Floor | None, structure: Structure, covariances: Array) -> Array:
    """Return the covariances with no direction below the floor, if there is one."""
    return covariances if floor is None else structure.raised(covariances, floor)


def cholesky(covariances: Array) -> Array:
    """Return the lower Cholesky factors (k, d, d); raise SingularCovarianceError, naming the component."""
    try:
        factors = np.linalg.cholesky(covariances).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        raise SingularCovarianceError(_singular(covariances)) from None
    pivots = np.diagonal(factors, axis1=1, axis2=2) ** 2
    regular = pivots > _SMALLEST_PIVOT * np.diagonal(covariances, axis1=1, axis2=2)
    if not regular.all():
        raise SingularCovarianceError(_singular(covariances, int(np.argmin(regular.all(axis=1)))))
    return factors


def check_variances(variances: Array) -> None:
    """Raise SingularCovarianceError unless all variances (k, d) are positive and finite."""
    good = (variances > 0) & np.isfinite(variances)
    if not good.all():
        component = int(np.argmin(good.all(axis=1)))
        raise SingularCovarianceError(_message(component, float(variances[component].min())))


def _singular(covariances: Array, component: int | None = None) -> str:
    finite = np.isfinite(covariances).all(axis=(1, 2))
    if not finite.all():
        return _message(int(np.argmin(finite)), float("nan"))
    smallest = np.linalg.eigvalsh(covariances)[:, 0]
    component = int(np.argmin(smallest)) if component is None else component
    return _message(component, float(smallest[component]))


def _message(component: int, smallest: float) -> str:
    return (
        f"the covariance of component {component} is not positive definite (smallest eigenvalue {smallest:.3g} "
        "in standardised units, must be above 0): decrease n_components or increase reg_covar"
    )


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
