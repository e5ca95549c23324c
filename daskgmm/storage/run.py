"""The run directory: what a job leaves behind, and the rules for writing there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar
from uuid import uuid4

from annotated_types import Ge, Gt, Lt

from ..core.section import STRICT
from ..errors import ConfigurationError
from ..events import Event, Iteration
from .faults import reason
from .places import make_directory, writing
from .unfinished import Plan, Unfinished, is_unfinished, settle, unfinished


@dataclass(frozen=True)
class OutputOptions:
    """What is written, and where."""

    __pydantic_config__: ClassVar = STRICT

    directory: str = "runs/fit"
    """The run directory: a path or an fsspec URL."""
    labels: bool = True
    """Write the most probable component of each row; -1 for rows that are left out."""
    probabilities: bool = False
    """Write the probability of each component for each row."""
    top_m: Annotated[int, Ge(1)] | None = None
    """Write probabilities of the m most probable components of each row only, and which components these are."""
    log_density: bool = False
    """Write log p(x) of each row, in nats."""
    anomaly_quantile: Annotated[float, Gt(0), Lt(1)] | None = None
    """Flag rows whose log-density is below this quantile of the fitted rows'; 0.001 flags the strangest 0.1 percent."""
    storage_options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Options of the fsspec file system, where the directory is a URL."""

    @property
    def has_probabilities(self) -> bool:
        """Whether probabilities are written, all or some."""
        return self.probabilities or self.top_m is not None

    @property
    def has_results(self) -> bool:
        """Whether anything is written of each row."""
        return self.labels or self.has_probabilities or self.log_density or self.anomaly_quantile is not None


CONFIG, MODEL, METRICS, PICTURE = "config.yaml", "model.zarr", "metrics.jsonl", "segmentation.png"
RESULTS = ("labels.zarr", "probabilities.zarr", "log_density.zarr", "anomaly.zarr", "results.parquet")
SELECTION = "selection.json"
CONTENT = (CONFIG, MODEL, METRICS, PICTURE, SELECTION, *RESULTS)


@dataclass(frozen=True)
class RunDirectory:
    """A directory that one job writes to."""

    path: Path

    @property
    def holds_model(self) -> bool:
        """Whether a fitted model is there."""
        return (self.path / MODEL).exists()

    @property
    def holds_run(self) -> bool:
        """Whether results of a run are there."""
        return any((self.path / name).exists() for name in CONTENT)

    def check_writable(self, overwrite: bool, resume: bool = False) -> None:
        """Raise before any work where the job could not write: results that are there, or a place that takes none."""
        with writing(self.path):
            settle(self.path, CONTENT)
            holds_run, goes_on = self.holds_run, is_unfinished(self.path)
        if holds_run and not overwrite and not (resume and goes_on):
            raise ConfigurationError(
                f"output.directory {str(self.path)!r} already holds a run: choose another one, or give --overwrite"
            )
        if goes_on and not (overwrite or resume):
            raise ConfigurationError(
                f"output.directory {str(self.path)!r} holds unfinished results: give --resume to go on with a "
                "prediction, or --overwrite to start anew"
            )
        self._probe()

    def _probe(self) -> None:
        try:
            existed = self.path.exists()
            make_directory(self.path)
            probe = self.path / f".probe-{uuid4().hex[:8]}"
            probe.write_bytes(b"")
            probe.unlink()
        except Exception as error:  # stores raise errors of many classes
            why = getattr(error, "strerror", None) or reason(error)
            raise ConfigurationError(f"output.directory {str(self.path)!r} cannot be written to: {why}") from None
        if not existed and self.path.exists():
            self.path.rmdir()

    @contextmanager
    def fitting(self, config_yaml: str) -> Iterator[Unfinished]:
        """Give the folder that a fit writes to; all of it takes the place of an earlier run at the end, or none."""
        with unfinished(self.path, {"job": "fit"}, CONTENT, resumable=False) as work:
            (work.path / CONFIG).write_text(config_yaml)
            yield work

    @contextmanager
    def predicting(self, config_yaml: str, plan: Plan, resume: bool) -> Iterator[Unfinished]:
        """Give the folder that a prediction writes to; what is finished of it outlives an interruption."""
        with unfinished(self.path, {"job": "prediction", **plan}, CONTENT, resume=resume) as work:
            (work.path / CONFIG).write_text(config_yaml)
            yield work


@contextmanager
def metrics_writer(path: Path) -> Iterator[MetricsWriter]:
    """Give a listener that writes one line of JSON for each iteration, at once (an object store keeps the whole)."""
    with writing(path), path.open("w") as file:
        yield MetricsWriter(file)


@dataclass(frozen=True)
class MetricsWriter:
    """Keeps the iterations of a job."""

    file: IO[str]

    def __call__(self, event: Event) -> None:
        if isinstance(event, Iteration):
            self.file.write(json.dumps(asdict(event)) + "\n")
            self.file.flush()
