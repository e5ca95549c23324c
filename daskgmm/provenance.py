"""The record of a fit for people to read, in addition to its model: plain values, from no pass of their own."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions
from math import prod
from typing import Any, Literal

from numpy.typing import NDArray

from .core.arrays.types import Array
from .core.em.loop import Trial

Stage = Literal["restart", "finalist", "rows"]
_PACKAGES = ("daskgmm", "dask", "distributed", "numpy", "scipy", "numba", "zarr", "scikit-learn")


@dataclass(frozen=True)
class TrialHistory:
    """The way of one trial."""

    stage: Stage  # a restart on part of the sample, a finalist on all of it, or on all rows
    history: tuple[float, ...]  # mean log-likelihood of each evaluated mixture, nats per row
    stop: str = ""  # name of the StopReason; empty where the trial still went on
    chosen: bool = False  # it led to the model

    @classmethod
    def of(cls, stage: Stage, trial: Trial, chosen: bool = False) -> TrialHistory:
        """Return the way that the trial went."""
        return cls(stage, trial.history, trial.stop.name if trial.stop else "", chosen)


@dataclass(frozen=True)
class PhaseTiming:
    """A part of the job and the time that it took."""

    name: str
    detail: str
    seconds: float


@dataclass(frozen=True)
class WorkerUsage:
    """What one process of the job did."""

    name: str
    threads: int
    cpu_seconds: float  # of user and system, while the job ran
    resident_bytes: int  # of memory, at its end


@dataclass(frozen=True, eq=False)
class DataInfo:
    """What was fitted: the data by their data summary and a sample of their rows, and the starts."""

    description: str  # of the source
    grid: tuple[int, ...]
    dtype: str
    chunk: tuple[int, ...]  # shape of the largest
    n_chunks: int
    n_rows: int  # of positive weight
    fingerprint: str  # of shape, dtype and data summary
    minimum: Array  # (d,)
    maximum: Array  # (d,)
    rows: NDArray[Any]  # (m, d), a uniform sample as it is stored
    row_weights: NDArray[Any] | None  # (m,)
    curves: tuple[TrialHistory, ...]  # of restarts and finalists on the sample
    is_image: bool = False
    least: tuple[float, ...] = ()  # (d,), standard deviation that no component is below: that of the floor
    steps: tuple[float, ...] = ()  # (d,), of columns whose resolution sets that; 0 where reg_covar does

    @property
    def n_left_out(self) -> int:
        """Rows of the grid that a mask or a weight of 0 leaves out."""
        return prod(self.grid) - self.n_rows


@dataclass(frozen=True)
class RunInfo:
    """How the fit went."""

    curves: tuple[TrialHistory, ...]  # of the finalists on all rows
    spans: tuple[PhaseTiming, ...]
    loads: tuple[WorkerUsage, ...]
    notices: tuple[str, ...]
    place: str  # where it computed
    started: str  # ISO 8601, UTC
    versions: Mapping[str, str]
    labelled: tuple[int, ...] = ()  # rows that are labelled each component; empty if not all were counted by this job


@dataclass(frozen=True, eq=False)
class Record:
    """All that is kept of a fit."""

    beginning: DataInfo
    course: RunInfo


@cache
def installed_version(package: str) -> str:
    """Return the version of an installed package; raise PackageNotFoundError if there is none.

    The search goes through a copy of the paths of modules: a scheduler or a worker that ends in another thread of this
    process takes its own path away from them, and the next one would be passed over.
    """
    found = next(iter(distributions(name=package, path=list(sys.path))), None)
    if found is None:
        raise PackageNotFoundError(package)
    return found.version


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), **{name: installed_version(name) for name in _PACKAGES}}
