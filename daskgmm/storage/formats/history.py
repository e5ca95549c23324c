"""history.json: which rows a model has seen, and how it went on with new ones; sealed by a checksum.

daskgmm history SHA-256 of all that follows this line
{"entries": [...]}: one for each fit, sweep or update that led to the model, the first one first
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from ...chunked.rows import Region, Rows
from ...core.scoring.drift import Drift
from ...errors import DataError
from ...filesystem.checksums import read_sealed, seal
from ...filesystem.location import guard_write, resolve_location, write_first
from ...filesystem.retry import reason
from ..run.directory import HISTORY

_KIND = "history"


class SeenRows(BaseModel):
    """The rows of one job."""

    model_config = ConfigDict(frozen=True, strict=True)

    path: str  # absolute, or a URL without credentials
    data: dict[str, Any]  # the section of the configuration that they were read by
    first: int  # step of the first axis at which they begin
    grid: tuple[int, ...]  # their shape
    n_features: int  # of the store, also if they were reduced to principal components
    dtype: str
    chunks: tuple[tuple[int, ...], ...]  # sizes of the chunks along each axis of the grid
    fingerprints: tuple[str, ...]  # of each chunk with its weights, in C order
    n_rows: int  # of positive weight
    weight_sum: float  # as they are stored
    mean: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    share: float = 1.0  # of their weight, that they count for

    @property
    def stop(self) -> int:
        """The step of the first axis after the last one."""
        return self.first + self.grid[0]


class Entry(BaseModel):
    """One job: the rows that it read, and of an update what it found."""

    model_config = ConfigDict(frozen=True, strict=True)

    job: Literal["fit", "select", "update"]
    rows: SeenRows
    directory: str | None = None  # of the run that was updated
    model: str | None = None  # fingerprint of its model
    forget: float | None = None
    full_pass: bool = False
    drift: Drift | None = None


class History(BaseModel):
    """All that a model has seen."""

    model_config = ConfigDict(frozen=True, strict=True)

    entries: tuple[Entry, ...]

    @property
    def rows(self) -> tuple[SeenRows, ...]:
        """The rows that count for something."""
        return tuple(one.rows for one in self.entries if one.rows.share > 0)

    @property
    def last(self) -> Entry:
        return self.entries[-1]

    def with_entry(self, entry: Entry, forget: float) -> History:
        """Return the history with a further job, for which the rows before count by `forget`."""
        return History(entries=(*(_scale(one, forget) for one in self.entries), entry))


def _scale(entry: Entry, forget: float) -> Entry:
    rows = entry.rows.model_copy(update={"share": forget * entry.rows.share})
    return entry.model_copy(update={"rows": rows})


def write_history(history: History, path: Path) -> None:
    """Write the history to `path`."""
    with guard_write(path):
        write_first(path, seal(_KIND, history.model_dump_json().encode()))


def read_history(path: Path) -> History | None:
    """Return the history at `path`, None if there is none; raise DataError if it is damaged."""
    if not path.exists():
        return None
    try:
        history = History.model_validate_json(read_sealed(_KIND, path))
    except ValueError as error:
        raise DataError(f"{path} is damaged: {reason(error)}") from None
    if not history.entries:
        raise DataError(f"{path} is damaged: it tells of no rows")
    return history


def updates(history: History | None) -> tuple[tuple[str, int, Drift], ...]:
    """Return path, number and drift of the new rows of each update that a model has had, the first one first."""
    entries = () if history is None else history.entries
    return tuple((one.rows.path, one.rows.n_rows, one.drift) for one in entries if one.drift is not None)


_MEAN_TOLERANCE = 1e-9  # of the range of a column, by which means of the same rows in other chunks may differ


def check_apart(run_a: str | Path, run_b: str | Path, storage_options: Mapping[str, Any] | None, remedy: str) -> None:
    """Raise DataError if two runs have seen the same rows, as far as they know; `remedy` as in `check_unseen`."""
    one, other = (read_history(resolve_location(run, storage_options) / HISTORY) for run in (run_a, run_b))
    for rows in () if other is None else other.rows:
        if one is not None:
            check_unseen(rows, one, remedy)


def check_unseen(new: SeenRows, history: History, remedy: str) -> None:
    """Raise DataError if rows, or a chunk of them, are in a history, wherever they were stored.

    `remedy` is the option by which they count twice.
    """
    known = {name: one for one in history.rows for name in one.fingerprints}
    for region, name in zip(regions_of_store(new), new.fingerprints, strict=True):
        if name in known:
            raise DataError(
                f"rows {region[0].start:,} to {region[0].stop:,} of {new.path} are rows of {known[name].path} that "
                f"were seen before: leave them out, or give {remedy} to count them twice"
            )
    for one in history.rows:
        if _alike(one, new):
            raise DataError(
                f"the {new.n_rows:,} rows of {new.path} are those of {one.path} that were seen before, in another "
                f"order or other chunks: name others, or give {remedy} to count them twice"
            )


def _alike(one: SeenRows, other: SeenRows) -> bool:
    """Return whether rows have the same number, weight, range and mean."""
    exact = ((rows.n_rows, rows.n_features, rows.minimum, rows.maximum) for rows in (one, other))
    if next(exact) != next(exact):
        return False
    extent = np.subtract(one.maximum, one.minimum)
    same_mean = np.abs(np.subtract(one.mean, other.mean)) <= _MEAN_TOLERANCE * extent
    return bool(same_mean.all()) and abs(one.weight_sum - other.weight_sum) <= _MEAN_TOLERANCE * one.weight_sum


def regions_of_store(seen: SeenRows) -> list[Region]:
    """Return the part of the store's grid that each chunk holds."""
    return [
        (slice(one.start + seen.first, one.stop + seen.first), *others) for one, *others in Rows.regions_of(seen.chunks)
    ]
