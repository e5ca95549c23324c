"""Errors of the engine, which name keys of the configuration file, in the names of an estimator's parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..errors import ConfigurationError, DataError

_Self = TypeVar("_Self", bound=Any)
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_KEY = re.compile(r"\b(?:data|fit|model|select)\.(\w+)(?:\.(\w+))?")


def names_parameters(
    method: Callable[Concatenate[_Self, _Parameters], _Result],
) -> Callable[Concatenate[_Self, _Parameters], _Result]:
    """Make the errors of an estimator's method name its parameters in place of configuration keys."""

    @wraps(method)
    def call(self: _Self, /, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return method(self, *args, **kwargs)
        except (ConfigurationError, DataError) as error:
            error.args = (in_parameters(str(error), self.get_params(deep=False)),)
            raise

    return call


def in_parameters(message: str, parameters: Container[str]) -> str:
    """Replace configuration keys that an estimator has as parameters by the names of these."""
    return _KEY.sub(lambda key: _parameter_of(key, parameters), message)


def _parameter_of(key: re.Match[str], parameters: Container[str]) -> str:
    name, value = key[1], key[2]
    if name == "inference":
        return "the inference"
    if name == "prior" and value is not None:
        own = "weight_concentration_prior_type" if value == "weights" else f"{value}_prior"
        return own if own in parameters else f"prior {value}"
    return name if name in parameters else key[0]
