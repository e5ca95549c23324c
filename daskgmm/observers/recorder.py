"""The record of a fit: what was fitted, and a listener that notes how it goes."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from ..chunked.data_summary import first_rows, survey_and_sample
from ..chunked.rows import Rows
from ..chunked.worker_usage import Usage, usage
from ..config import Config
from ..core.em.loop import State
from ..core.init.starts import RestartResults
from ..core.mixture.data_summary import Survey
from ..core.mixture.floor import Floor
from ..errors import DataError
from ..events import Connected, Event, Labelled, Listener, Notice, Phase
from ..provenance import DataInfo, PhaseTiming, RunInfo, TrialHistory, WorkerUsage
from ..sources import Source
from ..storage.formats.provenance import check_record, curves_of, save_beginning, save_course
from ..storage.run.directory import RECORD
from ..storage.run.staging import Unfinished

_MOST_BYTES = 8 * 2**20  # of the rows that are kept
_PACKAGES = ("daskgmm", "dask", "distributed", "numpy", "scipy", "numba", "zarr", "scikit-learn")


def keep_beginning(
    rows: Rows, source: Source, survey: Survey, sample: Delayed, results: RestartResults, config: Config
) -> DataInfo:
    """Return what is kept of the data and the starts: at most output.report_rows rows, and 8 MiB of them."""
    row_bytes = rows.n_features * rows.array.dtype.itemsize
    kept, weights = first_rows(sample, min(config.output.report_rows, _MOST_BYTES // row_bytes))
    winner = results.restarts[0] if results.restarts else None
    restarts = tuple(TrialHistory.of("restart", trial, trial is winner) for trial in results.restarts)
    finalists = tuple(TrialHistory.of("finalist", trial) for trial in results.finalists)
    return replace(
        describe_data(source.description, rows, survey, kept, weights),
        curves=restarts + finalists,
        is_image=source.is_image,
        least=tuple(np.sqrt(config.model.floor(survey).variances).tolist()),
        steps=tuple(_find_deciding_steps(survey, config.model.reg_covar).tolist()),
    )


def describe_data(
    description: str, rows: Rows, survey: Survey, kept: NDArray[Any], weights: NDArray[Any] | None
) -> DataInfo:
    """Return what is kept of the data alone, with some of their rows (m, d) and weights (m,)."""
    return DataInfo(
        description=description,
        grid=rows.grid,
        dtype=str(rows.array.dtype),
        chunk=tuple(max(sizes) for sizes in rows.array.chunks),
        n_chunks=len(rows.block_sizes),
        n_rows=survey.n_rows,
        fingerprint=fingerprint(rows, survey),
        minimum=survey.minimum,
        maximum=survey.maximum,
        rows=kept,
        row_weights=weights,
        curves=(),
    )


def _find_deciding_steps(survey: Survey, reg_covar: float) -> NDArray[np.float64]:
    """Return the steps that set the floor, 0 where `reg_covar` does."""
    without = replace(survey, steps=np.zeros(survey.n_features))
    decides = Floor.of(survey, reg_covar).variances > Floor.of(without, reg_covar).variances
    steps: NDArray[np.float64] = np.where(decides, survey.steps, 0.0)
    return steps


def mend_record(rows: Rows, source: Source, config: Config, work: Unfinished, listen: Listener) -> None:
    """Write the beginning of a record again that an interrupted job left damaged, by a pass over the rows.

    What it said of the starts is lost with it.
    """
    if not work.going_on:
        return
    path = work.path / RECORD
    try:
        check_record(path)
    except DataError:
        listen(Notice(f"{path} is missing or damaged: the report will lack what it had of the starts"))
        size, resolution = max(config.output.report_rows, 1), config.model.resolution_of_rows
        survey, sample = survey_and_sample(rows, size, config.fit.random_state, resolution)
        save_beginning(keep_beginning(rows, source, survey, sample, RestartResults((), ()), config), path)


def fingerprint(rows: Rows, survey: Survey) -> str:
    """Return a short name of the data: equal for equal shapes, types, chunks and bits of their survey."""
    digest = sha256(repr((rows.array.shape, str(rows.array.dtype), rows.array.chunks)).encode())
    for values in (survey.mean, survey.scatter, survey.minimum, survey.maximum, np.array([survey.weight_sum])):
        digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


class Recorder:
    """Hands events on, and notes what is to be told of them later."""

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
        """Return how the fit went until now; to be called where it is still connected."""
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
    """Return what each process did in between; one that came later, since it began."""
    nothing = Usage(0, 0.0, 0)
    return tuple(
        WorkerUsage(
            name, now.threads, max(now.cpu_seconds - before.get(name, nothing).cpu_seconds, 0.0), now.resident_bytes
        )
        for name, now in after.items()
    )
