"""A listener that notes how a fit goes, for its record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from ..chunked.worker_usage import Usage, usage
from ..core.em.loop import State
from ..errors import DataError
from ..events import Connected, Event, Labelled, Listener, Notice, Phase
from ..provenance import PhaseTiming, RunInfo, TrialHistory, WorkerUsage, package_versions
from ..storage.formats.provenance import curves_of, save_course


class Recorder:
    """Hands events on, and records them for the report."""

    def __init__(self, listen: Listener) -> None:
        """Hand events on to `listen`."""
        self._listen = listen
        self._began, self._started = perf_counter(), datetime.now(UTC)
        self._phases: list[tuple[Phase, float]] = [(Phase("start"), self._began)]
        self._notices: list[str] = []
        self._place = ""
        self._labelled: tuple[int, ...] = ()
        self._before: Mapping[str, Usage] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case Phase(name):
                self._phases.append((event, perf_counter()))
                if name == "read":  # the first thing that is done where the job computes
                    self._before = usage()
            case Labelled(counts):
                self._labelled = counts
            case Notice(message):
                self._notices.append(message)
            case Connected(description):
                self._place = description
        self._listen(event)

    def course(self, state: State) -> RunInfo:
        """Return the history of the fit so far; to be called while the cluster is connected."""
        return self._course(tuple(TrialHistory.of("rows", trial, trial is state.best) for trial in state.trials))

    def _course(self, curves: tuple[TrialHistory, ...]) -> RunInfo:
        return RunInfo(
            curves=curves,
            spans=self._spans(perf_counter()),
            loads=_loads(self._before, usage()),
            notices=tuple(self._notices),
            place=self._place,
            started=self._started.isoformat(timespec="seconds"),
            labelled=self._labelled,
            versions=package_versions(),
        )

    def complete(self, path: Path) -> None:
        """Add to the record at `path`, which has the course of the fit, what came after it."""
        try:
            curves = curves_of(path)
        except DataError as error:  # the model is there, and worth more
            self(Notice(str(error)))
            return
        save_course(self._course(curves), path)

    def _spans(self, now: float) -> tuple[PhaseTiming, ...]:
        ends = [begun for _, begun in self._phases[1:]] + [now]
        return tuple(
            PhaseTiming(phase.name, phase.detail, end - begun)
            for (phase, begun), end in zip(self._phases, ends, strict=True)
        )


def _loads(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> tuple[WorkerUsage, ...]:
    """Return the usage of each process between two readings; of one that joined later, since it started."""
    nothing = Usage(0, 0.0, 0)
    return tuple(
        WorkerUsage(
            name, now.threads, max(now.cpu_seconds - before.get(name, nothing).cpu_seconds, 0.0), now.resident_bytes
        )
        for name, now in after.items()
    )
