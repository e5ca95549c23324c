"""The run directory: what a job leaves behind, and the rules for writing there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from ..errors import ConfigurationError, DataError
from ..events import Event, Iteration
from .schema import remove, written_whole


@dataclass(frozen=True)
class OutputOptions:
    """What is written, and where."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "use_attribute_docstrings": True}

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
    def holds_run(self) -> bool:
        """Whether results of a run are there."""
        return any((self.path / name).exists() for name in _CONTENT)

    def check_writable(self, overwrite: bool) -> None:
        """Raise before any work where the job could not write: results that are there, or no permission."""
        if self.holds_run and not overwrite:
            raise ConfigurationError(
                f"output.directory {str(self.path)!r} already holds a run: choose another one, or give --overwrite"
            )
        parent = next(one for one in (self.path, *self.path.absolute().parents) if one.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            raise ConfigurationError(f"output.directory {str(self.path)!r}: {parent} cannot be written to")

    @contextmanager
    def begun(self, config_yaml: str) -> Iterator[RunDirectory]:
        """Clear an earlier run, write config.yaml, and take away again what an error leaves incomplete."""
        made = not self.path.exists()
        self._clear()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path / CONFIG) as temporary:
                temporary.write_text(config_yaml)
            yield self
        except DataError:
            self._clear()
            if made and self.path.is_dir() and not any(self.path.iterdir()):
                self.path.rmdir()
            raise

    def _clear(self) -> None:
        for name in _CONTENT:
            remove(self.path / name)


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
