"""When a checkpoint is written: after iterations, not more often than is worth it, and when a job is interrupted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from ...core.em.loop import State
from ...core.mixture.projection import Projection
from ...errors import LostLockError
from ...events import Listener, Notice
from ...filesystem.retry import reason
from .checkpoint import CHECKPOINTS, Checkpoint, load_checkpoint, save_checkpoint
from .metrics import METRICS, MetricsWriter, metrics_writer
from .staging import Unfinished

_LOGGER = logging.getLogger(__name__)

_SECONDS = 2.0  # of work that may be lost for the sake of speed
_TIME_SHARE = 0.1  # of the time that checkpoints may take where they take long


@dataclass
class Checkpoints:
    """Keeps the state of a job's loop."""

    folder: Path
    every: int  # iterations; 0: no checkpoints
    metrics: MetricsWriter  # listens to the iterations that it then holds
    listen: Listener
    before: Checkpoint  # where an interrupted job stood; without states where there is nothing to continue with
    projection: Projection | None = None  # of the rows, which is kept with the states
    _kept: Checkpoint | None = field(default=None, init=False)  # what is not written yet
    _n_kept: int = field(default=0, init=False)  # iterations since the last one that was written
    _due: float = field(default=0.0, init=False)  # on the clock, not before
    _failed: bool = field(default=False, init=False)

    def keep(self, states: Mapping[str, State], notes: Mapping[str, Any] | None = None) -> None:
        """Take the states after an iteration, and write them if it is time; the first ones are written at once."""
        self._kept = Checkpoint(states, tuple(self.metrics.lines), notes or {}, self.projection)
        self._n_kept += 1
        if self._due == 0 or (self._n_kept >= self.every and monotonic() >= self._due):
            self.write()

    def write(self) -> None:
        """Write what was kept last, if it is not written; a failing store is reported once.

        In a thread of its own: an interruption of this one waits until it is done.
        """
        if self._kept is None or not self.every:
            return
        before = monotonic()
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self._try, self._kept).result()
        self._due = monotonic() + max(_SECONDS, (monotonic() - before) / _TIME_SHARE)
        self._n_kept = 0

    def _try(self, checkpoint: Checkpoint) -> None:
        try:
            save_checkpoint(self.folder, checkpoint)
        except LostLockError:
            raise
        except Exception as error:  # stores raise errors of many classes, and none of them is worth the fit
            _LOGGER.debug("no checkpoint was written", exc_info=True)
            if not self._failed:
                why = getattr(error.__cause__, "strerror", None) or reason(error)
                self.listen(Notice(f"no checkpoint could be written ({why}): the one before it is kept"))
            self._failed = True
        else:
            self._kept, self._failed = None, False


@contextmanager
def keep_checkpoints(
    work: Unfinished, every: int, listen: Listener, projection: Projection | None = None
) -> Iterator[Checkpoints]:
    """Give the checkpoints of a job, and where it stood; what is kept of it is written if it is interrupted."""
    folder = work.path / CHECKPOINTS
    before = load_checkpoint(folder, listen) if work.going_on else None
    if before is not None:
        listen(Notice(f"going on after iteration {before.iteration}"))
    elif work.going_on:
        listen(Notice("there is no checkpoint to continue from: the job starts over"))
    with metrics_writer(work.path / METRICS, before.metrics if before else ()) as metrics:
        checkpoints = Checkpoints(folder, every, metrics, listen, before or Checkpoint({}), projection)
        try:
            yield checkpoints
        except BaseException:
            checkpoints.write()
            raise
