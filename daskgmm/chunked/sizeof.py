"""The sizes of our values for dask, whose schedulers place tasks and watch memory by them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from dask.sizeof import sizeof

from ..core.em.e_step import Expectation
from ..core.kernels.natural_parameters import CentredParams, FeatureMapParams
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.statistics import Statistics
from ..core.scoring.quantile_sketch import Counts
from ..core.selection.folds import FoldStatistics


def bytes_of(value: Any) -> int:
    """Return the bytes of a dataclass: those of its fields. Dask's own guess is that of a few pointers."""
    return sum(sizeof(getattr(value, field.name)) for field in fields(value))


def register() -> None:
    """Let dask know the values that tasks give to one another."""
    for kind in (Statistics, DataSummary, Counts, Expectation, FeatureMapParams, CentredParams, FoldStatistics):
        sizeof.register(kind, bytes_of)
