"""record.zarr: what is kept of a fit for people to look at, among it a bounded sample of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...filesystem.retry import denial, is_denied, reason
from ...provenance import DataInfo, PhaseTiming, Record, RunInfo, TrialHistory, WorkerUsage
from ..schema import RECORD_RANGE, RECORD_ROWS, RECORD_WEIGHTS, ArraySpec, check_version
from .untrusted_zarr import Arrays, check_whole, declared_shape, header, read_values, save_plain

_ARRAYS = {"minimum", "maximum", "rows", "row_weights"}
_TYPES = "types"  # the fact that says which arrays there are of the rows, and of what type; those of no row are not


def save_beginning(beginning: DataInfo, path: Path) -> None:
    """Write what was fitted to a zarr group at `path`; `save_course` adds how it went."""
    facts = {name: value for name, value in vars(beginning).items() if name not in _ARRAYS}
    facts["curves"] = [asdict(curve) for curve in beginning.curves]
    rows = {RECORD_ROWS: beginning.rows, RECORD_WEIGHTS: beginning.row_weights}
    kept = {
        _with_dtype(spec, values.dtype.name): values
        for spec, values in rows.items()
        if values is not None and values.size
    }
    arrays = {**kept, RECORD_RANGE: np.stack([beginning.minimum, beginning.maximum])}
    save_plain(path, "record", {"beginning": facts, _TYPES: {spec.name: spec.dtype for spec in kept}}, arrays)


def save_course(course: RunInfo, path: Path) -> None:
    """Add to the record at `path` how the fit went, in the place of what it said of it; raise as `load_record`."""
    facts, arrays = _read(path)
    save_plain(
        path, "record", {"beginning": facts["beginning"], _TYPES: facts[_TYPES], "course": asdict(course)}, arrays
    )


def load_record(path: Path) -> Record:
    """Return the record at `path`; raise DataError where there is none, only a part of one, or a damaged one."""
    facts, arrays = _read(path)
    if "course" not in facts:
        raise DataError(f"{path} says nothing of how the fit went: fit again to have it")
    return Record(_read_beginning(facts, arrays), _course(facts["course"]))


def curves_of(path: Path) -> tuple[TrialHistory, ...]:
    """Return the curves on all rows that the record at `path` has, if any; raise DataError as `load_record`."""
    return _curves(_read(path)[0].get("course", {"curves": []})["curves"])


def check_record(path: Path) -> None:
    """Raise DataError unless the record at `path` is as it was written, whether the fit has ended or not."""
    _read(path)


def _read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Return the facts and arrays of a record; raise DataError unless they are as they were written."""
    try:
        facts = header(path)["attributes"]
        check_version(facts, path, "record")
        arrays = {spec: read_values(path, spec, declared_shape(path, spec)) for spec in _specs(facts)}
        check_whole(path, arrays)
    except DataError:
        raise
    except Exception as error:  # stores raise errors of many classes
        if is_denied(error):
            raise DataError(denial(str(path), "read", error, "output")) from error
        raise DataError(f"{path} is not the record of a fit, or is damaged ({reason(error)}): fit again") from None
    return facts, arrays


def _specs(facts: Mapping[str, Any]) -> list[ArraySpec]:
    """Return the arrays that are stored: what there is of rows, and their range."""
    types = facts[_TYPES]
    rows = [_with_dtype(spec, types[spec.name]) for spec in (RECORD_ROWS, RECORD_WEIGHTS) if spec.name in types]
    return [RECORD_RANGE, *rows]


def _with_dtype(spec: ArraySpec, dtype: str) -> ArraySpec:
    return replace(spec, dtype=dtype, fill_value=0)


def _read_beginning(facts: Mapping[str, Any], arrays: Arrays) -> DataInfo:
    values = {spec.name: array for spec, array in arrays.items()}
    minimum, maximum = values[RECORD_RANGE.name]
    told = facts["beginning"]
    return DataInfo(
        **{
            **told,
            **{name: tuple(told[name]) for name in ("grid", "chunk", "least", "steps")},
            "curves": _curves(told["curves"]),
            "minimum": minimum,
            "maximum": maximum,
            "rows": values.get(RECORD_ROWS.name, np.empty((0, len(minimum)))),
            "row_weights": values.get(RECORD_WEIGHTS.name),
        }
    )


def _course(facts: Mapping[str, Any]) -> RunInfo:
    parts = {
        "curves": _curves(facts["curves"]),
        "spans": tuple(PhaseTiming(**one) for one in facts["spans"]),
        "loads": tuple(WorkerUsage(**one) for one in facts["loads"]),
        "notices": tuple(facts["notices"]),
        "labelled": tuple(facts.get("labelled", ())),
    }
    return RunInfo(**{**facts, **parts})


def _curves(listed: list[dict[str, Any]]) -> tuple[TrialHistory, ...]:
    return tuple(TrialHistory(**{**one, "history": tuple(one["history"])}) for one in listed)
