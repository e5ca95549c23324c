"""What a fitted estimator says of some features given others: imputation, marginals and conditionals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from ..chunked.prediction import impute_lazily
from ..core.arrays.types import Array
from ..core.mixture.conditional import condition, feature_numbers, marginal
from ..core.mixture.low_rank import family_options
from ..core.mixture.mixture import Mixture
from ..core.mixture.projection import check_not_reduced
from ..errors import DataError
from .inputs import Input

_STARTS = ("weights_init", "means_init", "precisions_init", "loadings_init", "noise_variance_init")


class ConditionalMixin:
    """Methods of an estimator that holds a mixture."""

    get_params: Callable[..., dict[str, Any]]
    _mixture: Callable[[], Mixture]
    _input: Callable[..., Input]

    def impute(self, X: Any, *, return_std: bool = False) -> Any:
        """Return rows X with each missing value (NaN) replaced by its mean given the observed values of its row.

        Observed values keep their bits, and lazy rows give a lazy result. A regression is the imputation of a column
        that is NaN. With `return_std` returns the rows and their standard errors, 0 where values are observed.
        """
        check_is_fitted(self)
        check_not_reduced(getattr(self, "projection_", None))
        data = self._input(X, reset=False, missing=True)
        wrap, mixture = data.wrap_rows or data.wrap, self._mixture()
        filled = wrap(impute_lazily(data.array, mixture))
        return (filled, wrap(impute_lazily(data.array, mixture, errors=True))) if return_std else filled

    def marginal(self, features: Sequence[Any]) -> Any:
        """Return the estimator of some of the features, by name or number, in their order; its methods take these."""
        own = self._feature_numbers(features)
        return self._with_mixture(marginal(self._mixture(), own), own)

    def condition(self, features: Sequence[Any], values: Any) -> Any:
        """Return the estimator of all other features given values (m,) of these, by name or number."""
        given = self._feature_numbers(features)
        mixture = condition(self._mixture(), given, _numbers(values))
        return self._with_mixture(mixture, [i for i in range(self._mixture().n_features) if i not in given])

    def _feature_numbers(self, features: Sequence[Any]) -> list[int]:
        check_is_fitted(self)
        check_not_reduced(getattr(self, "projection_", None))
        names = tuple(getattr(self, "feature_names_in_", ()))
        return feature_numbers(features, names, self._mixture().n_features)

    def _with_mixture(self, mixture: Mixture, features: list[int]) -> Any:
        """Return an estimator with a mixture of some of the features, and no parameters to start a fit from."""
        changes = {**family_options(mixture.covariance_type), **dict.fromkeys(_STARTS), "frozen": ()}
        known = self.get_params()
        other = clone(self).set_params(**{name: value for name, value in changes.items() if name in known})
        other._set_mixture(mixture)
        if hasattr(self, "feature_names_in_"):
            other.feature_names_in_ = self.feature_names_in_[features]
        return other


def _numbers(values: Any) -> Array:
    """Return values as an array of float64; raise DataError if they are not numbers."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"values must be numbers, one for each given feature, got {values!r}") from error
