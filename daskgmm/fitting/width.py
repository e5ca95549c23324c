"""Many features: the mixtures that no machine like this one can hold, and models that take less."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
from dask.utils import format_bytes

from ..chunked.memory import MixtureBounds, mixture_bounds
from ..core.mixture.covariance import STRUCTURES
from ..core.options.fit import ModelOptions, check_inference
from ..core.options.prior import InferenceName
from ..core.options.reduce import Reduce
from ..errors import ConfigurationError
from ..text import pluralize

_SUGGESTED_FACTORS = 16
_SUGGESTED_AXES = 50


@dataclass(frozen=True)
class FitConditions:
    """The conditions of a fit beyond its model, which not every model supports."""

    missing: bool = False  # whether values may be missing
    labelled: bool = False  # whether the components of some rows are known
    inference: InferenceName = "em"

    def allows(self, model: ModelOptions) -> bool:
        """Return whether a model can be fitted: low rank and principal components take no missing values, for one."""
        if (self.missing and (model.has_factors or model.reduce is not None)) or (self.labelled and model.has_factors):
            return False
        try:
            check_inference(self.inference, model)
        except ConfigurationError:
            return False
        return True


@dataclass(frozen=True)
class Width:
    """A model as it is fitted to so many features."""

    model: ModelOptions
    n_features: int
    conditions: FitConditions = field(default_factory=FitConditions)
    name: str = ""  # of the options that lead from a wider model to this one

    @property
    def bounds(self) -> MixtureBounds:
        """What a fit holds of its mixtures."""
        return mixture_bounds(self.model.n_components, self.n_features, self.model.family)

    @property
    def n_products(self) -> int:
        """Products of a pass for each row and component: the columns of its statistics."""
        return STRUCTURES[self.model.family].feature_map.n_columns(self.n_features)


def machine_bytes() -> int:
    """Return the memory of this machine."""
    return int(psutil.virtual_memory().total)


def check_width(model: ModelOptions, n_features: int, conditions: FitConditions) -> None:
    """Raise ConfigurationError if a step of EM cannot be computed in the memory of this machine."""
    wide, memory = Width(model, n_features, conditions), machine_bytes()
    held = wide.bounds.least
    if held <= memory:
        return
    remedies = [
        f"{one.name} ({format_bytes(one.bounds.least)})" for one in narrower(wide) if one.bounds.least <= memory
    ]
    if few := model.n_components * memory // held:
        remedies.append(f"at most {few} components")
    raise ConfigurationError(
        f"{pluralize(model.n_components, 'component')} of covariance_type {model.family} with {n_features} features "
        f"take {format_bytes(held)} in a step of EM, and this machine has {format_bytes(memory)}: "
        f"take {' or '.join(remedies or ['fewer features'])}"
    )


def narrower(wide: Width) -> Iterator[Width]:
    """Yield the usual models of many features that hold less, as far as they go with the other options of the fit."""
    d = wide.n_features
    if d > _SUGGESTED_FACTORS:
        low_rank = {"covariance_type": "low_rank", "n_factors": _SUGGESTED_FACTORS}
        yield from _valid(wide, d, f"low_rank with n_factors {_SUGGESTED_FACTORS}", low_rank)
    if d > _SUGGESTED_AXES:
        yield from _valid(
            wide, _SUGGESTED_AXES, f"reduce to {_SUGGESTED_AXES} features", {"reduce": Reduce(_SUGGESTED_AXES)}
        )
    diagonal = {"covariance_type": "diag", "n_factors": None, "factor_noise": "own"}
    yield from _valid(wide, d, "diag", diagonal)


def _valid(wide: Width, n_features: int, name: str, options: dict[str, Any]) -> Iterator[Width]:
    """Yield a model with other options if they go together and hold less."""
    try:
        one = Width(replace(wide.model, **options), n_features, wide.conditions, name)
    except ConfigurationError:
        return
    if one.bounds.least < wide.bounds.least and wide.conditions.allows(one.model):
        yield one
