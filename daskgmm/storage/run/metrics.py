"""metrics.jsonl: a line of JSON for each iteration."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ...events import Event, Iteration
from ...filesystem.guards import check_guard
from ...filesystem.location import guard_write

_LOGGER = logging.getLogger(__name__)

METRICS = "metrics.jsonl"


@contextmanager
def metrics_writer(path: Path, before: Sequence[str] = ()) -> Iterator[MetricsWriter]:
    """Give a listener that writes the iterations, at once, behind the lines `before`; in an object store at the end."""
    with guard_write(path):
        writer = MetricsWriter(path, list(before))
        writer.write()
        try:
            yield writer
        except BaseException:
            try:
                writer.write()
            except Exception:  # what went wrong first is what is raised
                _LOGGER.debug("%s was not written", path, exc_info=True)
            raise
        writer.write()


@dataclass
class MetricsWriter:
    """Keeps the iterations of a job."""

    path: Path
    lines: list[str]
    _n_written: int = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Iteration):
            self.lines.append(json.dumps(asdict(event)) + "\n")
            if isinstance(self.path, Path):
                with suppress(OSError):  # a full disk, say: checkpoints hold the lines too, and the end tries again
                    self.write()

    def write(self) -> None:
        """Write the lines that are not in the file, or all of them where that is not known."""
        check_guard(self.path)
        goes_on = self._n_written and isinstance(self.path, Path)
        at, self._n_written = self._n_written if goes_on else 0, 0
        with self.path.open("a" if goes_on else "w", encoding="utf-8") as file:
            file.write("".join(self.lines[at:]))
        self._n_written = len(self.lines)
