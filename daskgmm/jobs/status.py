"""What a run is doing, from its directory alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import time
from typing import Any, Literal

from ..core.em.aitken import passes_left
from ..core.em.fitted_model import FitSummary, Model
from ..errors import DataError
from ..filesystem.location import guard_read, public, resolve_location
from ..storage.formats.history import read_history
from ..storage.formats.model import load_model
from ..storage.run.directory import CONFIG, HISTORY, SELECTION, RunDirectory
from ..storage.run.inspect import RunFiles, find_written, newest
from ..storage.run.lock import Owner
from ..storage.run.lock import owner as owner_of
from ..storage.run.metrics import METRICS
from ..storage.run.staging import StagedRun, leftover

State = Literal["running", "interrupted", "unfinished", "finished", "nothing"]


@dataclass(frozen=True)
class RunStatus:
    """What a run is doing. What is not known, or does not apply, is None."""

    directory: str
    state: State  # unfinished: it is unknown whether its process lives
    job: str | None = None  # fit, select, update or prediction
    phase: str | None = None  # fit, predict, or place: all is written and only has to take its place
    iteration: int | None = None
    log_likelihood: float | None = None  # mean, nats per row
    gain: float | None = None  # of the last iteration
    remaining_gain: float | None = None  # estimated
    passes_left: int | None = None  # estimated; not for a sweep
    candidates_left: int | None = None  # of a sweep: still in it
    chunks_done: int | None = None  # of the results
    chunks: int | None = None
    seconds_since_write: float | None = None
    owner: Owner | None = None
    summary: FitSummary | None = None  # of a finished fit
    earlier_run: bool = False  # a finished one is in its place meanwhile
    go_on: str | None = None  # what to do next

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON takes them."""
        return asdict(self)

    def __str__(self) -> str:
        facts = {name: value for name, value in _facts(self).items() if value}
        lines = (f"{name + ':':16s}{value}" for name, value in facts.items())
        return "\n".join("".join(one if one.isprintable() else "?" for one in line) for line in lines)


def status_of(run_dir: str | Path, storage_options: Mapping[str, Any] | None = None) -> RunStatus:
    """Return the status of the run in a directory or at an fsspec URL; nothing is changed."""
    directory = resolve_location(run_dir, storage_options)
    with guard_read(directory):
        return _status_of(directory)


def load_finished(run_dir: str) -> Model:
    """Return the model of a run; raise DataError, which says what the run is doing, where there is none yet."""
    try:
        return load_model(run_dir)
    except DataError:
        if message := describe_work(run_dir):
            raise DataError(message) from None
        raise


def describe_work(run_dir: str | Path) -> str | None:
    """Describe in a line the job in a directory without a model; None if no job is running there."""
    found = status_of(run_dir)
    if found.state in {"finished", "nothing"} or found.earlier_run:
        return None
    job, state = found.job or "job", _STATES[found.state].partition(":")[0]
    return f"{public(str(run_dir))} has no model yet: its {job} is {state}; daskgmm status tells more"


def _status_of(directory: Path) -> RunStatus:
    work = leftover(directory)
    if work is not None:
        return _describe_unfinished(directory, work)
    owner = owner_of(directory)
    if owner is not None and _state(owner) != "interrupted":  # it reads and seeds before it writes
        return RunStatus(str(directory), _state(owner), phase="read", owner=owner)
    if not RunDirectory(directory).holds_run:
        return RunStatus(str(directory), "nothing", go_on="daskgmm fit CONFIG writes a run here")
    return _describe_finished(directory)


def _describe_finished(directory: Path) -> RunStatus:
    has_model = RunDirectory(directory).holds_model
    summary = load_model(directory).summary if has_model else None
    written = newest(directory, (METRICS, CONFIG))
    return RunStatus(
        str(directory),
        "finished",
        job=_find_finished_job(directory),
        iteration=summary.n_iter if summary else None,
        log_likelihood=summary.log_likelihood if summary else None,
        seconds_since_write=None if written is None else max(time() - written, 0),
        summary=summary,
    )


def _find_finished_job(directory: Path) -> str:
    if not RunDirectory(directory).holds_model:
        return "prediction"
    if (directory / SELECTION).exists():
        return "select"
    return "fit" if (history := read_history(directory / HISTORY)) is None else history.last.job


