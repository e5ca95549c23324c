"""Count, mean and covariance of each component: the statistics of a pass in the units of the features.

They are what pseudo-statistics are added to: a prior, or the statistics of rows that were seen before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array, for_each
from .layouts import Layout
from .mixture import Mixture


@dataclass(frozen=True, eq=False)
class ComponentMoments:
    """The moments of the rows of each component; they merge by `+`, as the statistics do."""

    layout: Layout
    counts: Array  # (k,), N_k = sum_n r_nk; 0 for a component without rows
    means: Array  # (k, d)
    covariances: Array  # about the means, in the layout: pooled over the components if they share one
    noise_count: float = 0.0  # of the noise, if there is any

    @property
    def weight_sum(self) -> float:
        """Weight of all rows, those of the noise too."""
        return float(self.counts.sum()) + self.noise_count

    @property
    def own(self) -> Array:
        """Covariance of each component, (k, ...)."""
        return self.layout.of_each_component(self.covariances, len(self.counts))

    @property
    def scatter(self) -> Array:
        """N_k times the covariance of each component, (k, ...)."""
        product: Array = for_each(self.counts, self.own) * self.own
        return product

    def scale(self, factor: float) -> ComponentMoments:
        """Return the moments of rows of `factor` times the weights."""
        if factor == 1:
            return self
        return replace(self, counts=factor * self.counts, noise_count=factor * self.noise_count)

    def take(self, components: NDArray[np.intp]) -> ComponentMoments:
        """Return the moments of the components in another order."""
        covariances = self.covariances[components] if self.layout.stacked else self.covariances
        return replace(self, counts=self.counts[components], means=self.means[components], covariances=covariances)

    def __add__(self, other: ComponentMoments) -> ComponentMoments:
        """Return the moments of both, component by component (Chan, Golub and LeVeque 1979)."""
        counts = self.counts + other.counts
        safe = np.where(counts > 0, counts, 1.0)
        share, way = other.counts / safe, other.means - self.means
        scatter = self.scatter + other.scatter
        scatter = scatter + for_each(self.counts * share, scatter) * self.layout.outer(way)
        own = np.where(for_each(counts > 0, scatter), scatter / for_each(safe, scatter), self.own)
        covariances = self.layout.gather(counts, own)
        noise_count = self.noise_count + other.noise_count
        return ComponentMoments(self.layout, counts, self.means + share[:, None] * way, covariances, noise_count)


def expected_log_joint(mixture: Mixture, moments: ComponentMoments) -> Array:
    """Return sum_n r_nk log(w_k N(x_n | k)) of rows with these moments under a mixture, for each component, (k,)."""
    d = mixture.n_features
    used = moments.counts > 0
    with np.errstate(divide="ignore"):
        log_weights = np.where(used, np.log(np.where(used, mixture.weights, 1.0)), 0.0)
    levels = log_weights - (d * np.log(2 * np.pi) + quadratic_terms(mixture, moments.means, moments.own)) / 2
    return np.where(used, moments.counts * levels, 0.0)


def expected_log_likelihood(mixture: Mixture, moments: ComponentMoments) -> float:
    """Return sum_nk r_nk log(w_k N(x_n | k)) of rows with these moments under a mixture, in nats, the noise included.

    Of missing values the noise has the density of the whole box: that of the observed columns is a constant beside it.
    """
    level = float(expected_log_joint(mixture, moments).sum())
    if mixture.noise is None or moments.noise_count == 0:
        return level
    return level + moments.noise_count * mixture.noise.log_constant


def quadratic_terms(mixture: Mixture, means: Array, own: Array) -> Array:
    """Return log det Sigma_k + tr(Sigma_k^-1 (S_k + d_k d_k^T)), d_k from the mean of k to `means` (k, d), (k,).

    `own` holds S_k as the mixture's layout keeps it, (k, ...).
    """
    whitening, log_det = mixture.matrices().whiten()
    outer = mixture.structure.layout.outer(means - mixture.means)
    return np.asarray(log_det + trace_products(whitening.gram().values, own + outer))


def trace_products(precisions: Array, own: Array) -> Array:
    """Return tr(P_k S_k), (k,), of precisions (k, d, d) or (k, d) and S_k (k, d, d), (k, d), or means of them (k,)."""
    k = len(precisions)
    products: Array = precisions.reshape(k, -1) * own.reshape(len(own), -1)
    traces: Array = products.sum(axis=1)
    return traces
