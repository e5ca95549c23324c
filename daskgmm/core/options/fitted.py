"""The options that a model was fitted with, as they are stored beside it: a refit takes the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter

from ...errors import DataError
from .fit import FitOptions, ModelOptions


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
            return _TYPE.validate_json(json.dumps(values), strict=True)
        except ValueError as error:
            raise DataError(f"the options of the fit are damaged: {' '.join(str(error).split())}") from None


_TYPE = TypeAdapter(FittedOptions)


def _plain_number(value: Any) -> Any:
    """Return a value of NumPy as Python's own."""
    return np.asarray(value).tolist()
