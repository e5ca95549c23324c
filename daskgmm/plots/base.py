"""What all displays share: axes, names of features, and a sample of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..chunked.data_summary import first_rows, summarise_and_sample
from ..chunked.prediction import Result, predict_lazily
from ..core.arrays.types import Array
from ..core.mixture.mixture import Mixture
from ..errors import DataError


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the axes, or those of a new figure."""
    return plt.subplots(layout="constrained")[1] if ax is None else ax


def fitted_mixture(estimator: Any) -> Any:
    """Return the GaussianMixture itself, or the best one of a selector; raise NotFittedError if it is not fitted."""
    check_is_fitted(estimator)
    return getattr(estimator, "best_estimator_", estimator)


def mixture_of(estimator: Any) -> Mixture:
    """Return the mixture of a fitted GaussianMixture."""
    mixture: Mixture = estimator._mixture()
    return mixture


def names_of(estimator: Any) -> tuple[str, ...]:
    """Return the names of the features, x0, x1, ... if they have none; or those of principal components."""
    if estimator._projection is not None:
        return tuple(estimator._projection.names)
    names = getattr(estimator, "feature_names_in_", None)
    return tuple(f"x{i}" for i in range(estimator.n_features_in_)) if names is None else tuple(map(str, names))


def numbers_of(features: Sequence[int | str], names: Sequence[str]) -> list[int]:
    """Return the numbers of features given by number or name; raise DataError for one that there is not."""
    numbers = []
    for one in features:
        if isinstance(one, str) and one in names:
            numbers.append(names.index(one))
        elif not isinstance(one, str) and 0 <= one < len(names):
            numbers.append(int(one))
        else:
            raise DataError(f"there is no feature {one!r}: the model has {', '.join(names)} (or 0 to {len(names) - 1})")
    return numbers


def sample_rows(estimator: Any, X: Any, n_rows: int) -> Array:
    """Return at most n_rows rows (m, d) of X, a uniform sample that is the same each time."""
    rows = estimator._scored_rows(X)
    _, sample = summarise_and_sample(rows, n_rows, seed=0, resolution=0.0)
    return np.asarray(first_rows(sample, n_rows)[0], dtype=np.float64)


def predict_rows(estimator: Any, rows: Array, result: Result) -> NDArray[Any]:
    """Return labels or probabilities of a sample (m, d), which has lost the names of its features."""
    lazy = da.from_array(rows, chunks=rows.shape)
    return np.asarray(predict_lazily(lazy, mixture_of(estimator), result, missing=True).compute())
