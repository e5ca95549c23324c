"""How far a job has come, by what it has written so far. Nothing is changed by looking."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from pydantic import BaseModel

from ...filesystem.location import read_file, zarr_store
from ...yaml_text import parse_yaml
from ..schema import RESULTS
from .checkpoint import CHECKPOINTS, load_checkpoint
from .directory import CONFIG, MODEL
from .finished_parts import DONE
from .metrics import METRICS
from .staging import COMPLETE, PLAN, StagedRun


@dataclass(frozen=True)
class RunFiles:
    """What the files of an unfinished job say."""

    configuration: dict[str, Any]  # sections as in config.yaml; empty if it is not there
    last: dict[str, Any] | None  # the record of the last iteration
    has_model: bool
    has_checkpoint: bool
    n_regions: int | None  # of the results, once they are begun; None also for tables, which do not say
    newest: float | None  # time of the last write that can be seen, seconds since 1970


def find_written(work: StagedRun) -> RunFiles:
    """Read the files of an unfinished job; those that it removes meanwhile count as absent."""
    return RunFiles(
        configuration=_configuration(work.folder / CONFIG),
        last=_last_record(work.folder),
        has_model=(work.folder / MODEL / "zarr.json").exists(),
        has_checkpoint=(work.folder / CHECKPOINTS).exists(),
        n_regions=_n_regions(work.folder),
        newest=newest(work.folder, (CONFIG, METRICS, PLAN, DONE, COMPLETE)),
    )


def newest(folder: Path, names: tuple[str, ...]) -> float | None:
    """Return the time of the last write to these files and folders, as far as the store tells."""
    times = [time for name in names if (time := _time(folder / name)) is not None]
    return max(times, default=None)


def _time(path: Path) -> float | None:
    try:
        time = float(path.stat().st_mtime)
    except (OSError, AttributeError, TypeError, ValueError):  # stores need not keep times
        return None
    return time or None


def _configuration(path: Path) -> dict[str, Any]:
    try:
        document = parse_yaml(read_file(path).decode(), CONFIG)
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _last_record(folder: Path) -> dict[str, Any] | None:
    """Return the last iteration that the metrics hold, or a checkpoint: object stores get the metrics at the end."""
    try:
        lines = read_file(folder / METRICS).decode(errors="replace").splitlines()
    except OSError:
        checkpoint = load_checkpoint(folder / CHECKPOINTS)
        lines = [] if checkpoint is None else list(checkpoint.metrics)
    for line in reversed(lines):  # the last one may be half written
        try:
            return _Record.model_validate_json(line).model_dump()
        except ValueError:
            continue
    return None


class _Record(BaseModel):
    """What is shown of an iteration."""

    iteration: int
    log_likelihood: float
    gain: float | None = None
    remaining_gain: float | None = None
    n_live: int | None = None


def _n_regions(folder: Path) -> int | None:
    """Return the number of chunks of the results: those of any of their arrays, which are cut alike."""
    for name in RESULTS:
        if name.endswith(".zarr") and (folder / name / "zarr.json").exists():
            try:
                array = zarr.open_array(**zarr_store(folder / name), path=name.removesuffix(".zarr"), mode="r")
            except (OSError, ValueError, KeyError):
                return None
            return int(array.nchunks)
    return None
