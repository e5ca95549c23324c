"""The mixture: weights, means and covariances as one frozen value, in the units of the features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array
from .covariance import STRUCTURES, Family
from .floor import Floor
from .frame import Frame
from .matrices import DiagonalMatrices, Matrices, cholesky


@dataclass(frozen=True, eq=False)
class Mixture:
    """p(x) = sum_k weights_k N(x | means_k, covariances_k).

    weights (k,) sum to 1; a weight of 0 marks an empty component, whose mean and covariance are its last ones.
    means (k, d). covariances by the layout of the covariance_type: (k, d, d), (k, d), (k,), or (d, d) for tied and EEE.
    """

    covariance_type: str
    weights: Array
    means: Array
    covariances: Array

    @property
    def n_components(self) -> int:
        return len(self.means)

    @property
    def n_features(self) -> int:
        return int(self.means.shape[1])

    @property
    def structure(self) -> Family:
        return STRUCTURES[self.covariance_type]

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: k - 1 weights, k d means and those of the covariances."""
        k, d = self.means.shape
        return int(k - 1 + k * d) + self.structure.n_parameters(k, d)

    @property
    def empty(self) -> tuple[int, ...]:
        """The numbers of the components without any row."""
        return tuple(int(c) for c in np.flatnonzero(self.weights == 0))

    @property
    def variances(self) -> Array:
        """The variance of each feature in each component, (k, d)."""
        return self.structure.layout.variances(self.covariances, self.means.shape)

    def matrices(self, frame: Frame | None = None) -> Matrices:
        """Return the covariance of each component, in the coordinates of a frame if one is given."""
        d = self.n_features
        frame = Frame(np.zeros(d), np.ones(d)) if frame is None else frame
        with np.errstate(over="ignore"):  # what is not finite is refused where it is factored
            return self.structure.layout.in_frame(self.covariances, self.means.shape, frame)

    @property
    def frame(self) -> Frame:
        """The mixture's own mean and standard deviations: the frame for data whose survey is not at hand."""
        mean = self.weights @ self.means
        spread = self.variances + (self.means - mean) ** 2
        return Frame.from_variance(mean, self.weights @ spread)

    def take(self, components: Sequence[int] | NDArray[np.intp]) -> Mixture:
        """Return some components as a mixture of their own, whose weights add up to 1."""
        own, weights = list(components), self.weights[list(components)]
        covariances = self.covariances[own] if self.structure.layout.stacked else self.covariances
        return Mixture(self.covariance_type, weights / weights.sum(), self.means[own], covariances)

    def replace(self, changes: Iterable[tuple[Sequence[int], Mixture]]) -> Mixture:
        """Return the mixture with components replaced by those of others, which share their weights and come last.

        A covariance that all components share stays; of others, what the components of the family have in common is
        estimated from all of them.
        """
        groups, others = zip(*changes, strict=True)
        gone = [component for group in groups for component in group]
        shares = [self.weights[list(group)].sum() for group in groups]

        def join(own: Array, new: Iterable[Array]) -> Array:
            return np.concatenate([np.delete(own, gone, axis=0), *new])

        weights = join(self.weights, [share * other.weights for share, other in zip(shares, others, strict=True)])
        means = join(self.means, [other.means for other in others])
        if self.structure.shared:
            return Mixture(self.covariance_type, weights, means, self._same(len(means)))
        covariances = join(self.covariances, [one.covariances for one in others])
        return project(Mixture(self.covariance_type, weights, means, covariances))

    def _same(self, k: int) -> Array:
        """Return the covariances of k components that share theirs."""
        if not self.structure.layout.stacked:
            return self.covariances
        return np.repeat(self.covariances[:1], k, axis=0)

    def scale(self, frame: Frame) -> Mixture:
        """Return the mixture of rows in the coordinates of a frame, as one of scikit-learn's covariance types."""
        structure = STRUCTURES[self.structure.layout.scaled]
        covariances = structure.layout.of_matrices(self.matrices(frame))
        return Mixture(structure.name, self.weights, frame.to_z(self.means), covariances)

    def merge(self, first: int, second: int) -> Mixture:
        """Return the mixture with a component merged into another, with the moments of both; a shared covariance stays.

        The component `second` is gone; those behind it move up.
        """
        share, between = self.share(first, np.array([second])), self.means[second] - self.means[first]
        kept = np.delete(np.arange(self.n_components), second)
        weights, means = self.weights.copy(), self.means.copy()
        weights[first] += weights[second]
        means[first] += share[0] * between
        if self.structure.shared:
            return Mixture(self.covariance_type, weights[kept], means[kept], self._same(len(kept)))
        together = self.matrices().merge(first, np.array([second]), share, between[None])
        covariances = self.covariances.copy()
        covariances[first] = self.structure.layout.of_matrices(together)[0]
        return project(Mixture(self.covariance_type, weights[kept], means[kept], covariances[kept]))

    def share(self, first: int, second: NDArray[np.intp]) -> Array:
        """Return the part that other components (m,) have of the weight of each together with a first one, (m,)."""
        weight = self.weights[first] + self.weights[second]
        share: Array = self.weights[second] / np.maximum(weight, np.finfo(float).tiny)
        return share

    def sample(self, n_samples: int, random_state: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
        """Return rows (n_samples, d) drawn from the mixture, in order of component, and their components."""
        counts = random_state.multinomial(n_samples, self.weights / self.weights.sum())
        labels = np.repeat(np.arange(self.n_components), counts)
        noise = random_state.standard_normal((n_samples, self.n_features))
        matrices = self.matrices()
        if isinstance(matrices, DiagonalMatrices):
            return self.means[labels] + np.sqrt(matrices.values)[labels] * noise, labels
        for component, factor in enumerate(cholesky(matrices.dense)):
            noise[labels == component] @= factor.T
        return self.means[labels] + noise, labels


def project(mixture: Mixture, floor: Floor | None = None) -> Mixture:
    """Return the mixture with covariances of its family above the floor: the estimate from those that it has."""
    covariances = mixture.structure.estimate(mixture.weights, mixture.covariances, mixture.covariances, floor)
    return replace(mixture, covariances=covariances)
