"""The run directory: what a job leaves behind, and the rules for writing there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from ..core.section import STRICT
from ..errors import ConfigurationError
from ..events import Event, Iteration
from .schema import remove, written_whole


@dataclass(frozen=True)
class OutputOptions:
    """What is written, and where."""

    __pydantic_config__: ClassVar = STRICT

    directory: str = "runs/fit"
    """The run directory."""
    labels: bool = True
    """Write labels.zarr: the most probable component of each row."""
    probabilities: bool = False
    """Write probabilities.zarr: the responsibility of each component for each row."""
    log_density: bool = False
    """Write log_density.zarr: log p(x) of each row, in nats."""


CONFIG, MODEL, METRICS, PICTURE = "config.yaml", "model.zarr", "metrics.jsonl", "segmentation.png"
_CONTENT = (CONFIG, MODEL, METRICS, PICTURE, "labels.zarr", "probabilities.zarr", "log_density.zarr")


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

    def check_writable(self, overwrite: bool) -> None:
        """Raise before any work where the job could not write: results that are there, or a place that takes none."""
        if self.holds_run and not overwrite:
            raise ConfigurationError(
                f"output.directory {str(self.path)!r} already holds a run: choose another one, or give --overwrite"
            )
        try:
            existed = self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            reason = error.strerror or error
            raise ConfigurationError(f"output.directory {str(self.path)!r} cannot be written to: {reason}") from None
        if not existed:
            self.path.rmdir()

    @contextmanager
    def begun(self, config_yaml: str) -> Iterator[RunDirectory]:
        """Set an earlier run aside, write config.yaml, and bring the earlier run back if the new one does not end."""
        made = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        aside = self.path / f".before-{uuid4().hex[:8]}"
        self._move(self.path, aside)
        try:
            with written_whole(self.path / CONFIG) as temporary:
                temporary.write_text(config_yaml)
            yield self
        except BaseException:
            for name in _CONTENT:
                remove(self.path / name)
            self._move(aside, self.path)
            if made and not any(self.path.iterdir()):
                self.path.rmdir()
            raise
        finally:
            remove(aside)

    @staticmethod
    def _move(source: Path, target: Path) -> None:
        for name in _CONTENT:
            if (source / name).exists():
                target.mkdir(exist_ok=True)
                os.replace(source / name, target / name)


@contextmanager
def metrics_writer(path: Path) -> Iterator[MetricsWriter]:
    """Give a listener that writes one line of JSON for each iteration, at once."""
    with path.open("w", buffering=1) as file:
        yield MetricsWriter(file.write)


@dataclass(frozen=True)
class MetricsWriter:
    """Keeps the iterations of a job."""

    write: Callable[[str], object]

    def __call__(self, event: Event) -> None:
        if isinstance(event, Iteration):
            self.write(json.dumps(asdict(event)) + "\n")
