"""The parameters of a fitted mixture as attributes of an estimator."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import check_array

from ..core.em.fitted_model import Model
from ..core.init.starts import Given
from ..core.mixture.covariance import STRUCTURES
from ..core.mixture.low_rank import LowRankMatrices, family_options
from ..core.mixture.mixture import Mixture
from ..core.mixture.precisions import precisions, precisions_cholesky
from ..core.options.fitted import FittedOptions
from ..errors import ConfigurationError

_MODEL_PARAMETERS = ("reg_covar", "resolution")  # parameters of the estimators that are options by the same name
_FIT_PARAMETERS = ("tol", "max_iter", "n_init", "init_params", "sample_size", "n_finalists", "dtype")
MATRICES = ("covariances_", "precisions_", "precisions_cholesky_")  # of low rank, when they are asked for


class FactorsMixin:
    """Makes the dense covariances of a mixture of low rank when they are asked for: they take much memory."""

    def __getattr__(self, name: str) -> Any:
        """Return dense covariances, precisions or their factors (k, d, d) by loadings and noise."""
        if name not in MATRICES or "loadings_" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        dense = LowRankMatrices(vars(self)["noise_variance_"], vars(self)["loadings_"]).dense
        if name == "covariances_":
            return dense
        factors = precisions_cholesky(Mixture("full", vars(self)["weights_"], vars(self)["means_"], dense))
        return factors if name == "precisions_cholesky_" else precisions("full", factors)


def fitted_options(model: Model) -> FittedOptions | None:
    """Return the options that a model was fitted with, None if they are not known."""
    return None if model.options is None else FittedOptions.of_plain(model.options)


def parameters_of(model: Model) -> dict[str, Any]:
    """Return the parameters of both estimators that fit again as a model was fitted, as far as they are known."""
    mixture, options = model.mixture, fitted_options(model)
    family = family_options(mixture.covariance_type)
    known: dict[str, Any] = family if family["n_factors"] else {"covariance_type": mixture.covariance_type}
    known["n_components"] = mixture.n_components
    if options is None:
        return known
    known |= {"missing": options.missing, "random_state": options.random_state}
    for section, names in ((options.model, _MODEL_PARAMETERS), (options.fit, _FIT_PARAMETERS)):
        known |= {name: getattr(section, name) for name in names}
    return known


def set_parameters(estimator: Any, mixture: Mixture) -> None:
    """Set weights_, means_ and covariances_ with their precisions, or loadings_ and noise_variance_ of low rank."""
    for name in (*MATRICES, "loadings_", "noise_variance_"):
        vars(estimator).pop(name, None)
    estimator._fitted_covariance_type = mixture.covariance_type  # the parameters may be set to others later
    estimator._fitted_noise, estimator._fitted_frozen = mixture.noise, mixture.frozen
    estimator.noise_weight_ = 0.0 if mixture.noise is None else mixture.noise.weight
    estimator.weights_, estimator.means_ = mixture.weights, mixture.means
    if mixture.structure.layout.n_factors:
        estimator.noise_variance_ = mixture.covariances[:, :, 0]
        estimator.loadings_ = mixture.covariances[:, :, 1:]
        return
    estimator.covariances_ = mixture.covariances
    estimator.precisions_cholesky_ = precisions_cholesky(mixture)
    estimator.precisions_ = precisions(mixture.covariance_type, estimator.precisions_cholesky_)


def mixture_of(estimator: Any) -> Mixture:
    """Return the mixture of a fitted estimator."""
    kind = estimator._fitted_covariance_type
    if STRUCTURES[kind].layout.n_factors:
        covariances = LowRankMatrices(estimator.noise_variance_, estimator.loadings_).values
    else:
        covariances = estimator.covariances_
    noise, frozen = estimator._fitted_noise, estimator._fitted_frozen
    return Mixture(kind, estimator.weights_, estimator.means_, covariances, noise, frozen)


def with_factors(given: Given, family: str, n_features: int, loadings: Any, noise: Any) -> Given:
    """Return given parameters with loadings (k, d, q) and noise (k, d) of low rank; raise ConfigurationError."""
    q = STRUCTURES[family].layout.n_factors
    if loadings is None and noise is None:
        return given
    if not q or loadings is None or noise is None:
        raise ConfigurationError("loadings_init and noise_variance_init are for low_rank, both together")
    if given.means is None or given.weights is None:
        raise ConfigurationError("loadings_init needs weights_init and means_init too: EM starts from all of them")
    loadings, noise = (check_array(one, dtype=np.float64, ensure_2d=False, allow_nd=True) for one in (loadings, noise))
    k = len(given.weights)
    if loadings.shape != (k, n_features, q) or noise.shape != (k, n_features) or not (noise > 0).all():
        raise ConfigurationError(
            f"loadings_init must have the shape {(k, n_features, q)} and noise_variance_init {(k, n_features)}, all "
            f"positive, but they have {loadings.shape} and {noise.shape}, the least noise {noise.min():g}"
        )
    return replace(given, covariances=LowRankMatrices(noise, loadings).values)


def copy_fitted(source: Any, target: Any) -> Any:
    """Return the target with the fitted attributes of the source: those whose names end with an underscore."""
    for name, value in vars(source).items():
        if name.endswith("_") and not name.startswith("_"):
            setattr(target, name, copy(value))
    return target
