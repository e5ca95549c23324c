"""Prediction from some of the model's features: all others are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.em.fitted_model import Model
from ..core.mixture.conditional import feature_numbers
from ..core.mixture.projection import check_not_reduced
from ..errors import ConfigurationError, DataError
from ..sources import Source
from ..sources.composite import Spread


def with_given(source: Source, given: Sequence[str], model: Model) -> Source:
    """Return the source as rows of the model's features, of which those that are given have values.

    Columns are found by name, or in the order of `given` if the data have no names. Raises DataError if they are not
    there, and ConfigurationError if they are all features of the model, or the mask leaves out all rows.
    """
    check_not_reduced(model.projection)
    if any(one != one for one in source.fill_values):
        raise ConfigurationError("data.given leaves other features missing, so data.mask: nan leaves all rows out")
    numbers = [int(one) if model.feature_names is None and one.isdecimal() else one for one in given]
    places = feature_numbers(numbers, model.feature_names, model.mixture.n_features)
    if len(places) == model.mixture.n_features:
        raise ConfigurationError(
            f"data.given names all {len(places)} features of the model: leave it out, or name fewer"
        )
    names = source.feature_names or (tuple(given) if source.array.shape[-1] == len(given) else ())
    absent = [one for one in given if one not in names]
    if absent or len(source.array.shape) == 1:
        has = ", ".join(names) if names else f"{source.array.shape[-1]} features without names"
        raise DataError(f"data.given names {', '.join(absent or given)}, but {source.description} has {has}")
    columns = tuple(names.index(one) for one in given)
    array = Spread(source.array, columns, tuple(places), model.mixture.n_features)
    return replace(source, array=array, feature_names=model.feature_names, missing=True)
