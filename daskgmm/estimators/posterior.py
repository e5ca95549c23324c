"""The posterior of a fitted mixture as attributes of an estimator."""

from __future__ import annotations

from typing import Any

from ..core.em.variational import Posterior, Variational
from ..core.mixture.mixture import Mixture


def set_posterior(estimator: Any, posterior: Posterior) -> None:
    """Set the attributes of a posterior, by scikit-learn's names; the estimator has the mixture of its means."""
    concentration, freedom = posterior.weight_concentration, posterior.degrees_of_freedom
    estimator._posterior = posterior
    estimator.weight_concentration_ = concentration if len(concentration) > 1 else concentration[0]
    estimator.mean_precision_ = posterior.mean_precision
    estimator.degrees_of_freedom_ = freedom if estimator._mixture().structure.layout.stacked else float(freedom[0])


def set_fitted_posterior(estimator: Any, state: Mixture, inference: Variational) -> None:
    """Set the attributes of the posterior of a fit's state, of its prior and of its bound, which the summary has."""
    set_posterior(estimator, inference.posterior(state))
    prior, values = inference.prior, inference.prior.of(state)
    estimator.weight_concentration_prior_ = prior.concentration(state.n_components)
    estimator.mean_precision_prior_ = values.mean_precision
    estimator.mean_prior_ = values.mean
    estimator.degrees_of_freedom_prior_ = values.degrees_of_freedom
    estimator.covariance_prior_ = values.scale if values.scale.ndim else float(values.scale)
    estimator.evidence_lower_bound_ = estimator._summary.evidence_lower_bound
