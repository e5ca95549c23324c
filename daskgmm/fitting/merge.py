"""Merge models of different rows, by the statistics that their fits keep: no row is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.em.fitted_model import FitSummary, Model
from ..core.em.inference import Inference
from ..core.em.update import KeptStatistics, merge_kept
from ..core.em.variational import Variational
from ..core.mixture.covariance import same_family
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.mixture import Mixture
from ..core.options.fitted import FittedOptions
from ..core.scoring.bhattacharyya import bhattacharyya_distances
from ..core.scoring.matching import compare
from ..errors import ConfigurationError, DataError
from .checks import check_same_features
from .update import check_updatable

_MIN_OVERLAP = 0.2  # Bhattacharyya coefficient of components that are one
_SAME_DISTANCE = 1e-12  # Bhattacharyya distance of frozen components that were given the same mean and covariance
_STOP_REASON = "merged from the statistics of two runs by an M-step: fit from it, or update it, to go on"


def merge_models(first: Model, second: Model) -> Model:
    """Return the model of the rows of two models, in the order of the first one's components; raise if it cannot be.

    Components are matched one to one, those without rows in the order in which they come.
    """
    options = _check_mergeable(first, second)
    order = _match_components(first.mixture, second.mixture)
    _check_frozen(first.mixture, second.mixture.reorder(order))
    parts = [(first.state, _statistics_of(first)), (second.state.reorder(order), _statistics_of(second).take(order))]

    def infer(data_summary: DataSummary) -> Inference:
        return options.fit.em(options.model, data_summary).inference

    state, kept = merge_kept(parts, options.model.with_noise, infer, options.model.floor)
    inference, n_iter = infer(kept.data_summary), first.summary.n_iter + second.summary.n_iter
    summary = FitSummary.of_state(state, inference, kept, _STOP_REASON, n_iter=n_iter)
    posterior = inference.posterior(state) if isinstance(inference, Variational) else None
    mixture, names = inference.plug_in(state), first.feature_names
    return Model(mixture, names, summary, posterior=posterior, kept=kept, options=first.options)


def _statistics_of(model: Model) -> KeptStatistics:
    if model.kept is None:
        raise DataError("a model has kept no statistics of its rows, so it cannot be merged: fit it again")
    return model.kept


def _check_mergeable(first: Model, second: Model) -> FittedOptions:
    """Return the options of both models; raise ConfigurationError or DataError unless they are of one kind."""
    for one in (first, second):
        check_updatable(one.mixture)
        if one.projection is not None:
            raise ConfigurationError("each run is of principal components of its own rows, so they cannot be merged")
        _statistics_of(one)
    options, others = (FittedOptions.of_plain(one.options or {}) for one in (first, second))
    pairs: dict[str, tuple[Any, Any]] = {
        "n_components": (first.mixture.n_components, second.mixture.n_components),
        "covariance_type": (first.mixture.covariance_type, second.mixture.covariance_type),
        "number of features": (first.mixture.n_features, second.mixture.n_features),
        "inference": (options.fit.inference, others.fit.inference),
        "prior": (options.model.prior, others.model.prior),
        "noise": (_name_noise(options.model.noise), _name_noise(others.model.noise)),
    }
    for name, (here, there) in pairs.items():
        if here != there and not (name == "covariance_type" and same_family(str(here), str(there))):
            raise ConfigurationError(f"models of different {name} cannot be merged: {here} and {there}")
    check_same_features(first.feature_names, second.feature_names)
    return options


def _name_noise(noise: bool | float) -> str:
    """Return a model's noise option, so that True, the box of all rows, differs from a hypervolume of 1."""
    return str(noise) if isinstance(noise, bool) else f"hypervolume {float(noise)}"


def _check_frozen(first: Mixture, second: Mixture) -> None:
    """Raise ConfigurationError unless both mixtures, of matched components, have the same frozen ones."""
    if first.frozen != second.frozen:
        here, there = list(first.frozen), list(second.frozen)
        raise ConfigurationError(
            f"models of different frozen components cannot be merged: {here} and {there}, by the numbers of the first "
            "one; fit all rows"
        )
    for one in first.frozen:
        if not bhattacharyya_distances(first.take([one]), second.take([one])).item() <= _SAME_DISTANCE:
            raise ConfigurationError(
                f"frozen component {one} has another mean or covariance in the second model, so they cannot be merged: "
                "fit all rows"
            )


def _match_components(first: Mixture, second: Mixture) -> NDArray[np.intp]:
    """Return for each component of the first mixture the number of that of the second, (k,).

    Raises DataError if a component has no counterpart: the sum of both would be a component of neither.
    """
    found = compare(first, second)
    for match in found.matches:
        if (overlap := float(np.exp(-match.distance))) < _MIN_OVERLAP:
            raise DataError(
                f"component {match.first} of the first model has no counterpart in the second: the nearest left, "
                f"{match.second}, overlaps it by {overlap:.2g}, and {_MIN_OVERLAP:g} is the least; fit all rows"
            )
    order = np.full(first.n_components, -1, dtype=np.intp)
    for match in found.matches:
        order[match.first] = match.second
    order[order < 0] = np.setdiff1d(np.arange(first.n_components), order)
    return order
