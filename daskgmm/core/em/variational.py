"""Variational Bayes: posteriors in place of parameters, with a Dirichlet distribution or process of the weights.

The posterior is q(v) prod_k N(mu_k | m_k, (beta_k Lambda_k)^-1) W(Lambda_k | nu_k, W_k). Given counts N_k, all of it
but m_k and W_k follows from the prior, so a mixture with the weights N_k / N, the means m_k and the covariances
(nu_k W_k)^-1 is the whole posterior: the state of a fit. The E-step is that of the mixture with the log weights

    E[log pi_k] + (E[log det Lambda_k] + log det Sigma_k) / 2 - d / (2 beta_k),

and the evidence lower bound is its log-likelihood less the divergence of the posterior from the prior (Bishop 2006,
Pattern Recognition and Machine Learning, 10.2, equations 10.70-10.77; Blei and Jordan 2006, Bayesian Analysis 1).

The model is the one of full covariances for all covariance types: the others restrict the posterior, to W_k that are
diagonal or isotropic, or to one nu and W for all components. Of these restricted posteriors the update is the nearest
one, which is what scikit-learn computes; and their bounds can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import betaln, digamma, gammaln, multigammaln

from ..arrays.types import Array, for_each
from ..mixture.data_summary import DataSummary
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..mixture.moments import ComponentMoments, quadratic_terms, trace_products
from ..mixture.statistics import Statistics
from .m_step import component_moments
from .priors import NormalWishart, sample_covariance

WeightPrior = Literal["dirichlet_process", "dirichlet_distribution"]


class WeightPosterior(NamedTuple):
    """What a posterior of the weights is used for."""

    concentration: tuple[Array, ...]  # parameters, each (k,), as scikit-learn has them
    expected_logs: Array  # E[log pi_k], (k,)
    means: Array  # E[pi_k], (k,), which sum to 1
    divergence: float  # of the posterior from the prior, in nats


def dirichlet_distribution(counts: Array, alpha: float) -> WeightPosterior:
    """Return the Dirichlet posterior of weights from counts (k,) and the prior's concentration alpha of each."""
    own, k = counts + alpha, len(counts)
    logs = digamma(own) - digamma(own.sum())
    divergence = gammaln(own.sum()) - gammaln(k * alpha) - (gammaln(own) - gammaln(alpha)).sum() + counts @ logs
    return WeightPosterior((own,), logs, own / own.sum(), float(divergence))


def dirichlet_process(counts: Array, gamma: float) -> WeightPosterior:
    """Return the posterior of the sticks of a Dirichlet process, truncated at k, from counts (k,) and concentration."""
    later = np.concatenate([np.cumsum(counts[::-1])[-2::-1], [0.0]])
    first, second = 1.0 + counts, gamma + later
    total = digamma(first + second)
    logs, left = digamma(first) - total, digamma(second) - total
    divergence = betaln(1.0, gamma) - betaln(first, second) + counts * logs + later * left
    rest = np.concatenate([[1.0], np.cumprod(second / (first + second))[:-1]])
    means = first / (first + second) * rest
    expected = logs + np.concatenate([[0.0], np.cumsum(left)[:-1]])
    return WeightPosterior((first, second), expected, means / means.sum(), float(divergence.sum()))


WEIGHT_PRIORS: dict[str, Callable[[Array, float], WeightPosterior]] = {
    "dirichlet_process": dirichlet_process,
    "dirichlet_distribution": dirichlet_distribution,
}


@dataclass(frozen=True, eq=False)
class VariationalPrior:
    """The prior of all parameters, for rows of a data summary; None takes scikit-learn's default."""

    data_summary: DataSummary
    weights: WeightPrior = "dirichlet_process"
    weight_concentration: float | None = None  # 1 / k
    mean_precision: float | None = None  # beta, 1
    mean: Array | None = None  # (d,), the mean of all rows
    degrees_of_freedom: float | None = None  # nu, d
    covariance: Array | None = None  # inverse of W, (d, d): the covariance of all rows

    def of(self, mixture: Mixture) -> NormalWishart:
        """Return the values for the mixture's family."""
        covariance = sample_covariance(self.data_summary) if self.covariance is None else self.covariance
        return NormalWishart(
            1.0 if self.mean_precision is None else self.mean_precision,
            self.data_summary.mean if self.mean is None else self.mean,
            float(mixture.n_features) if self.degrees_of_freedom is None else self.degrees_of_freedom,
            mixture.structure.layout.reduce(covariance),
        )

    def concentration(self, n_components: int) -> float:
        """Return the concentration of the weights."""
        return 1.0 / n_components if self.weight_concentration is None else self.weight_concentration


@dataclass(frozen=True, eq=False)
class Posterior:
    """The posterior of all parameters, as scikit-learn names them; m_k and (nu_k W_k)^-1 are those of the mixture."""

    shares: Array  # N_k / N, (k,)
    weight_concentration: tuple[Array, ...]  # alpha of a Dirichlet distribution, or both parameters of the sticks
    mean_precision: Array  # beta_k (k,)
    degrees_of_freedom: Array  # nu_k (k,)

    def n_in_use(self, weight_sum: float) -> int:
        """Return the number of components with at least one of all rows, which weigh `weight_sum`."""
        return int((self.shares * weight_sum >= 1).sum())

    def state(self, mixture: Mixture) -> Mixture:
        """Return the state of a fit of which this is the posterior, and `mixture` has the means."""
        return replace(mixture, weights=self.shares)


