"""Stacks of symmetric positive definite matrices, one for each component: dense, or diagonal.

Who computes with covariances takes them from `Mixture.matrices` as one of these, and asks for no covariance type. The
interface is that of `scipy.stats.Covariance`, for k matrices at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import SingularCovarianceError
from ..arrays.types import Array

_SMALLEST_PIVOT = 1e-13  # share of a variance that the features before it leave: below it is rounding
_BLOCK_NUMBERS = 2**20  # of matrices whose terms are computed at once


class Matrices(Protocol):
    """k symmetric matrices of d rows; `values` is (k, d, d), or (k, d) where they are diagonal."""

    @property
    def values(self) -> Array:
        """The numbers, in the shape in which the kernels take them."""

    def __getitem__(self, components: slice | NDArray[np.intp]) -> Matrices:
        """Return some of the matrices."""

    @property
    def diagonals(self) -> Array:
        """The diagonals, (k, d)."""

    @property
    def dense(self) -> Array:
        """The matrices as they are written, (k, d, d)."""

    @property
    def pair_work(self) -> float:
        """Number of products that it takes to compare two of them."""

    def check(self) -> None:
        """Raise SingularCovarianceError, naming the component, unless all are positive definite beyond rounding."""

    def whiten(self) -> tuple[Matrices, Array]:
        """Return W, lower triangular, with W^T W = inverse, and the log determinants, (k,); raise as `check` does."""

    def gram(self) -> Matrices:
        """Return M^T M of each matrix M."""

    def apply(self, vectors: Array) -> Array:
        """Return each matrix times a vector of its own, (k, d)."""

    def append(self, diagonal: Array) -> Matrices:
        """Return the matrices and a diagonal one after them, by its diagonal (d,)."""

    def log_det(self) -> Array:
        """Return the log determinants, (k,); raise as `check` does."""

    def mahalanobis(self, differences: Array) -> Array:
        """Return v^T M^-1 v of each matrix and a vector of its own (k, d), (k,); raise as `check` does."""

    def largest_term(self, reach: Array) -> float:
        """Return the largest sqrt(sum_ij (reach_i |M_ij| reach_j)^2) over the matrices; `reach` (k, d)."""

    def mean(self, weights: Array) -> Array:
        """Return the sum of the matrices times their weights (k,), dense (d, d)."""

    def project(self, axes: Array) -> Array:
        """Return A^T M A of each matrix for axes A (d, q), (k, q, q)."""

    def average(self, other: Matrices) -> Matrices:
        """Return the means of each matrix with that of another stack, or with its only one; dense if either is."""

    def take_features(self, features: list[int]) -> Matrices:
        """Return the rows and columns of some features."""

    def given(self, known: list[int], rest: list[int], differences: Array) -> tuple[Array, Matrices]:
        """Return by how much the means of `rest` differ, (k, r), and the covariances of `rest`, given known features.

        `differences` (k, m) are those of the known features from their means; raise as `check` does.
        """

    def merge(self, first: int, second: NDArray[np.intp], share: Array, between: Array) -> Matrices:
        """Return the covariance of a component together with each of others.

        `share` (m,) is the part of the others in the weights of both, `between` (m, d) the way from mean to mean.
        """


@dataclass(frozen=True, eq=False)
class DenseMatrices:
    """Matrices (k, d, d); with `shared` they are all the same one, which is factored once."""

    values: Array
    shared: bool = False

    def __getitem__(self, components: slice | NDArray[np.intp]) -> DenseMatrices:
        return DenseMatrices(self.values[components], self.shared)

    @property
    def diagonals(self) -> Array:
        return np.diagonal(self.values, axis1=1, axis2=2)

    @property
    def dense(self) -> Array:
        return self.values

    @property
    def pair_work(self) -> float:
        return float(self.values.shape[1] ** 3 / 3)

    def check(self) -> None:
        self._factors()

    def whiten(self) -> tuple[DenseMatrices, Array]:
        factors = self._factors()
        whitening = np.broadcast_to(np.tril(np.linalg.inv(factors)), self.values.shape)
        return DenseMatrices(whitening, self.shared), self._spread_out(_log_det_of(factors))

    def gram(self) -> DenseMatrices:
        products = np.swapaxes(self._distinct, 1, 2) @ self._distinct
        return DenseMatrices(np.broadcast_to(products, self.values.shape), self.shared)

    def apply(self, vectors: Array) -> Array:
        product: Array = np.einsum("kij,kj->ki", self.values, vectors)
        return product

    def append(self, diagonal: Array) -> DenseMatrices:
        return DenseMatrices(np.concatenate([self.values, np.diag(diagonal)[None]]))

    def log_det(self) -> Array:
        return self._spread_out(_log_det_of(self._factors()))

    def mahalanobis(self, differences: Array) -> Array:
        whitened = np.linalg.solve(self._factors(), differences[:, :, None])
        squares: Array = (whitened**2).sum(axis=(1, 2))
        return squares

    def largest_term(self, reach: Array) -> float:
        step = max(_BLOCK_NUMBERS // self.values.shape[1] ** 2, 1)
        blocks = (slice(at, at + step) for at in range(0, len(self.values), step))
        return max(_largest(reach[own, :, None] * self.values[own] * reach[own, None, :]) for own in blocks)

    def mean(self, weights: Array) -> Array:
        total: Array = np.einsum("k,kij->ij", weights, self.values)
        return total

    def project(self, axes: Array) -> Array:
        projected: Array = np.einsum("ci,kcd,dj->kij", axes, self.values, axes, optimize=True)
        return projected

    def average(self, other: Matrices) -> DenseMatrices:
        return DenseMatrices((self.values + other.dense) / 2, self.shared and _is_shared(other))

    def take_features(self, features: list[int]) -> DenseMatrices:
        return DenseMatrices(self.values[:, features][:, :, features], self.shared)

    def given(self, known: list[int], rest: list[int], differences: Array) -> tuple[Array, DenseMatrices]:
        factors, m, k = self.take_features(known + rest)._factors(), len(known), len(self.values)
        whitened = np.linalg.solve(factors[:, :m, :m], differences[:, :, None])
        means: Array = (factors[:, m:, :m] @ whitened)[:, :, 0]
        left = factors[:, m:, m:] @ np.swapaxes(factors[:, m:, m:], 1, 2)
        return means, DenseMatrices(np.broadcast_to(left, (k, *left.shape[1:])), self.shared)

    def merge(self, first: int, second: NDArray[np.intp], share: Array, between: Array) -> DenseMatrices:
        outer = between[:, :, None] * between[:, None, :]
        share = share[:, None, None]
        return DenseMatrices(_blend(self.values, first, second, share) + share * (1 - share) * outer)

    def _factors(self) -> Array:
        """Return the lower Cholesky factors, (k, d, d), or (1, d, d) where they are the same."""
        return cholesky(self._distinct)

    @property
    def _distinct(self) -> Array:
        """The matrices that differ, (k, d, d) or (1, d, d)."""
        return self.values[:1] if self.shared else self.values

    def _spread_out(self, numbers: Array) -> Array:
        return np.broadcast_to(numbers, len(self.values))


@dataclass(frozen=True, eq=False)
class DiagonalMatrices:
    """Diagonal matrices, by their diagonals (k, d)."""

    values: Array

    def __getitem__(self, components: slice | NDArray[np.intp]) -> DiagonalMatrices:
        return DiagonalMatrices(self.values[components])

    @property
    def diagonals(self) -> Array:
        return self.values

    @property
    def dense(self) -> Array:
        matrices: Array = self.values[:, :, None] * np.eye(self.values.shape[1])
        return matrices

    @property
    def pair_work(self) -> float:
        return float(self.values.shape[1])

    def check(self) -> None:
        good = (self.values > 0) & np.isfinite(self.values)
        if not good.all():
            component = int(np.argmin(good.all(axis=1)))
            raise SingularCovarianceError(_message(component, float(self.values[component].min())))

    def whiten(self) -> tuple[DiagonalMatrices, Array]:
        return DiagonalMatrices(1 / np.sqrt(self._check_values())), self.log_det()

    def gram(self) -> DiagonalMatrices:
        return DiagonalMatrices(self.values**2)

    def apply(self, vectors: Array) -> Array:
        product: Array = vectors * self.values
        return product

    def append(self, diagonal: Array) -> DiagonalMatrices:
        return DiagonalMatrices(np.concatenate([self.values, diagonal[None]]))

    def log_det(self) -> Array:
        log_det: Array = np.log(self._check_values()).sum(axis=1)
        return log_det

    def mahalanobis(self, differences: Array) -> Array:
        lengths: Array = (differences**2 / self._check_values()).sum(axis=1)
        return lengths

    def largest_term(self, reach: Array) -> float:
        return _largest(reach**2 * self.values)

    def mean(self, weights: Array) -> Array:
        return np.diag(weights @ self.values)

    def project(self, axes: Array) -> Array:
        projected: Array = (axes.T * self.values[:, None, :]) @ axes
        return projected

    def average(self, other: Matrices) -> Matrices:
        if isinstance(other, DiagonalMatrices):
            return DiagonalMatrices((self.values + other.values) / 2)
        return DenseMatrices((self.dense + other.dense) / 2)

    def take_features(self, features: list[int]) -> DiagonalMatrices:
        return DiagonalMatrices(self.values[:, features])

    def given(self, known: list[int], rest: list[int], differences: Array) -> tuple[Array, DiagonalMatrices]:
        return np.zeros((len(self.values), len(rest))), self.take_features(rest)

    def merge(self, first: int, second: NDArray[np.intp], share: Array, between: Array) -> DiagonalMatrices:
        share = share[:, None]
        return DiagonalMatrices(_blend(self.values, first, second, share) + share * (1 - share) * between**2)

    def _check_values(self) -> Array:
        self.check()
        return self.values


def cholesky(matrices: Array) -> Array:
    """Return the lower Cholesky factors (k, d, d); raise SingularCovarianceError, naming the component."""
    try:
        factors = np.linalg.cholesky(matrices).astype(np.float64, copy=False)
    except np.linalg.LinAlgError:
        raise SingularCovarianceError(_singular(matrices)) from None
    pivots = np.diagonal(factors, axis1=1, axis2=2) ** 2
    regular = pivots > _SMALLEST_PIVOT * np.diagonal(matrices, axis1=1, axis2=2)
    if not regular.all():
        raise SingularCovarianceError(_singular(matrices, int(np.argmin(regular.all(axis=1)))))
    return factors


def _is_shared(matrices: Matrices) -> bool:
    return isinstance(matrices, DenseMatrices) and matrices.shared


def _blend(values: Array, first: int, second: NDArray[np.intp], share: Array) -> Array:
    blended: Array = (1 - share) * values[first] + share * values[second]
    return blended


def _log_det_of(factors: Array) -> Array:
    log_det: Array = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    return log_det


def _largest(terms: Array) -> float:
    return float(np.sqrt((terms**2).reshape(len(terms), -1).sum(axis=1).max()))


def _singular(matrices: Array, component: int | None = None) -> str:
    finite = np.isfinite(matrices).all(axis=(1, 2))
    if not finite.all():
        return _message(int(np.argmin(finite)), float("nan"))
    smallest = np.linalg.eigvalsh(matrices)[:, 0]
    component = int(np.argmin(smallest)) if component is None else component
    return _message(component, float(smallest[component]))


def _message(component: int, smallest: float) -> str:
    return (
        f"the covariance of component {component} is not positive definite (smallest eigenvalue {smallest:.3g} "
        "in standardised units, must be above 0): decrease n_components or increase reg_covar"
    )
