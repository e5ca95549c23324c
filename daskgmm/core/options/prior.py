"""The prior of a model: `model.prior` of the configuration, and what `fit.inference` makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt

from ...errors import ConfigurationError
from ...options import STRICT
from ..arrays.types import Array
from ..em.inference import MAXIMUM_LIKELIHOOD, Inference
from ..em.priors import MaximumAPosteriori, PriorValues
from ..em.variational import Variational, VariationalPrior, WeightPrior
from ..mixture.covariance import STRUCTURES
from ..mixture.data_summary import DataSummary

InferenceName = Literal["em", "map", "variational"]


@dataclass(frozen=True)
class PriorOptions:
    """The prior of weights, means and covariances; what is left out has the default of the inference."""

    __pydantic_config__: ClassVar = STRICT

    weights: WeightPrior | None = None
    """Prior of the weights in variational inference: dirichlet_process (the default) or dirichlet_distribution."""
    weight_concentration: Annotated[float, Gt(0)] | None = None
    """Concentration of the weights: small ones leave components empty; 1 / k if variational, 1 (flat) with map."""
    mean_precision: Annotated[float, Ge(0)] | None = None
    """Number of rows that the prior of a mean counts as; 1 if variational, 0.01 with map."""
    mean: tuple[float, ...] | None = None
    """Prior mean, one number for each feature; the mean of all rows if left out."""
    degrees_of_freedom: Annotated[float, Gt(0)] | None = None
    """Degrees of freedom of the Wishart prior, above d - 1; d if variational, d + 2 with map."""
    covariance: Annotated[float, Gt(0)] | tuple[float, ...] | tuple[tuple[float, ...], ...] | None = None
    """Scale of the prior of covariances: a variance, one for each feature, or a matrix; that of all rows if left out.

    With map it is divided by k^(2 / d), as mclust does.
    """


Prior = PriorOptions | Literal["default"] | None


def inference_of(name: InferenceName, prior: Prior, covariance_type: str, data_summary: DataSummary) -> Inference:
    """Return the inference for rows of a data summary, of a prior that `check_prior` lets pass.

    Raises ConfigurationError if the prior is not for so many features, or the inference takes no missing values.
    """
    if name == "em":
        return MAXIMUM_LIKELIHOOD
    options = prior if isinstance(prior, PriorOptions) else PriorOptions()
    d = data_summary.n_features
    check_prior_values(options, d)
    mean = None if options.mean is None else np.array(options.mean, dtype=np.float64)
    covariance = None if options.covariance is None else _matrix(options.covariance, d)
    shared = options.weight_concentration, options.mean_precision, mean, options.degrees_of_freedom, covariance
    if name == "map":
        return MaximumAPosteriori(PriorValues(data_summary, *shared))
    if data_summary.has_gaps:
        raise ConfigurationError(
            "fit.inference variational cannot integrate missing values out: take map or em, or leave these rows out"
        )
    return Variational(VariationalPrior(data_summary, options.weights or "dirichlet_process", *shared))


def check_prior(name: InferenceName, prior: Prior, covariance_type: str) -> None:
    """Raise ConfigurationError if a prior cannot act in an inference, or the inference in a family."""
    if name == "em" and prior is not None:
        raise ConfigurationError(
            "model.prior acts with fit.inference map or variational only, but it is em: set it, or leave the prior out"
        )
    if name != "em" and STRUCTURES[covariance_type].layout.n_factors:
        raise ConfigurationError(f"fit.inference {name} is not for covariance_type low_rank: take em, or another type")
    family = STRUCTURES[covariance_type]
    if name == "variational" and not family.conjugate:
        raise ConfigurationError(
            f"fit.inference variational has full, tied, diag and spherical covariances, not {covariance_type}: take "
            "one of these, or map"
        )
    if not isinstance(prior, PriorOptions):
        return
    if name == "map" and prior.weights is not None:
        raise ConfigurationError("model.prior.weights acts with fit.inference variational only: leave it out with map")
    if name == "map" and (prior.weight_concentration or 1.0) < 1:
        raise ConfigurationError(
            f"model.prior.weight_concentration is {prior.weight_concentration:g}, but weights have no mode below 1: "
            "give 1 or more, or set fit.inference to variational"
        )
    if name == "variational" and prior.mean_precision == 0:
        raise ConfigurationError("model.prior.mean_precision must be above 0 with fit.inference variational")


def check_prior_values(prior: Prior, d: int) -> None:
    """Raise ConfigurationError if a prior is not for d features."""
    if not isinstance(prior, PriorOptions):
        return
    if prior.degrees_of_freedom is not None and prior.degrees_of_freedom <= d - 1:
        raise ConfigurationError(
            f"model.prior.degrees_of_freedom is {prior.degrees_of_freedom:g}, but must be above {d - 1} for {d} "
            "features"
        )
    if prior.mean is not None and len(prior.mean) != d:
        raise ConfigurationError(f"model.prior.mean has {len(prior.mean)} numbers, but there are {d} features")
    if prior.covariance is not None:
        _matrix(prior.covariance, d)


def _matrix(covariance: float | tuple[float, ...] | tuple[tuple[float, ...], ...], d: int) -> Array:
    """Return a prior's covariance as a matrix (d, d)."""
    values = np.array(covariance, dtype=np.float64)
    matrix = np.diag(np.broadcast_to(values, d)) if values.shape in ((), (d,)) else values
    if matrix.shape != (d, d) or not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix)[0] <= 0:
        raise ConfigurationError(
            f"model.prior.covariance must be a positive number, {d} of them, or a positive definite {d} x {d} matrix"
        )
    return matrix