@dataclass(frozen=True, eq=False)
class Variational:
    """The posterior that is nearest to the true one among those that factorise.

    Statistics of some rows only are scaled to the weight of all.
    """

    prior: VariationalPrior

    regularised = True
    moves_components = False

    def natural_parameters(self, mixture: Mixture) -> Mixture:
        """Return the mixture whose E-step takes expectations under the posterior; its weights sum to less than 1."""
        own, d = self.posterior(mixture), mixture.n_features
        logs = self._weights(mixture).expected_logs
        logs = logs + (_log_det_terms(own.degrees_of_freedom, d) - d / own.mean_precision) / 2
        return replace(mixture, weights=np.exp(logs))

    def estimate(self, mixture: Mixture, moments: ComponentMoments, floor: Floor | None) -> Mixture:
        """Return the posterior of rows with these moments."""
        prior, layout = self.prior.of(mixture), mixture.structure.layout
        total, equal = moments + prior.pseudo_moments(mixture), np.ones(mixture.n_components)
        scatter = total.scatter + prior.scale
        freedom = self._degrees_of_freedom(moments.counts, prior, layout.stacked)
        own = scatter / for_each(freedom, scatter)
        covariances = layout.gather(equal, own)
        covariances = covariances if floor is None else layout.raise_to(covariances, floor)
        return Mixture(mixture.covariance_type, moments.counts / moments.weight_sum, total.means, covariances)

    def maximize(
        self, mixture: Mixture, statistics: Statistics, data_summary: DataSummary, floor: Floor | None = None
    ) -> Mixture:
        moments = component_moments(mixture, statistics, data_summary)
        return self.estimate(mixture, moments.scale(self._weight_sum / statistics.weight_sum), floor)

    def objective(self, mixture: Mixture, statistics: Statistics) -> float:
        return statistics.mean_log_likelihood - self.divergence(mixture) / self._weight_sum

    def penalty(self, mixture: Mixture) -> float:
        return -self.divergence(mixture)

    def divergence(self, mixture: Mixture) -> float:
        """Return the divergence KL(q || prior) of the posterior, in nats."""
        prior, own, d = self.prior.of(mixture), self.posterior(mixture), mixture.n_features
        beta, nu, nu_0 = own.mean_precision, own.degrees_of_freedom, prior.degrees_of_freedom
        zero = np.zeros((mixture.n_components, *prior.scale.shape))
        log_det = quadratic_terms(mixture, mixture.means, zero)
        squares = quadratic_terms(mixture, np.broadcast_to(prior.mean, mixture.means.shape), zero) - log_det
        precisions = mixture.matrices().whiten()[0].gram().values
        traces = trace_products(precisions, np.broadcast_to(prior.scale, zero.shape))
        ratio = prior.mean_precision / beta
        of_means = (d * (ratio - 1 - np.log(ratio)) + prior.mean_precision * squares) / 2
        log_det_w = -log_det - d * np.log(nu)
        log_det_w_0 = -_with_covariance(mixture, prior.scale).matrices().log_det()
        expected = _log_det_terms(nu, d) - log_det  # E[log det Lambda]
        of_precisions = (
            _log_normaliser(nu, log_det_w, d)
            - _log_normaliser(nu_0, log_det_w_0, d)
            + ((nu - nu_0) * expected - nu * d + traces) / 2
        )
        return float(self._weights(mixture).divergence + (of_means + of_precisions).sum())

    def posterior(self, mixture: Mixture) -> Posterior:
        """Return the posterior of which the mixture is the state."""
        prior, counts = self.prior.of(mixture), mixture.weights * self._weight_sum
        freedom = self._degrees_of_freedom(counts, prior, mixture.structure.layout.stacked)
        concentration = self._weights(mixture).concentration
        return Posterior(mixture.weights, concentration, prior.mean_precision + counts, freedom)

    def plug_in(self, mixture: Mixture) -> Mixture:
        return replace(mixture, weights=self._weights(mixture).means)

    def _weights(self, mixture: Mixture) -> WeightPosterior:
        counts = mixture.weights * self._weight_sum
        return WEIGHT_PRIORS[self.prior.weights](counts, self.prior.concentration(len(counts)))

    @property
    def _weight_sum(self) -> float:
        return self.prior.data_summary.weight_sum

    def _degrees_of_freedom(self, counts: Array, prior: NormalWishart, own: bool) -> Array:
        """Return nu_k, (k,): the mean over the components unless each has its own."""
        return prior.degrees_of_freedom + (counts if own else np.full(len(counts), counts.mean()))


def _log_det_terms(degrees_of_freedom: Array, d: int) -> Array:
    """Return E[log det Lambda] + log det Sigma of Wishart distributions with mean Sigma^-1, (k,)."""
    halves = (degrees_of_freedom[:, None] - np.arange(d)) / 2
    terms: Array = digamma(halves).sum(axis=1) + d * (np.log(2) - np.log(degrees_of_freedom))
    return terms


def _log_normaliser(nu: Array | float, log_det_w: Array | float, d: int) -> Array:
    """Return log B(W, nu) of Wishart distributions (Bishop 2006, B.79)."""
    return np.asarray(-(nu * log_det_w + nu * d * np.log(2)) / 2 - multigammaln(np.asarray(nu) / 2, d))


def _with_covariance(mixture: Mixture, covariance: Array) -> Mixture:
    """Return the mixture with the same covariance for all components."""
    k = mixture.n_components
    own = np.broadcast_to(covariance, (k, *covariance.shape))
    return replace(mixture, covariances=mixture.structure.layout.gather(np.ones(k), own))
