"""history.json: which rows a model has seen, and how it went on with new ones; sealed by a checksum.

daskgmm history SHA-256 of all that follows this line
{"entries": [...]}: one for each fit, sweep or update that led to the model, the first one first
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ...core.scoring.drift import Drift
from ...errors import DataError
from ...filesystem.checksums import read_sealed, seal
from ...filesystem.location import write_first, writing
from ...filesystem.retry import reason

_KIND = "history"


class SeenRows(BaseModel):
    """The rows of one job."""

    model_config = ConfigDict(frozen=True, strict=True)

    path: str  # absolute, or a URL without credentials
    data: dict[str, Any]  # the section of the configuration that they were read by
    first: int  # step of the first axis at which they begin
    grid: tuple[int, ...]  # their shape
    n_features: int
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
    with writing(path):
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
