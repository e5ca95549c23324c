"""Labelled rows of chunked data: their moments, from one pass, and the rows without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray

from ..core.em.e_step import Expectation
from ..core.em.labelled_rows import LABELS_AND_MISSING, UNKNOWN, LabelledRows
from ..core.mixture.data_summary import Survey, survey
from ..errors import ConfigurationError, DataError
from .data_summary import survey_and_sample
from .map_reduce import FAN_IN, compute, in_slot
from .rows import Rows, aligned


@dataclass(frozen=True, eq=False)
class _Classes:
    """What rows tell of the classes that they are labelled with; merges by `+`."""

    surveys: tuple[Survey, ...]
    first_bad: tuple[int, float] | None = None  # row and label, if it is that of no component
    some_unknown: bool = False  # whether a row of positive weight has no label

    def __add__(self, other: _Classes) -> _Classes:
        pairs = zip(self.surveys, other.surveys, strict=True)
        some_unknown = self.some_unknown or other.some_unknown
        return _Classes(tuple(one + more for one, more in pairs), self.first_bad or other.first_bad, some_unknown)


def summarise_labelled(rows: Rows, labels: da.Array, n_components: int) -> LabelledRows:
    """Return the moments of the labelled rows of each component, from a pass over all rows.

    `labels` (*grid) are whole numbers from 0 to n_components - 1, or -1. Raises DataError for others, and if no row is
    without label.
    """
    if rows.missing:
        raise ConfigurationError(LABELS_AND_MISSING)
    firsts = np.concatenate([[0], np.cumsum(rows.block_sizes)[:-1]]).tolist()
    lazy = [labels.rechunk(rows.array.chunks[:-1]), rows.array, *([] if rows.weights is None else [rows.weights])]
    blocks = zip(*(one.to_delayed().ravel() for one in lazy), strict=True)
    task = delayed(_summarise, pure=False)
    parts = [task(n_components, first, *block) for first, block in zip(firsts, blocks, strict=True)]
    while len(parts) > 1:
        groups = [parts[at : at + FAN_IN] for at in range(0, len(parts), FAN_IN)]
        parts = [delayed(_merge, pure=False)(group) for group in groups]
    (found,) = compute(parts[0])
    return _moments(found, rows, n_components)


def _summarise(
    n_components: int, first_row: int, labels: NDArray[Any], block: NDArray[Any], weights: NDArray[Any] | None = None
) -> _Classes:
    return in_slot(_summarise_block, n_components, first_row, labels, block, weights)  # type: ignore[no-any-return]


def _summarise_block(
    n_components: int, first_row: int, labels: NDArray[Any], block: NDArray[Any], weights: NDArray[Any] | None
) -> _Classes:
    flat, own = aligned(block).reshape(-1, block.shape[-1]), labels.reshape(-1)
    bad = np.flatnonzero(~np.isin(own, np.arange(UNKNOWN, n_components)))
    weights = None if weights is None else aligned(weights).reshape(-1)
    members = (own == component for component in range(n_components))
    surveys = tuple(survey(flat[one], None if weights is None else weights[one]) for one in members)
    unknown = own == UNKNOWN if weights is None else (own == UNKNOWN) & (weights != 0)
    first_bad = (first_row + int(bad[0]), float(own[bad[0]])) if len(bad) else None
    return _Classes(surveys, first_bad, bool(unknown.any()))


def _merge(parts: Sequence[_Classes]) -> _Classes:
    return reduce(lambda one, other: one + other, parts)


def _moments(found: _Classes, rows: Rows, n_components: int) -> LabelledRows:
    if found.first_bad is not None:
        row, label = found.first_bad
        raise DataError(
            f"{rows.naming.row(rows.place(row))} has the label {label:g}: labels are numbers of components, 0 to "
            f"{n_components - 1}, or -1 if not known"
        )
    if not found.some_unknown:
        raise DataError("all rows of positive weight have labels: label those -1 whose component is to be found")
    counts = np.array([one.weight_sum for one in found.surveys])
    safe = np.where(counts > 0, counts, 1.0)[:, None, None]
    covariances = np.array([one.scatter for one in found.surveys]) / safe
    return LabelledRows(counts, np.array([one.mean for one in found.surveys]), covariances)


def lazy_labels(array: Any, rows: Rows) -> da.Array:
    """Return labels (*grid) of rows, of anything with shape, dtype and [slices], lazily in the chunks of the rows."""
    return da.from_array(array, chunks=rows.array.chunks[:-1], name=f"labels-{uuid4().hex}", asarray=True)


def without_labelled(rows: Rows, labels: da.Array) -> Rows:
    """Return the rows with those of known label left out, by the weight 0."""
    labels = labels.rechunk(rows.array.chunks[:-1])
    unknown = labels == UNKNOWN
    weights = unknown if rows.weights is None else da.where(unknown, rows.weights, rows.weights.dtype.type(0))
    return replace(rows, weights=weights).fused()


def sample_beside_labelled(rows: Rows, labelled: LabelledRows, size: int, seed: int) -> Delayed:
    """Return a lazy sample of the rows, an `Expectation` that has its share of the labelled rows; raise as a summary.

    A sample of a tenth of the rows has a tenth of the weight of the labelled ones.
    """
    unlabelled, sample = survey_and_sample(rows, size, seed, 0.0)
    return delayed(_with_labelled, pure=False)(sample, labelled, unlabelled.weight_sum)


def _with_labelled(sample: Expectation, labelled: LabelledRows, weight_sum: float) -> Expectation:
    return replace(sample, labelled=labelled.scale(sample.survey.weight_sum / weight_sum))
