"""Labelled rows of chunked data: their moments, from one pass, and the rows without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray

from ..core.em.e_step import Expectation
from ..core.em.labelled_rows import UNKNOWN, LabelledRows
from ..core.mixture.data_summary import DataSummary, summarise_rows
from ..errors import DataError
from .data_summary import summarise_and_sample
from .known_blocks import KnownBlock, short_name
from .map_reduce import add_up, compute, map_reduce
from .rows import Rows, as_declared, name_rows


@dataclass(frozen=True, eq=False)
class _Classes:
    """What rows tell of the classes that they are labelled with; those of rows and of the next ones merge by `+`."""

    n_rows: int
    complete: tuple[DataSummary, ...]  # of the rows without gaps
    gappy: tuple[DataSummary, ...]  # of those with gaps
    first_bad: tuple[int, float] | None  # row and label, if it is that of no component
    some_unknown: bool  # whether a row of positive weight has no label
    names: tuple[str, ...]  # of the rows without the labelled ones, of each block
    label_names: tuple[str, ...]  # of the labels of each block

    def __add__(self, other: _Classes) -> _Classes:
        complete = tuple(one + more for one, more in zip(self.complete, other.complete, strict=True))
        gappy = tuple(one + more for one, more in zip(self.gappy, other.gappy, strict=True))
        return _Classes(
            self.n_rows + other.n_rows,
            complete,
            gappy,
            self.first_bad or (other.first_bad and (self.n_rows + other.first_bad[0], other.first_bad[1])),
            self.some_unknown or other.some_unknown,
            self.names + other.names,
            self.label_names + other.label_names,
        )


@dataclass(frozen=True, eq=False)
class LabelledGaps:
    """Chunked rows of which some are labelled and have gaps."""

    rows: Rows
    labels: da.Array  # (*grid), in the chunks of the rows


@dataclass(frozen=True, eq=False)
class LabelledSummary:
    """What one pass tells of the labelled rows."""

    complete: LabelledRows  # the moments of those without gaps
    all_rows: LabelledRows  # and of all of them, by the values that they have: for starts on a sample
    has_gaps: bool
    names: tuple[str, ...]  # of the rows without the labelled ones, of each block (`chunked.known_blocks`)
    label_names: tuple[str, ...]  # of the labels of each block


def summarise_labelled(rows: Rows, labels: da.Array, n_components: int, data_summary: DataSummary) -> LabelledSummary:
    """Return the moments of the labelled rows of each component, from a pass over the rows of the data summary.

    `labels` (*grid), in the chunks of the rows, are whole numbers from 0 to n_components - 1, or -1. Raises DataError
    for others, and if no row is without label.
    """
    (found,) = compute(map_reduce(rows, _summarise_chunk, add_up, n_components, labels, "classes"))
    _check(found, rows, n_components)
    return _moments(found, data_summary)


def _summarise_chunk(
    block: NDArray[Any], weights: NDArray[Any] | None, n_components: int, labels: NDArray[Any]
) -> _Classes:
    own = labels.reshape(-1)
    bad = np.flatnonzero(~np.isin(own, np.arange(UNKNOWN, n_components)))
    has_gaps = np.isnan(block).any(axis=1)
    complete, gappy = (
        tuple(
            summarise_rows(block[one], None if weights is None else weights[one], missing=True)
            for one in (chosen & (own == component) for component in range(n_components))
        )
        for chosen in (~has_gaps, has_gaps)
    )
    unknown = own == UNKNOWN if weights is None else (own == UNKNOWN) & (weights != 0)
    first_bad = (int(bad[0]), float(own[bad[0]])) if len(bad) else None
    names = (short_name(block, _without_labelled(own, weights)),)
    label_names = (short_name(own[:, None], None),)
    return _Classes(len(own), complete, gappy, first_bad, bool(unknown.any()), names, label_names)


def _check(found: _Classes, rows: Rows, n_components: int) -> None:
    """Raise DataError for labels that are none, and if no row is without label."""
    if found.first_bad is not None:
        row, label = found.first_bad
        raise DataError(
            f"{rows.naming.row(rows.place(row))} has the label {label:g}: labels are numbers of components, 0 to "
            f"{n_components - 1}, or -1 if not known"
        )
    if not found.some_unknown:
        raise DataError("all rows of positive weight have labels: label those -1 whose component is to be found")


def _moments(found: _Classes, data_summary: DataSummary) -> LabelledSummary:
    complete = all_rows = _of_classes(found.complete)
    if has_gaps := any(one.n_rows for one in found.gappy):
        together = (one + more for one, more in zip(found.complete, found.gappy, strict=True))
        all_rows = _of_classes([_fill_gaps(one, data_summary) for one in together])
    return LabelledSummary(complete, all_rows, has_gaps, found.names, found.label_names)


def _of_classes(data_summaries: Sequence[DataSummary]) -> LabelledRows:
    counts = np.array([one.weight_sum for one in data_summaries])
    safe = np.where(counts > 0, counts, 1.0)[:, None, None]
    covariances = np.array([one.scatter for one in data_summaries]) / safe
    return LabelledRows(counts, np.array([one.mean for one in data_summaries]), covariances)


def _fill_gaps(one: DataSummary, data_summary: DataSummary) -> DataSummary:
    """Return the data summary of a class as if its rows had no gaps: by its present values, or all rows' if none."""
    if not one.has_gaps:
        return one
    known = one.column_weights > 0
    root = np.sqrt(np.where(known, one.column_weights, 1.0))
    scatter = one.weight_sum * np.where(known, one.scatter / np.outer(root, root), np.diag(data_summary.variance))
    mean = np.where(known, one.mean, data_summary.mean)
    return replace(one, origin=mean, lead=np.zeros_like(mean), scatter=scatter, n_gaps=(), value_weights=())


