"""What our values weigh, told to dask: its schedulers place tasks and watch memory by it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dask.sizeof import sizeof

from ..core.coefficients import Centred, Shared
from ..core.expectation import Expectation
from ..core.folds import Scored
from ..core.quantile import Counts
from ..core.statistics import Statistics
from ..core.survey import Survey


def bytes_of(value: Any) -> int:
    """Return the bytes of a dataclass: those of its fields. Dask's own guess is that of a few pointers."""
    return sum(sizeof(getattr(value, field.name)) for field in fields(value))


def register() -> None:
    """Let dask know the values that tasks give to one another."""
    for kind in (Statistics, Survey, Counts, Expectation, Shared, Centred, Scored):
        sizeof.register(kind, bytes_of)
