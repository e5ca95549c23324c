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
from .places import remove, replace_path, writing, written_whole
from .unfinished import FOLDER, RESULTS


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
    storage_options: dict[str, Any] = field(default_factory=dict)
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
_CONTENT = (CONFIG, MODEL, METRICS, PICTURE, *RESULTS)


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
        return any((self.path / name).exists() for name in _CONTENT)

    def check_writable(self, overwrite: bool, resume: bool = False) -> None:
        """Raise before any work where the job could not write: results that are there, or a place that takes none."""
        if self.holds_run and not overwrite:
            raise ConfigurationError(
                f"output.directory {str(self.path)!r} already holds a run: choose another one, or give --overwrite"
            )
        if (self.path / FOLDER).exists() and not (overwrite or resume):
            raise ConfigurationError(
                f"output.directory {str(self.path)!r} holds unfinished results: give --resume to go on with a "
                "prediction, or --overwrite to start anew"
            )
        try:
            existed = self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe-{uuid4().hex[:8]}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            reason = error.strerror or error
            raise ConfigurationError(f"output.directory {str(self.path)!r} cannot be written to: {reason}") from None
        if not existed and self.path.exists():
            self.path.rmdir()

    @contextmanager
    def begun(self, config_yaml: str) -> Iterator[RunDirectory]:
        """Set an earlier run aside, write config.yaml, and bring the earlier run back if the new one does not end."""
        made = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        remove(self.path / FOLDER)
        aside = self.path / f".before-{uuid4().hex[:8]}"
        self._move(self.path, aside)
        try:
            with writing(self.path), written_whole(self.path / CONFIG) as temporary:
                temporary.write_text(config_yaml)
            yield self
        except BaseException:
            for name in (*_CONTENT, FOLDER):
                remove(self.path / name)
            self._move(aside, self.path)
            if made and self.path.exists() and not any(self.path.iterdir()):
                self.path.rmdir()
            raise
        finally:
            remove(aside)

    @staticmethod
    def _move(source: Path, target: Path) -> None:
        for name in _CONTENT:
            if (source / name).exists():
                target.mkdir(exist_ok=True)
                replace_path(source / name, target / name)


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
