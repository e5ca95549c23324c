"""The mixture: weights, means and covariances as one frozen value, in the units of the features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array
from .covariance import STRUCTURES, CovarianceFamily
from .feature_map import FeatureMap
from .floor import Floor
from .frame import Frame
from .matrices import DiagonalMatrices, Matrices, cholesky
from .noise import N_PARAMETERS, NOISE, Noise


@dataclass(frozen=True, eq=False)
class Mixture:
    """p(x) = sum_k weights_k N(x | means_k, covariances_k), plus weight / V of the noise if there is any.

    weights (k,) and that of the noise sum to 1; a weight of 0 marks an empty component, whose mean and covariance are
    its last ones. means (k, d). covariances by the layout of the covariance_type: (k, d, d), (k, d), (k,), or (d, d)
    for tied and EEE. The M-step leaves means and covariances of the components `frozen` as they are.
    """

    covariance_type: str
    weights: Array
    means: Array
    covariances: Array
    noise: Noise | None = None
    frozen: tuple[int, ...] = ()

    @property
    def n_components(self) -> int:
        return len(self.means)

    @property
    def n_features(self) -> int:
        return int(self.means.shape[1])

    @property
    def structure(self) -> CovarianceFamily:
        return STRUCTURES[self.covariance_type]

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: k - 1 weights, k d means, those of the covariances and of the noise.

        Means and covariances of frozen components are not free.
        """
        (k, d), n_free = self.means.shape, self.n_components - len(self.frozen)
        covariances = self.structure.n_parameters(n_free, d) if n_free else 0
        return int(k - 1 + n_free * d) + covariances + (N_PARAMETERS if self.noise else 0)

    @property
    def feature_map(self) -> FeatureMap:
        """That of the kernel with a shared centre: with noise no quadratic term is common to all rows."""
        return self.structure.feature_map if self.noise is None else self.structure.centred_map

    @property
    def all_weights(self) -> Array:
        """The weights of the components, and last that of the noise if there is any, (k,) or (k + 1,)."""
        return self.weights if self.noise is None else np.append(self.weights, self.noise.weight)

    def weigh(self, all_weights: Array) -> Mixture:
        """Return the mixture with other weights, in the order of `all_weights`; they are scaled to add up to 1."""
        shares = all_weights / all_weights.sum()
        if self.noise is None:
            return replace(self, weights=shares)
        return replace(self, weights=shares[:-1], noise=replace(self.noise, weight=float(shares[-1])))

    @property
    def shares(self) -> Array:
        """The weights of the Gaussians among themselves, (k,): they sum to 1 if there is noise too."""
        return self.weights if self.noise is None else self.weights / self.weights.sum()

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
        """The mixture's own mean and standard deviations: the frame for data whose data summary is not at hand."""
        mean = self.shares @ self.means
        spread = self.variances + (self.means - mean) ** 2
        return Frame.from_variance(mean, self.shares @ spread)

    def take(self, components: Sequence[int] | NDArray[np.intp]) -> Mixture:
        """Return some components as a mixture of their own, without noise, whose weights add up to 1.

        They are equal if all of these components are empty.
        """
        own, weights = list(components), self.weights[list(components)]
        if not weights.any():
            weights = np.ones(len(own))
        covariances = self.covariances[own] if self.structure.layout.stacked else self.covariances
        return Mixture(self.covariance_type, weights / weights.sum(), self.means[own], covariances)

    def reorder(self, components: NDArray[np.intp]) -> Mixture:
        """Return the mixture with all of its components in another order, frozen ones as such."""
        covariances = self.covariances[components] if self.structure.layout.stacked else self.covariances
        frozen = tuple(np.flatnonzero(np.isin(components, self.frozen)).tolist())
        return replace(
            self,
            weights=self.weights[components],
            means=self.means[components],
            covariances=covariances,
            frozen=frozen,
        )

    def replace(self, changes: Iterable[tuple[Sequence[int], Mixture]]) -> Mixture:
        """Return the mixture with components replaced by those of others, which share their weights and come last.

        A covariance that all components share stays; of others, what the components of the family have in common is
        estimated from all of them.
        """
        groups, others = zip(*changes, strict=True)
        gone = [component for group in groups for component in group]
        kept = replace(self, frozen=self._frozen_without(gone))
        shares = [self.weights[list(group)].sum() for group in groups]

        def join(own: Array, new: Iterable[Array]) -> Array:
            return np.concatenate([np.delete(own, gone, axis=0), *new])

        weights = join(self.weights, [share * other.weights for share, other in zip(shares, others, strict=True)])
        means = join(self.means, [other.means for other in others])
        if self.structure.shared:
            return replace(kept, weights=weights, means=means, covariances=self._same(len(means)))
        covariances = join(self.covariances, [one.covariances for one in others])
        return project(replace(kept, weights=weights, means=means, covariances=covariances))

    def _frozen_without(self, gone: Sequence[int]) -> tuple[int, ...]:
        """Return the numbers of the frozen components after some are gone, of which none may be frozen."""
        return tuple(one - sum(other < one for other in gone) for one in self.frozen if one not in gone)

    def _same(self, k: int) -> Array:
        """Return the covariances of k components that share theirs."""
        if not self.structure.layout.stacked:
            return self.covariances
        return np.repeat(self.covariances[:1], k, axis=0)

    def scale(self, frame: Frame) -> Mixture:
        """Return the mixture of rows in the coordinates of a frame, as one of scikit-learn's covariance types."""
        structure = STRUCTURES[self.structure.layout.scaled]
        covariances = structure.layout.of_matrices(self.matrices(frame))
        noise = None if self.noise is None else self.noise.scale(frame)
        return Mixture(structure.name, self.weights, frame.to_z(self.means), covariances, noise, self.frozen)

    def with_whole_matrices(self) -> Mixture:
        """Return the mixture as one of scikit-learn's covariance types: covariances of low rank as matrices (d, d)."""
        if not self.structure.layout.n_factors:
            return self
        return Mixture("full", self.weights, self.means, self.matrices().dense)

    def merge(self, first: int, second: int) -> Mixture:
        """Return the mixture with a component merged into another, with the moments of both; a shared covariance stays.

        The component `second` is gone; those behind it move up.
        """
        share, between = self.share(first, np.array([second])), self.means[second] - self.means[first]
        kept = np.delete(np.arange(self.n_components), second)
        weights, means = self.weights.copy(), self.means.copy()
        left = replace(self, frozen=self._frozen_without([second]))
        weights[first] += weights[second]
        means[first] += share[0] * between
        if self.structure.shared:
            return replace(left, weights=weights[kept], means=means[kept], covariances=self._same(len(kept)))
        together = self.matrices().merge(first, np.array([second]), share, between[None])
        covariances = self.covariances.copy()
        covariances[first] = self.structure.layout.of_matrices(together)[0]
        return project(replace(left, weights=weights[kept], means=means[kept], covariances=covariances[kept]))

    def share(self, first: int, second: NDArray[np.intp]) -> Array:
        """Return the part that other components (m,) have of the weight of each together with a first one, (m,)."""
        weight = self.weights[first] + self.weights[second]
        share: Array = self.weights[second] / np.maximum(weight, np.finfo(float).tiny)
        return share

    def sample(self, n_samples: int, random_state: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
        """Return rows (n_samples, d) drawn from the mixture, in order of component, and their components.

        Rows of the noise come last and have the label -1; raises ConfigurationError if its box is not known.
        """
        k, weights = self.n_components, self.all_weights
        counts = random_state.multinomial(n_samples, weights / weights.sum())
        labels = np.repeat(np.arange(k), counts[:k])
        rows = self._sample_components(labels, random_state)
        if self.noise is None:
            return rows, labels
        uniform = self.noise.sample(counts[k], random_state)
        return np.concatenate([rows, uniform]), np.append(labels, np.full(len(uniform), NOISE))

    def _sample_components(self, labels: NDArray[np.int64], random_state: np.random.Generator) -> Array:
        normal = random_state.standard_normal((len(labels), self.n_features))
        matrices = self.matrices()
        if isinstance(matrices, DiagonalMatrices):
            scaled: Array = np.sqrt(matrices.values)[labels] * normal
            return self.means[labels] + scaled
        for component in range(self.n_components):
            factor = cholesky(matrices[component : component + 1].dense)[0]
            normal[labels == component] @= factor.T
        drawn: Array = self.means[labels] + normal
        return drawn


def merge_pairs(mixture: Mixture, pairs: Sequence[tuple[int, int]]) -> Mixture:
    """Return pairs of components, in rising order, each merged into one with the moments of both.

    Their weights are in proportion to those of the pairs; a covariance that all components share stays.
    """
    first, second = np.array(pairs).T
    between, weights = mixture.means[second] - mixture.means[first], mixture.weights[first] + mixture.weights[second]
    weights = np.maximum(weights, np.finfo(float).tiny)
    share = mixture.weights[second] / weights
    means, weights = mixture.means[first] + share[:, None] * between, weights / weights.sum()
    if mixture.structure.shared:
        return Mixture(mixture.covariance_type, weights, means, mixture._same(len(pairs)))
    matrices, layout = mixture.matrices(), mixture.structure.layout
    together = [
        layout.of_matrices(matrices.merge(int(one), second[first == one], share[first == one], between[first == one]))
        for one in np.unique(first)
    ]
    return Mixture(mixture.covariance_type, weights, means, np.concatenate(together))


def project(mixture: Mixture, floor: Floor | None = None) -> Mixture:
    """Return the mixture with covariances of its family above the floor: the estimate from those that it has.

    Frozen components keep theirs.
    """
    covariances = mixture.structure.estimate(mixture.weights, mixture.covariances, mixture.covariances, floor)
    return hold(replace(mixture, covariances=covariances), mixture)


def hold(mixture: Mixture, before: Mixture) -> Mixture:
    """Return the mixture with the means and covariances that its frozen components had before."""
    frozen = list(mixture.frozen)
    if not frozen:
        return mixture
    if len(frozen) == mixture.n_components:
        return replace(mixture, means=before.means, covariances=before.covariances)
    means, covariances = mixture.means.copy(), mixture.covariances.copy()
    means[frozen], covariances[frozen] = before.means[frozen], before.covariances[frozen]
    return replace(mixture, means=means, covariances=covariances)


def check_parts(mixture: Mixture) -> None:
    """Raise ValueError unless noise and frozen components, read from a file, are those of such a mixture."""
    k, d, noise = mixture.n_components, mixture.n_features, mixture.noise
    if mixture.frozen != tuple(sorted({one for one in mixture.frozen if 0 <= one < k})):
        raise ValueError(f"frozen {mixture.frozen!r:.100} are not rising numbers of {k} components")
    if noise is None:
        return
    if not (0 <= noise.weight <= 1 and np.isfinite(noise.log_volume)):
        raise ValueError(f"the noise has the weight {noise.weight} and the log-volume {noise.log_volume}")
    if noise.box is not None and (np.shape(noise.box) != (2, d) or not np.less(*noise.box).all()):
        raise ValueError(f"the box of the noise is not the corners of one of {d} features")
