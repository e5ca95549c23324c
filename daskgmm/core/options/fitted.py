"""The options that a model was fitted with, as they are stored with it: a refit takes the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from ...errors import ConfigurationError, DataError
from .fit import FitOptions, ModelOptions
from .prior import PriorOptions
from .reduce import Reduce


@dataclass(frozen=True)
class FittedOptions:
    """What was fitted, and how."""

    model: ModelOptions
    fit: FitOptions
    missing: Literal["error", "marginal"] = "error"
    random_state: int | None = None  # seed of the starts; None if it was drawn

    def plain(self) -> dict[str, Any]:
        """Return the options as JSON takes them, without the path of another run."""
        values = asdict(replace(self, fit=replace(self.fit, start=None)))
        plain: dict[str, Any] = json.loads(json.dumps(values, default=_plain_number))
        return plain

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> FittedOptions:
        """Return the options that `plain` gave; raise DataError if they are none."""
        try:
            sections = {name: _tuples(value) for name, value in values.items()}
            model, fit, prior = sections["model"], sections["fit"], sections["model"]["prior"]
            prior = PriorOptions(**prior) if isinstance(prior, dict) else prior
            reduce = Reduce(**model["reduce"]) if model.get("reduce") else None
            model = ModelOptions(**{**model, "prior": prior, "reduce": reduce})
            return cls(model, FitOptions(**fit), sections["missing"], sections["random_state"])
        except (AttributeError, ConfigurationError, KeyError, TypeError) as error:
            raise DataError(f"the options of the fit are damaged: {error}") from None


def _tuples(value: Any) -> Any:
    """Return nested values with tuples in place of lists."""
    if isinstance(value, dict):
        return {name: _tuples(one) for name, one in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _plain_number(value: Any) -> Any:
    """Return a value of NumPy as Python's own."""
    return np.asarray(value).tolist()
