"""The parameters that a user of the estimator gives to start from, checked as scikit-learn checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from sklearn.utils import check_array

from ..core.arrays.types import Array
from ..core.em.variational import WEIGHT_PRIORS
from ..core.init.starts import Given
from ..core.mixture.covariance import STRUCTURES, same_family
from ..core.mixture.mixture import Mixture
from ..core.options.fit import FitOptions
from ..core.options.prior import InferenceName, Prior, PriorOptions
from ..core.options.reduce import Reduce
from ..errors import ConfigurationError


def check_given(
    n_components: int,
    n_features: int,
    covariance_type: str,
    weights: Any,
    means: Any,
    precisions: Any,
    *,
    has_noise: bool = False,
) -> Given:
    """Check initial weights (k,), means (k, d) and precisions, in the shape of covariance_type; raise ValueError.

    With noise the weights must leave it some.
    """
    k, d = n_components, n_features
    return Given(
        None if weights is None else _weights(weights, k, has_noise=has_noise),
        None if means is None else _check_shape(means, (k, d), "means"),
        None if precisions is None else _covariances(precisions, covariance_type, k, d),
    )


def check_columns(values: Any, names: Any, what: str) -> None:
    """Raise ValueError for a table of other columns than the features of X, or in another order; `what` names it."""
    columns = list(getattr(values, "columns", ()))
    if names is not None and columns and all(isinstance(one, str) for one in columns) and columns != list(names):
        raise ValueError(f"{what} has the columns {', '.join(columns)}, but X has {', '.join(names)}, in this order")


def check_warm_start(
    fitted: Mixture,
    n_components: int,
    covariance_type: str,
    n_features: int,
    *,
    has_noise: bool,
    what: str = "warm_start",
    remedy: str = "set warm_start=False, or fit a new estimator",
) -> None:
    """Raise ConfigurationError unless a fit, or `what` else, can start from a mixture that was fitted before."""
    pairs = {
        "n_components": (fitted.n_components, n_components),
        "covariance_type": (fitted.covariance_type, covariance_type),
        "number of features": (fitted.n_features, n_features),
        "noise": (fitted.noise is not None, has_noise),
    }
    for name, (before, now) in pairs.items():
        if before != now and not (name == "covariance_type" and same_family(str(before), str(now))):
            raise ConfigurationError(
                f"{what} continues from the last fit, whose {name} is {before}, but it is {now} now: {remedy}"
            )


def fit_options(estimator: Any, inference: InferenceName) -> FitOptions:
    """Return the options of the fit that are parameters of an estimator or a selector."""
    return FitOptions(
        estimator.tol,
        estimator.max_iter,
        estimator.n_init,
        estimator.init_params,
        estimator.sample_size,
        estimator.n_finalists,
        dtype=estimator.dtype,
        inference=inference,
    )


def is_noise(value: Any) -> bool:
    """Return whether a value can be the parameter `noise`: a truth value, or a hypervolume."""
    return isinstance(value, bool | np.bool_) or (isinstance(value, Real) and 0 < float(value) < np.inf)


def noise_option(value: Any) -> bool | float:
    """Return the parameter `noise` as Python's own."""
    return bool(value) if isinstance(value, bool | np.bool_) else float(value)


def resolution_option(value: Any) -> Literal["auto"] | float | tuple[float, ...]:
    """Return the parameter `resolution`, one step or one of each feature, as Python's own."""
    return "auto" if isinstance(value, str) else as_tuples(value)


def prior_of(values: Any, *, variational: bool = False) -> Prior:
    """Return the prior of "default", a mapping of values or None; raise ConfigurationError for an unknown name.

    The kind of the prior of weights is for variational inference alone.
    """
    if values is None or values == "default":
        return values  # type: ignore[no-any-return]
    known = [one.name for one in fields(PriorOptions) if variational or one.name != "weights"]
    for name, value in values.items():
        if name not in known:
            raise ConfigurationError(f"unknown value {name!r} of prior; known: {', '.join(known)}")
        if name == "weights":
            if value not in WEIGHT_PRIORS:
                raise ConfigurationError(f"prior weights is {value!r}, but must be one of {', '.join(WEIGHT_PRIORS)}")
            continue
        if np.ndim(value) == 0 and not (np.isfinite(value) and value >= 0):
            raise ConfigurationError(f"prior {name} must be a number of 0 or more, not {value}")
    return PriorOptions(**{name: value if name == "weights" else as_tuples(value) for name, value in values.items()})