def lazy_labels(array: Any, rows: Rows) -> da.Array:
    """Return labels (*grid) of rows, of anything with shape, dtype and [slices], lazily in the chunks of the rows."""
    return da.from_array(array, chunks=rows.array.chunks[:-1], name=f"labels-{uuid4().hex}", asarray=True)


def cut_labels(labels: da.Array, rows: Rows) -> da.Array:
    """Return the labels (*grid) in the chunks of the rows; blocks that are not as large as they say are refused."""
    return as_declared(labels, "labels").rechunk(rows.array.chunks[:-1])


def without_labelled(rows: Rows, labels: da.Array) -> Rows:
    """Return the rows with those of known label left out, by the weight 0; labels (*grid) are in their chunks."""
    arrays = [labels, *rows.arrays[1:]]
    dtype = np.dtype(bool) if rows.weights is None else rows.weights.dtype
    weights = da.map_blocks(_without_labelled, *arrays, dtype=dtype, meta=np.empty((), dtype))
    return replace(rows, weights=weights).fuse()


def _without_labelled(labels: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return the weights of rows, those of known label left out."""
    unknown = labels == UNKNOWN
    return unknown if weights is None else np.where(unknown, weights, weights.dtype.type(0))


def name_labels(labels: da.Array, rows: Rows, names: tuple[str, ...]) -> da.Array:
    """Return labels (*grid) in the chunks of the rows, whose blocks must have these names whenever they are read.

    A DataError tells of others.
    """
    known = np.empty(labels.numblocks, dtype=object)
    for index, name, region in zip(np.ndindex(known.shape), names, rows.regions, strict=True):
        known[index] = KnownBlock(name, f"labels of {name_rows(region)}")
    blocks = da.from_array(known, chunks=1, name=f"labels-known-{uuid4().hex}")
    checked: da.Array = da.map_blocks(
        _check_labels, labels, blocks, dtype=labels.dtype, chunks=labels.chunks, meta=np.empty((), labels.dtype)
    )
    return checked


def _check_labels(labels: NDArray[Any], known: NDArray[Any]) -> NDArray[Any]:
    known.item().check(labels.reshape(-1, 1), None)
    return labels


def sample_beside_labelled(rows: Rows, labelled: LabelledRows, size: int, seed: int) -> Delayed:
    """Return a lazy sample of the rows, an `Expectation` that has its share of the labelled rows; raise as a summary.

    A sample of a tenth of the rows has a tenth of the weight of the labelled ones.
    """
    unlabelled, sample = summarise_and_sample(rows, size, seed, 0.0)
    return delayed(_with_labelled, pure=False)(sample, labelled, unlabelled.weight_sum)


def _with_labelled(sample: Expectation, labelled: LabelledRows, weight_sum: float) -> Expectation:
    return replace(sample, labelled=labelled.scale(sample.data_summary.weight_sum / weight_sum))
