"""Covariances of low rank plus a diagonal, of mixtures of factor analysers (Ghahramani and Hinton 1997).

Sigma_k = Psi_k + L_k L_k^T with loadings L_k (d, q) and noise Psi_k = diag(psi_k): a row of component k is
mu_k + L_k y + noise with q standard normal factors y. One array holds both: column 0 of (k, d, 1 + q) is psi, the
others are L. Nothing here makes a d x d matrix unless `dense` is asked for. The inverse and the determinant come from
the capacitance M = I + L^T Psi^-1 L = C C^T, which is q x q (Woodbury 1950):

    Sigma^-1 = Psi^-1 - V^T V,      V = C^-1 L^T Psi^-1,      log det Sigma = sum_i log psi_i + log det M

L is free up to a rotation of the factors. With psi free in each feature this is factor analysis; with one value for all
features it is probabilistic principal component analysis (Tipping and Bishop 1999).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from ...blas import single_threaded
from ...errors import ConfigurationError, SingularCovarianceError
from ..arrays.types import Array
from .feature_map import FactorMap
from .floor import Floor
from .frame import Frame
from .matrices import DenseMatrices, Matrices

FactorNoise = Literal["own", "common", "isotropic"]
FactorType = Literal["low_rank"]  # covariance types of options that need a number of factors beside their name
FACTOR_TYPES: tuple[FactorType, ...] = get_args(FactorType)
NO_MISSING = (
    "covariance_type low_rank takes no missing values: fill them, leave their rows out by a mask, or take full or diag"
)
LABELS_AND_LOW_RANK = (
    "labelled rows are not for covariance_type low_rank: leave labels out, or take another covariance_type"
)
LOW_RANK_PATTERN = r"low_rank_[1-9][0-9]{0,4}(_common|_isotropic)?"


@dataclass(frozen=True, eq=False)
class LowRankMatrices:
    """Matrices diag(noise_k) + L_k L_k^T: noise (k, d) and loadings (k, d, q)."""

    noise: Array
    loadings: Array

    @property
    def values(self) -> Array:
        return np.concatenate([self.noise[:, :, None], self.loadings], axis=2)

    def __getitem__(self, components: slice | NDArray[np.intp]) -> LowRankMatrices:
        return LowRankMatrices(self.noise[components], self.loadings[components])

    @property
    def diagonals(self) -> Array:
        diagonals: Array = self.noise + (self.loadings**2).sum(axis=2)
        return diagonals

    @property
    def dense(self) -> Array:
        matrices: Array = self.loadings @ np.swapaxes(self.loadings, 1, 2)
        d = self.noise.shape[1]
        matrices[:, np.arange(d), np.arange(d)] += self.noise
        return matrices

    @property
    def pair_work(self) -> float:
        d, q = self.loadings.shape[1:]
        return float(4 * d * q * q)

    def check(self) -> None:
        good = (self.noise > 0) & np.isfinite(self.noise) & np.isfinite(self.loadings).all(axis=2)
        if not good.all():
            component = int(np.argmin(good.all(axis=1)))
            raise SingularCovarianceError(
                f"component {component} has noise of the variance {self.noise[component].min():g} in a feature: "
                "increase reg_covar, or decrease n_factors or n_components"
            )

    def project_factors(self) -> tuple[Array, Array]:
        """Return V (k, q, d) and the Cholesky factors C (k, q, q) of the capacitances; raise as `check` does."""
        self.check()
        scaled = self.loadings / self.noise[:, :, None]
        capacitance = np.swapaxes(self.loadings, 1, 2) @ scaled + np.eye(self.loadings.shape[2])
        try:
            factors = np.linalg.cholesky(capacitance).astype(np.float64, copy=False)
        except np.linalg.LinAlgError:
            raise SingularCovarianceError("loadings are not finite: rescale the columns") from None
        return np.linalg.solve(factors, np.swapaxes(scaled, 1, 2)).astype(np.float64, copy=False), factors

    def whiten(self) -> tuple[Matrices, Array]:
        return DenseMatrices(self.dense).whiten()

    def gram(self) -> Matrices:
        return DenseMatrices(self.dense).gram()

    def append(self, diagonal: Array) -> LowRankMatrices:
        noise, loadings = diagonal[None], np.zeros((1, *self.loadings.shape[1:]))
        return LowRankMatrices(np.concatenate([self.noise, noise]), np.concatenate([self.loadings, loadings]))

    def apply(self, vectors: Array) -> Array:
        factors = np.einsum("kdq,kd->kq", self.loadings, vectors)
        product: Array = self.noise * vectors + np.einsum("kdq,kq->kd", self.loadings, factors)
        return product

    def log_det(self) -> Array:
        factors = self.project_factors()[1]
        log_det: Array = np.log(self.noise).sum(axis=1) + 2 * np.log(_diagonals(factors)).sum(axis=1)
        return log_det

    def mahalanobis(self, differences: Array) -> Array:
        projected = np.einsum("kqd,kd->kq", self.project_factors()[0], differences)
        squares: Array = (differences**2 / self.noise).sum(axis=1) - (projected**2).sum(axis=1)
        return np.maximum(squares, 0.0)

    def largest_term(self, reach: Array) -> float:
        return float(np.sqrt(((reach**2 * self.diagonals) ** 2).sum(axis=1)).max())

    def mean(self, weights: Array) -> Array:
        k, d, q = self.loadings.shape
        scaled = (self.loadings * np.sqrt(weights)[:, None, None]).transpose(1, 0, 2).reshape(d, k * q)
        return np.diag(weights @ self.noise) + scaled @ scaled.T

    def project(self, axes: Array) -> Array:
        loadings = np.swapaxes(self.loadings, 1, 2) @ axes
        projected: Array = np.einsum("di,kd,dj->kij", axes, self.noise, axes, optimize=True)
        return projected + np.swapaxes(loadings, 1, 2) @ loadings

    def average(self, other: Matrices) -> Matrices:
        if not isinstance(other, LowRankMatrices):
            return DenseMatrices((self.dense + other.dense) / 2)
        k = max(len(self.noise), len(other.noise))
        both = [np.broadcast_to(one, (k, *one.shape[1:])) for one in (self.loadings, other.loadings)]
        return LowRankMatrices((self.noise + other.noise) / 2, np.concatenate(both, axis=2) / np.sqrt(2))

    def take_features(self, features: list[int]) -> LowRankMatrices:
        return LowRankMatrices(self.noise[:, features], self.loadings[:, features])

    def given(self, known: list[int], rest: list[int], differences: Array) -> tuple[Array, LowRankMatrices]:
        """Return the means and covariances of features given others: those of the factors, and the noise."""
        projection, factors = self.take_features(known).project_factors()
        seen = np.einsum("kqd,kd->kq", projection, differences)[:, :, None]
        loadings = np.swapaxes(np.linalg.solve(factors, np.swapaxes(self.loadings[:, rest], 1, 2)), 1, 2)
        return (loadings @ seen)[:, :, 0], LowRankMatrices(self.noise[:, rest], loadings)

    def merge(self, first: int, second: NDArray[np.intp], share: Array, between: Array) -> LowRankMatrices:
        """Return the covariances of merged components, of rank 2 q + 1 plus a diagonal: exact."""
        noise = (1 - share)[:, None] * self.noise[first] + share[:, None] * self.noise[second]
        share = share[:, None, None]
        own = np.sqrt(1 - share) * self.loadings[first][None]
        way = np.sqrt(share * (1 - share)) * between[:, :, None]
        return LowRankMatrices(noise, np.concatenate([own, np.sqrt(share) * self.loadings[second], way], axis=2))

    def truncate(self, n_factors: int) -> LowRankMatrices:
        """Return matrices with these diagonals and the main `n_factors` loadings, in units of the noise."""
        with single_threaded():  # the same bits whatever the number of threads
            roots = np.sqrt(self.noise)[:, :, None]
            axes, sizes, _ = np.linalg.svd(self.loadings / roots, full_matrices=False)
        kept = roots * axes[:, :, :n_factors] * sizes[:, None, :n_factors]
        missing = n_factors - kept.shape[2]
        loadings = np.concatenate([kept, np.zeros((*kept.shape[:2], max(missing, 0)))], axis=2)
        return LowRankMatrices(self.diagonals - (loadings**2).sum(axis=2), loadings)


class LowRank:
    """Each component its own loadings and noise."""

    axes: tuple[str, ...] = ("component", "feature", "noise_and_factor")
    stacked = True
    dense = False  # the array holds no matrices

    def __init__(self, name: str, scaled: str, n_factors: int) -> None:
        """Take the names of the family and of that of the same covariances with features scaled."""
        self.name, self.scaled, self.n_factors = name, scaled, n_factors
        self.feature_map: Any = FactorMap(n_factors)

    def shape(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d, 1 + self.n_factors)

    def variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        return _matrices(covariances).diagonals

    def conditional_variances(self, covariances: Array, shape: tuple[int, ...]) -> Array:
        """Return the variances given the features before, by the covariance of the factors given these."""
        noise, loadings = covariances[:, :, 0], covariances[:, :, 1:]
        left, factors = np.empty(shape), np.tile(np.eye(self.n_factors), (shape[0], 1, 1))
        for feature in range(shape[1]):
            seen = np.einsum("kij,kj->ki", factors, loadings[:, feature])
            left[:, feature] = noise[:, feature] + (seen * loadings[:, feature]).sum(axis=1)
            factors -= seen[:, :, None] * seen[:, None, :] / left[:, feature, None, None]
        return left

    def in_frame(self, covariances: Array, shape: tuple[int, ...], frame: Frame) -> LowRankMatrices:
        return LowRankMatrices(covariances[:, :, 0] / frame.scale**2, covariances[:, :, 1:] / frame.scale[:, None])

    def of_matrices(self, matrices: Matrices) -> Array:
        assert isinstance(matrices, LowRankMatrices), "of components of this layout"
        few = matrices.loadings.shape[2] == self.n_factors
        return matrices.values if few else matrices.truncate(self.n_factors).values

    def raise_to(self, covariances: Array, floor: Floor) -> Array:
        raised = covariances.copy()
        raised[:, :, 0] = floor.raise_noise(covariances[:, :, 0])
        return raised

    def of_each_component(self, covariances: Array, k: int) -> Array:
        return covariances

    def gather(self, weights: Array, own: Array) -> Array:
        return own

    def within(self, scatter: Any, frame: Frame) -> Array:
        self._refuse()

    def outer(self, vectors: Array) -> Array:
        self._refuse()

    def reduce(self, covariance: Array) -> Array:
        self._refuse()

    def prior_exponent(self, degrees_of_freedom: float, d: int) -> float:
        self._refuse()

    def prior_scale(self, covariance: Array) -> Array:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ConfigurationError(
            f"covariance_type {self.name} is fitted by maximum likelihood, from its own statistics: leave out priors "
            "and what adds to covariances, or take another covariance_type"
        )


@dataclass(frozen=True, eq=False)
class LowRankFamily:
    """Mixtures of factor analysers with `n_factors` factors; what they share is at most their noise."""

    name: str
    n_factors: int
    noise: FactorNoise
    layout: LowRank
    one_feature: bool = False
    shared: bool = False
    conjugate: bool = False

    @property
    def letters(self) -> str:
        """The name: no letters of mclust's say what it is."""
        return self.name

    @property
    def coupled(self) -> bool:
        return self.noise == "common"

    @property
    def feature_map(self) -> Any:
        return self.layout.feature_map

    @property
    def centred_map(self) -> Any:
        return self.layout.feature_map

    def n_parameters(self, k: int, d: int) -> int:
        """Return the free parameters of the covariances: loadings up to a rotation, and noise.

        There are no more than those of whole covariances, which few features with many factors can all be.
        """
        noise = {"own": k * d, "common": d, "isotropic": k}[self.noise]
        return min(k * self._n_loadings(d) + noise, k * d * (d + 1) // 2)

    def per_component(self, d: int) -> tuple[int, int]:
        """Return with how many rows more than that a component's noise is not 0, and its free parameters."""
        noise = {"own": d, "common": 0, "isotropic": 1}[self.noise]
        return self.n_factors + 1, d + min(self._n_loadings(d) + noise, d * (d + 1) // 2)

    def _n_loadings(self, d: int) -> int:
        """Return the free parameters of a component's loadings: a rotation of the factors changes nothing."""
        q = self.n_factors
        return d * q - q * (q - 1) // 2

    def estimate(
        self, counts: Array, covariances: Array, previous: Array | None = None, floor: Floor | None = None
    ) -> Array:
        """Return the most likely covariances above the floor of the noise, by loadings and own noise (k, d, 1 + q).

        Given the factors the M-step separates by features, so that noise is what they leave, or its mean over those
        that share it, and the constrained maximum is there or at the floor.
        """
        noise = _SHARE_NOISE[self.noise](counts, covariances[:, :, 0])
        shared = np.concatenate([noise[:, :, None], covariances[:, :, 1:]], axis=2)
        if floor is None:
            return shared
        if self.noise == "isotropic":
            shared[:, :, 0] = np.maximum(noise, floor.noise.mean())
            return shared
        return self.layout.raise_to(shared, floor)


def _mean_over_components(counts: Array, noise: Array) -> Array:
    return np.broadcast_to(counts / counts.sum() @ noise, noise.shape)


def _mean_over_features(counts: Array, noise: Array) -> Array:
    return np.broadcast_to(noise.mean(axis=1, keepdims=True), noise.shape)


_SHARE_NOISE: dict[FactorNoise, Callable[[Array, Array], Array]] = {
    "own": lambda counts, noise: noise,
    "common": _mean_over_components,
    "isotropic": _mean_over_features,
}


def low_rank_name(n_factors: int, noise: FactorNoise) -> str:
    """Return the name of the family: low_rank_4, low_rank_4_common, low_rank_4_isotropic."""
    return f"low_rank_{n_factors}" + ("" if noise == "own" else f"_{noise}")


def is_low_rank(name: str) -> bool:
    """Return whether a text is the name of a family of low rank."""
    return re.fullmatch(LOW_RANK_PATTERN, name) is not None


def family_options(name: str) -> dict[str, Any]:
    """Return the options covariance_type, n_factors and factor_noise that ask for the family of a name."""
    if not is_low_rank(name):
        return {"covariance_type": name, "n_factors": None, "factor_noise": "own"}
    family = low_rank_family(name)
    return {"covariance_type": "low_rank", "n_factors": family.n_factors, "factor_noise": family.noise}


@cache
def low_rank_family(name: str) -> LowRankFamily:
    """Return the family of a name; raise KeyError if it is not one of low rank."""
    if not is_low_rank(name):
        raise KeyError(name)
    _, _, number, *rest = name.split("_")
    noise: FactorNoise = "common" if rest == ["common"] else "isotropic" if rest else "own"
    q = int(number)
    scaled = low_rank_name(q, "own" if noise == "isotropic" else noise)
    return LowRankFamily(name, q, noise, LowRank(name, scaled, q))


def from_z(covariances: Array, frame: Frame) -> Array:
    """Return noise and loadings (k, d, 1 + q), given in the frame's coordinates, in the units of the features."""
    scale = frame.scale[:, None]
    return np.concatenate([covariances[:, :, :1] * scale**2, covariances[:, :, 1:] * scale], axis=2)


def _matrices(covariances: Array) -> LowRankMatrices:
    return LowRankMatrices(covariances[:, :, 0], covariances[:, :, 1:])


def _diagonals(matrices: Array) -> Array:
    return np.diagonal(matrices, axis1=1, axis2=2)