def _describe_unfinished(directory: Path, work: StagedRun) -> RunStatus:
    written, owner, job = find_written(work), owner_of(directory), str(work.plan.get("job", "fit"))
    state = _state(owner)
    last = written.last or {}
    return RunStatus(
        str(directory),
        state,
        job=job,
        phase=_phase(work, written, job),
        iteration=last.get("iteration"),
        log_likelihood=last.get("log_likelihood"),
        gain=last.get("gain"),
        remaining_gain=last.get("remaining_gain"),
        passes_left=None if written.has_model or job == "select" else _passes_left(written),
        candidates_left=last.get("n_live") if job == "select" else None,
        chunks_done=work.n_done if written.n_regions is not None or work.n_done else None,
        chunks=written.n_regions,
        seconds_since_write=None if written.newest is None else max(time() - written.newest, 0),
        owner=owner,
        earlier_run=RunDirectory(directory).holds_run,
        go_on=None if state == "running" else _go_on(work, written, job),
    )


def _state(owner: Owner | None) -> State:
    """Return whether the process of the owner lives; on another machine that is unknown."""
    if owner is None:
        return "interrupted"  # each job holds the lock, and removes it when it ends in good order
    if not owner.is_here:
        return "unfinished"
    return "running" if owner.process_lives else "interrupted"


def _phase(work: StagedRun, written: RunFiles, job: str) -> str:
    if work.complete:
        return "place"
    return "predict" if written.has_model or job == "prediction" else "fit"


def _passes_left(written: RunFiles) -> int | None:
    """Return the passes until the estimated remaining gain is below the configured tol, at most up to max_iter."""
    options, last = written.configuration.get("fit"), written.last
    if not isinstance(options, dict) or last is None:
        return None
    try:
        tol, max_iter = float(options["tol"]), int(options["max_iter"])
        passes = passes_left(last["gain"], last["remaining_gain"], tol)
        return None if passes is None else max(min(passes, max_iter + 1 - int(last["iteration"])), 0)
    except (KeyError, TypeError, ValueError):
        return None


def _go_on(work: StagedRun, written: RunFiles, job: str) -> str:
    if work.complete:
        return "all is written; the next job into this directory puts it in place"
    if job == "prediction":
        return "the same daskgmm predict with --resume scores what is missing; with --overwrite it starts over"
    command = f"the same daskgmm {job}"
    if written.has_checkpoint:
        return f"{command} with --resume continues from its checkpoint; with --overwrite it starts over"
    return f"{command} with --overwrite starts over"


def _facts(status: RunStatus) -> dict[str, str | None]:
    return {
        "run": status.directory,
        "state": _STATES[status.state],
        "job": status.job,
        "phase": _PHASES[status.phase] if status.phase else None,
        "iteration": None if status.iteration is None else str(status.iteration),
        "log-likelihood": _number(status.log_likelihood, ".6f", " nats/row"),
        "last gain": _number(status.gain, ".3e"),
        "remaining gain": _number(status.remaining_gain, ".1e", " (estimated)"),
        "candidates": None if status.candidates_left is None else f"{status.candidates_left} still in the sweep",
        "passes left": None if status.passes_left is None else f"about {status.passes_left}",
        "chunks": _chunks(status),
        "last write": _number(status.seconds_since_write, ",.0f", " s ago"),
        "owner": str(status.owner) if status.owner else None,
        "outcome": status.summary.stop_reason if status.summary else None,
        "earlier run": "is in its place meanwhile" if status.earlier_run else None,
        "to go on": status.go_on,
    }


_STATES = {
    "running": "running",
    "interrupted": "interrupted: no job runs here, and what it had written is kept",
    "unfinished": "unfinished: running or interrupted, the time of the last write tells more",
    "finished": "finished",
    "nothing": "no run is here",
}
_PHASES = {
    "read": "reading and seeding: nothing is written yet",
    "fit": "EM on all rows",
    "predict": "results of all rows",
    "place": "all is written and takes its place",
}


def _number(value: float | None, form: str, unit: str = "") -> str | None:
    return None if value is None else f"{value:{form}}{unit}"


def _chunks(status: RunStatus) -> str | None:
    if status.chunks_done is None:
        return None
    return f"{status.chunks_done:,}" + (f" of {status.chunks:,}" if status.chunks is not None else "") + " are done"
