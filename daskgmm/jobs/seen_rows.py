"""The rows that a run has seen: which of a source are new, and whether any were seen before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from ..chunked.fingerprint import fingerprint_of
from ..chunked.rows import Rows
from ..config import Config
from ..core.mixture.data_summary import DataSummary
from ..errors import ConfigurationError, DataError
from ..filesystem.location import is_url, public
from ..fitting.reduction import Reduced
from ..sources import DataOptions, Source, open_source
from ..sources.part import part_of
from ..storage.formats.history import Entry, History, SeenRows, read_history, regions_of_store, write_history
from ..storage.run.directory import HISTORY
from ..storage.run.staging import Unfinished

_ROW_OPTIONS = {
    "columns",
    "weights",
    "labels",
    "mask",
    "missing",
    "given",
    "keep",
    "missing_chunks",
    "storage_options",
}
_DATA = TypeAdapter(DataOptions)


@dataclass(frozen=True, eq=False)
class NewRows:
    """The part of a source that a run has not seen."""

    source: Source
    first: int  # step of the first axis at which it begins
    before: tuple[SeenRows, ...]  # rows of the same store that the run has seen

    @property
    def n_features(self) -> int:
        return _n_features(self.source)


def new_rows(config: Config, history: History) -> NewRows:
    """Return the configured rows without those of the same store that were seen; raise DataError if none are left.

    Raises DataError for a store that has not grown, or that has another shape than it had.
    """
    source = open_source(config.data)
    before = () if config.update.repeat else tuple(one for one in history.rows if _is_same_store(one, config.data))
    if not before:
        return NewRows(source, 0, ())
    last = max(before, key=lambda one: one.stop)
    name = f"data.path {public(config.data.path)}"
    if (source.grid[1:], _n_features(source)) != (last.grid[1:], last.n_features) or source.grid[0] < last.stop:
        raise DataError(
            f"{name} has {_shape(source.grid)} rows of {_n_features(source)} features, but the run has seen "
            f"{_shape((last.stop, *last.grid[1:]))} of {last.n_features} there: it is not the same store; give "
            "update.repeat=true to take all of its rows as new ones"
        )
    if source.grid[0] == last.stop:
        raise DataError(
            f"{name} has no new rows: the run has seen all {last.stop:,}; name others, or give update.repeat=true to "
            "count them twice"
        )
    return NewRows(part_of(source, last.stop, source.grid[0]), last.stop, before)


def _n_features(source: Source) -> int:
    return 1 if len(source.array.shape) == 1 else int(source.array.shape[-1])


def _shape(grid: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in grid)


def _is_same_store(seen: SeenRows, data: DataOptions) -> bool:
    """Return whether rows are of the array that the options name, whatever counts of them."""
    options = _plain(data)
    return seen.path == absolute(data.path) and all(
        seen.data.get(name) == value for name, value in options.items() if name not in {*_ROW_OPTIONS, "path", "format"}
    )


def absolute(path: str) -> str:
    """Return a path by which the same data are found from elsewhere; URLs lose their credentials."""
    if is_url(path) or path.startswith("sample:"):
        return public(path)
    return str(Path(path.removeprefix("file://")).expanduser().absolute())


def _plain(data: DataOptions) -> dict[str, Any]:
    """Return the options as JSON has them, without those that may hold secrets."""
    plain: dict[str, Any] = _DATA.dump_python(replace(data, storage_options={}), mode="json")
    return plain | {"path": public(data.path)}


def seen_rows(
    reduced: Reduced, data_summary: DataSummary, fingerprints: tuple[str, ...], data: DataOptions, first: int = 0
) -> SeenRows:
    """Return the identity of a job's rows as they are fitted, with the number of features of the store."""
    rows = reduced.rows
    return SeenRows(
        path=absolute(data.path),
        data=_plain(data),
        first=first,
        grid=tuple(map(int, rows.grid)),
        n_features=reduced.n_columns,
        dtype=str(rows.array.dtype),
        chunks=tuple(tuple(map(int, sizes)) for sizes in rows.array.chunks[:-1]),
        fingerprints=fingerprints,
        n_rows=int(data_summary.n_rows),
        weight_sum=float(data_summary.weight_sum),
        mean=tuple(data_summary.mean.tolist()),
        minimum=tuple(data_summary.minimum.tolist()),
        maximum=tuple(data_summary.maximum.tolist()),
    )


def keep_seen(seen: SeenRows, job: Literal["fit", "select", "update"], work: Unfinished) -> None:
    """Write which rows a job reads; raise DataError if it continues with others than those that it began with."""
    names = _names_left(work)
    if names and names != seen.fingerprints:
        raise DataError(
            f"{seen.path} does not hold the rows with which the job in {public(str(work.path))} began: put them back, "
            "or start over with --overwrite"
        )
    write_history(History(entries=(Entry(job=job, rows=seen),)), work.path / HISTORY)


def known_rows(rows: Rows, work: Unfinished) -> Rows:
    """Return the rows, whose blocks must be those that the job has read first whenever they are read again."""
    names = _names_left(work)
    return rows.name_blocks(names) if len(names) == len(rows.block_sizes) else rows


def _names_left(work: Unfinished) -> tuple[str, ...]:
    """Return the names of the blocks that a job has read, () if it has left none that can be read."""
    try:
        history = read_history(work.path / HISTORY)
    except DataError:  # it costs a check, not the job
        return ()
    return () if history is None else history.last.rows.fingerprints


def check_old_rows(rows: Rows, before: tuple[SeenRows, ...], name: str) -> None:
    """Raise DataError unless the last chunk that was seen of a store, `rows` of all of it, is as it was."""
    last = max(before, key=lambda one: one.stop)
    if fingerprint_of(rows, regions_of_store(last)[-1]) != last.fingerprints[-1]:
        raise DataError(
            f"{name} has grown, but rows before {last.stop:,} are not those that the run has seen: it is another "
            "store; give update.repeat=true to take all of its rows as new ones"
        )


def old_sources(history: History, config: Config) -> Iterator[tuple[SeenRows, Source]]:
    """Yield the rows that a run has seen and that still count, opened again; raise DataError if they have changed."""
    for seen in history.rows:
        data = _DATA.validate_python(seen.data, strict=False)
        options = config.data.storage_options if is_url(data.path) else {}
        path = data.path if is_url(data.path) or data.path.startswith("sample:") else seen.path
        try:
            source = open_source(replace(data, path=path, storage_options=options))
        except (ConfigurationError, DataError) as error:
            raise DataError(f"update.full_pass reads the rows of {seen.path} again, but {error}") from None
        if source.grid[0] < seen.stop or source.grid[1:] != seen.grid[1:] or _n_features(source) != seen.n_features:
            raise DataError(f"update.full_pass reads the rows of {seen.path} again, but they have another shape now")
        yield seen, part_of(source, seen.first, seen.stop)
