"""Conjugate priors, and the maximum a posteriori under them.

The prior of a mean and a covariance is Normal and inverse Wishart,

    mu_k | Sigma_k ~ N(m, Sigma_k / kappa)        Sigma_k ~ inverse Wishart(nu, Lambda),

so it counts as kappa rows at m and a scatter Lambda that are added to the statistics (Fraley and Raftery 2007,
Bayesian regularization for normal mixture estimation and model-based clustering, Journal of Classification 24).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays.types import Array, for_each
from ..mixture.covariance import CovarianceFamily
from ..mixture.data_summary import DataSummary
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..mixture.moments import ComponentMoments, quadratic_terms, trace_products
from ..mixture.statistics import Statistics
from .m_step import component_moments

_NULL_DIRECTION = 1e-12  # share of the variance of standardised columns: below it no rows differ
_RIDGE = 1e-6  # of the variances


@dataclass(frozen=True, eq=False)
class NormalWishart:
    """The prior of the mean and the covariance of a component, which all components have."""

    mean_precision: float  # kappa: how many rows the prior of a mean counts as
    mean: Array  # m (d,)
    degrees_of_freedom: float  # nu
    scale: Array  # Lambda, what the layout keeps of it: (d, d), (d,), or () as its mean over the features

    def pseudo_moments(self, mixture: Mixture) -> ComponentMoments:
        """Return the pseudo-statistics of the prior of a mean: kappa rows at m for each component."""
        k, layout = mixture.n_components, mixture.structure.layout
        own = np.zeros((k, *self.scale.shape))
        counts = np.full(k, self.mean_precision)
        means = np.broadcast_to(self.mean, mixture.means.shape)
        return ComponentMoments(layout, counts, means, layout.gather(counts, own))


@dataclass(frozen=True, eq=False)
class PriorValues:
    """A prior whose values depend on the model, for rows of a data summary; None takes mclust's default."""

    data_summary: DataSummary
    weight_concentration: float | None = None  # alpha of a Dirichlet distribution of the weights; 1 is flat
    mean_precision: float | None = None  # kappa, 0.01
    mean: Array | None = None  # (d,), the mean of all rows
    degrees_of_freedom: float | None = None  # nu, d + 2
    covariance: Array | None = None  # Lambda (d, d); the covariance of all rows over k^(2 / d)

    def of(self, mixture: Mixture) -> NormalWishart:
        """Return the values for the mixture's number of components and its family."""
        k, d = mixture.means.shape
        return NormalWishart(
            0.01 if self.mean_precision is None else self.mean_precision,
            self.data_summary.mean if self.mean is None else self.mean,
            d + 2.0 if self.degrees_of_freedom is None else self.degrees_of_freedom,
            self._scale(mixture.structure, k, d),
        )

    def _scale(self, family: CovarianceFamily, k: int, d: int) -> Array:
        if self.covariance is not None:
            return family.layout.prior_scale(self.covariance)
        covariance = sample_covariance(self.data_summary) / k ** (2 / d)
        if not family.layout.dense:  # as mclust has it: one number for all features
            covariance = np.diag(np.full(d, np.diagonal(covariance).mean()))
        return family.layout.prior_scale(covariance)


def sample_covariance(data_summary: DataSummary) -> Array:
    """Return the covariance of all rows with the divisor N - 1, (d, d); N for weights that sum to less than 2.

    Where rows do not differ in some direction it gets `_RIDGE` of the variances, since a prior needs a width there. If
    values are missing, the divisors are those of the rows that have a value in each column.
    """
    covariance: Array = data_summary.scatter / _divisors(data_summary)
    scale = data_summary.frame.scale
    if np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0] < _NULL_DIRECTION:
        covariance = covariance + np.diag(_RIDGE * scale**2)
    return covariance


def _divisors(data_summary: DataSummary) -> Array:
    """Return by what the entries of the scatter are divided, a number or (d, d)."""
    weights = data_summary.column_weights if data_summary.has_gaps else np.array([data_summary.weight_sum])
    root = np.sqrt(weights - np.where(weights >= 2, 1.0, 0.0))
    return np.outer(root, root) if data_summary.has_gaps else weights - np.where(weights >= 2, 1.0, 0.0)