def values_of_prior(prior: Prior) -> Any:
    """Return the parameter of a prior, the inverse of `prior_of`; "default" if it was left out, the same with map."""
    if not isinstance(prior, PriorOptions):
        return "default"
    values = {one.name: getattr(prior, one.name) for one in fields(PriorOptions)}
    return {name: value for name, value in values.items() if value is not None}


STARTS = ("means_init", "precisions_init", "loadings_init", "noise_variance_init")


def reduce_option(values: Any, starts: Mapping[str, Any]) -> Reduce | None:
    """Return the parameter `reduce` as an option; raise ConfigurationError for unknown or unfit values.

    `starts` are the parameters to start from, which are of columns, and must be None then.
    """
    if values is None:
        return None
    if not set(values) <= {"features", "variance"} or len(values) != 1:
        raise ConfigurationError(f"reduce {values!r:.100} must be {{'features': 50}} or {{'variance': 0.999}}")
    ((name, value),) = values.items()
    if isinstance(value, bool) or not isinstance(value, Integral if name == "features" else Real):
        raise ConfigurationError(
            f"reduce {name} is {value!r:.100}, but must be a number: as 50 features, 0.999 variance"
        )
    number = float(value)
    if not (number >= 1 if name == "features" else 0 < number < 1):
        bounds = "1 or more" if name == "features" else "between 0 and 1"
        raise ConfigurationError(f"reduce {name} is {value}, but must be {bounds}")
    given = [name for name, one in starts.items() if one is not None]
    if given:
        raise ConfigurationError(
            f"{given[0]} is of columns, but reduce fits principal components: leave one of both out"
        )
    return Reduce(int(number)) if name == "features" else Reduce(variance=number)


def values_of_reduce(reduce: Reduce) -> dict[str, float]:
    """Return the parameter `reduce` that asks for this option."""
    return {"features": reduce.features} if reduce.features else {"variance": reduce.variance or 1.0}


def as_tuples(values: Any) -> Any:
    """Return an array-like of numbers as nested tuples of floats, and a number as a float."""
    array = np.asarray(values, dtype=np.float64)
    return tuple(map(as_tuples, array)) if array.ndim else float(array)


def _check_shape(values: Any, shape: tuple[int, ...], name: str) -> Array:
    array: Array = check_array(values, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name=name)
    if array.shape != shape:
        raise ValueError(f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}")
    return array


def _weights(values: Any, n_components: int, *, has_noise: bool) -> Array:
    weights = _check_shape(values, (n_components,), "weights")
    if (weights < 0).any() or (weights > 1).any():
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{weights.max():.5f}, min value {weights.min():.5f}"
        )
    if has_noise and not 1e-6 <= 1 - weights.sum() < 1:
        total = f"{weights.sum():.7g}"
        raise ValueError(f"With noise, 'weights' should sum to less than 1 and to more than 0, but got {total}")
    if not has_noise and abs(1 - weights.sum()) > 1e-6:
        raise ValueError(f"The parameter 'weights' should be normalized, but got sum(weights) = {weights.sum():.5f}")
    return weights


def _covariances(values: Any, covariance_type: str, k: int, d: int) -> Array:
    if STRUCTURES[covariance_type].layout.n_factors:
        raise ValueError("precisions_init is not for covariance_type low_rank: give loadings_init, noise_variance_init")
    precisions = _check_shape(values, STRUCTURES[covariance_type].layout.shape(k, d), f"{covariance_type} precision")
    if not STRUCTURES[covariance_type].layout.dense:
        if (precisions <= 0).any():
            raise ValueError(f"'{covariance_type} precision' should be positive")
        return 1 / precisions
    symmetric = np.allclose(precisions, np.swapaxes(precisions, -1, -2))
    if not symmetric or (np.linalg.eigvalsh(precisions) <= 0).any():
        raise ValueError(f"'{covariance_type} precision' should be symmetric, positive-definite")
    return np.linalg.inv(precisions).astype(np.float64, copy=False)
