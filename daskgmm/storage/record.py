"""record.zarr: what is kept of a fit for people to look at, among it a bounded sample of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ..core.record import Beginning, Course, Curve, Load, Record, Span
from ..errors import DataError
from .places import writing, written_whole, zarr_store
from .schema import FORMAT_VERSION, RECORD_RANGE, RECORD_ROWS, RECORD_WEIGHTS, check_version

_ARRAYS = {"minimum", "maximum", "rows", "row_weights"}


def save_beginning(beginning: Beginning, path: Path) -> None:
    """Write what was fitted to a zarr group at `path`; `save_course` adds how it went."""
    facts = {name: value for name, value in vars(beginning).items() if name not in _ARRAYS}
    attributes = {
        "daskgmm_kind": "record",
        "daskgmm_format": FORMAT_VERSION,
        "daskgmm_version": version("daskgmm"),
        "beginning": {**facts, "curves": [asdict(curve) for curve in beginning.curves]},
    }
    arrays = [
        (RECORD_RANGE, np.stack([beginning.minimum, beginning.maximum])),
        (RECORD_ROWS, _native(beginning.rows)),
        *([] if beginning.row_weights is None else [(RECORD_WEIGHTS, _native(beginning.row_weights))]),
    ]
    with writing(path), written_whole(path) as temporary:
        group = zarr.create_group(**zarr_store(temporary), attributes=attributes)
        for spec, values in arrays:
            chunks = tuple(max(size, 1) for size in values.shape)
            group.create_array(spec.name, data=values, chunks=chunks, dimension_names=spec.dims)


def save_course(course: Course, path: Path) -> None:
    """Add to the record at `path` how the fit went."""
    with writing(path):
        zarr.open_group(**zarr_store(path), mode="r+").update_attributes({"course": asdict(course)})


def load_record(path: Path) -> Record:
    """Return the record at `path`; raise DataError where there is none, or only a part of one."""
    try:
        group = zarr.open_group(**zarr_store(path), mode="r")
        attributes: dict[str, Any] = dict(group.attrs)
    except Exception as error:  # zarr raises errors of many classes for a store that is none
        raise DataError(f"{path} cannot be opened as the record of a fit: {error}; fit again to have one") from None
    check_version(attributes, path, "record")
    try:
        return Record(_beginning(group, attributes["beginning"]), _course(attributes["course"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {type(error).__name__} {error}") from None


def _beginning(group: zarr.Group, facts: Mapping[str, Any]) -> Beginning:
    minimum, maximum = np.asarray(_array(group, RECORD_RANGE.name), dtype=np.float64)
    weights = _array(group, RECORD_WEIGHTS.name) if RECORD_WEIGHTS.name in group else None
    shapes = {name: tuple(facts[name]) for name in ("grid", "chunk")}
    arrays = {"minimum": minimum, "maximum": maximum, "rows": _array(group, RECORD_ROWS.name), "row_weights": weights}
    return Beginning(**{**facts, **shapes, **arrays, "curves": _curves(facts["curves"])})


def _course(facts: Mapping[str, Any]) -> Course:
    parts = {
        "curves": _curves(facts["curves"]),
        "spans": tuple(Span(**one) for one in facts["spans"]),
        "loads": tuple(Load(**one) for one in facts["loads"]),
        "notices": tuple(facts["notices"]),
    }
    return Course(**{**facts, **parts})


def _curves(listed: list[dict[str, Any]]) -> tuple[Curve, ...]:
    return tuple(Curve(**{**one, "history": tuple(one["history"])}) for one in listed)


def _array(group: zarr.Group, name: str) -> NDArray[Any]:
    array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise ValueError(f"the array {name!r} is missing")
    return np.asarray(array[...])


def _native(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