@dataclass(frozen=True, eq=False)
class MaximumAPosteriori:
    """The mixture of the largest posterior density, up to the constants of the prior.

    EM raises (log L + log prior) / N. With D_k = N_k + 1 + e, the M-step takes for each component

        mu_k = (N_k xbar_k + kappa m) / (N_k + kappa)
        Sigma_k = (N_k S_k + kappa N_k / (N_k + kappa) (xbar_k - m)(xbar_k - m)^T + Lambda) / D_k

    where e, the exponent of |Sigma_k|^(-1/2) in the prior, is nu + d + 1 for dense covariances, nu + 2 for diagonal and
    (nu + 2) / d for spherical ones. Where all components share their covariance, there is one prior of it. Families
    that have parts in common are estimated from these Sigma_k and D_k.

    Statistics of some rows only are scaled to the weight of all, so that the prior counts for its share of them.
    """

    prior: PriorValues

    regularised = True
    moves_components = True

    def natural_parameters(self, mixture: Mixture) -> Mixture:
        return mixture

    def estimate(self, mixture: Mixture, moments: ComponentMoments, floor: Floor | None) -> Mixture:
        """Return the mode of the posterior of rows with these moments."""
        prior, family = self.prior.of(mixture), mixture.structure
        total, share = moments + prior.pseudo_moments(mixture), self._prior_share(mixture)
        divisors = moments.counts + self._exponents(prior, mixture)
        own = (total.scatter + share * prior.scale) / for_each(divisors, total.own)
        covariances = family.layout.gather(divisors, own)
        covariances = family.estimate(divisors, covariances, mixture.covariances, floor)
        weights = np.maximum(moments.counts + self._extra_counts, 0.0)
        means = np.where((total.counts > 0)[:, None], total.means, mixture.means)
        return Mixture(mixture.covariance_type, weights / weights.sum(), means, covariances)

    def maximize(
        self, mixture: Mixture, statistics: Statistics, data_summary: DataSummary, floor: Floor | None = None
    ) -> Mixture:
        moments = component_moments(mixture, statistics, data_summary)
        return self.estimate(mixture, moments.scale(self.prior.data_summary.weight_sum / statistics.weight_sum), floor)

    def objective(self, mixture: Mixture, statistics: Statistics) -> float:
        return statistics.mean_log_likelihood + self.log_prior(mixture) / self.prior.data_summary.weight_sum

    def penalty(self, mixture: Mixture) -> float:
        return self.log_prior(mixture)

    def log_prior(self, mixture: Mixture) -> float:
        """Return the logarithm of the prior density of a mixture without its constants, in nats."""
        prior = self.prior.of(mixture)
        zero = np.zeros((mixture.n_components, *prior.scale.shape))
        centred = quadratic_terms(mixture, mixture.means, zero)  # log determinants
        means = np.broadcast_to(prior.mean, mixture.means.shape)
        squares = quadratic_terms(mixture, means, zero) - centred
        precisions = mixture.matrices().whiten()[0].gram().values
        scale = np.broadcast_to(self._prior_share(mixture) * prior.scale, (len(means), *prior.scale.shape))
        traces = trace_products(precisions, scale) + prior.mean_precision * squares
        level = -(self._exponents(prior, mixture) @ centred + traces.sum()) / 2
        if self._extra_counts:
            with np.errstate(divide="ignore"):
                level += self._extra_counts * np.log(mixture.weights).sum()
        return float(level)

    def plug_in(self, mixture: Mixture) -> Mixture:
        return mixture

    @property
    def _extra_counts(self) -> float:
        """The rows that the prior of the weights adds to each component, alpha - 1."""
        alpha = self.prior.weight_concentration
        return 0.0 if alpha is None else alpha - 1.0

    def _prior_share(self, mixture: Mixture) -> float:
        """Return the share of a covariance's prior for each component: one of k if they share it."""
        return 1.0 / mixture.n_components if mixture.structure.shared else 1.0

    def _exponents(self, prior: NormalWishart, mixture: Mixture) -> Array:
        """Return 1 + e, what the prior adds to N_k as the exponent of |Sigma_k|^(-1/2), (k,)."""
        exponent = mixture.structure.layout.prior_exponent(prior.degrees_of_freedom, mixture.n_features)
        return np.full(mixture.n_components, (prior.mean_precision > 0) + self._prior_share(mixture) * exponent)
