"""The pass of the data summary and the sample, drawn together in one read of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray

from ..core.arrays.naming import Naming, name_column
from ..core.em.e_step import Expectation
from ..core.init.gaps import with_correlations
from ..core.init.starts import in_memory
from ..core.mixture.data_summary import DataSummary, summarise_rows
from ..core.mixture.resolution import Resolution, find_steps, steps_of
from ..errors import DataError
from .fingerprint import fingerprints
from .map_reduce import add_up, compute, map_reduce, persist
from .rows import Rows

Drawn = tuple[NDArray[Any], NDArray[Any] | None]  # rows (m, d) and their weights (m,)


@dataclass(frozen=True, eq=False)
class Summary:
    """What one read of all rows gives."""

    data_summary: DataSummary
    sample: Delayed  # of a core.Expectation
    fingerprints: tuple[str, ...] = ()  # of each block, if they were asked for


def summarise_and_sample(
    rows: Rows, size: int, seed: int, resolution: Literal["auto"] | Resolution = "auto"
) -> tuple[DataSummary, Delayed]:
    """Return the data summary of all rows, and a uniform sample of them that stays where it was drawn.

    The sample is a lazy `core.Expectation` over min(size, n) rows in random order, held in the workers' memory. The
    steps of columns of limited resolution are found on it, unless `resolution` gives them. Raises DataError where
    values or weights cannot be used.
    """
    summary = summarise(rows, size, seed, resolution)
    return summary.data_summary, summary.sample


def summarise(
    rows: Rows, size: int, seed: int, resolution: Literal["auto"] | Resolution = "auto", *, identify: bool = False
) -> Summary:
    """Return what `summarise_and_sample` does; with `identify` fingerprints of all blocks too. Raise as it does."""
    shuffled = delayed(_shuffle, pure=False)(_draw(rows, size, seed), seed, rows.missing)
    result, sample, names = _in_one_read(rows, _data_summary(rows), shuffled, identify=identify)
    if result.has_gaps:
        result = _with_correlations_of(sample, result, rows.naming)
    if isinstance(resolution, str):
        (steps,) = compute(delayed(_steps, pure=False)(sample))
    else:
        steps = steps_of(resolution, rows.n_features)
    return Summary(replace(result, steps=steps), sample, names)


def summarise_and_draw(
    rows: Rows, size: int, seed: int, *, by_column: bool, identify: bool
) -> tuple[DataSummary, Delayed, tuple[str, ...]]:
    """Return the data summary of all rows, and min(size, n) of them as drawn: a lazy pair of rows and weights.

    `by_column` leaves the scatter of the columns out but for its diagonal; `identify` takes fingerprints of all blocks
    too, which come last. Raises DataError as `summarise_and_sample`.
    """
    return _in_one_read(rows, _data_summary(rows, by_column=by_column), _draw(rows, size, seed), identify=identify)


def _in_one_read(
    rows: Rows, data_summary: Delayed, drawn: Delayed, *, identify: bool
) -> tuple[DataSummary, Delayed, tuple[str, ...]]:
    """Return the data summary, the drawn rows, which stay where they are, and the fingerprints of all blocks or ()."""
    marks = (fingerprints(rows),) if identify else ()
    data_summary, drawn, *marked = persist(data_summary, drawn, *marks)
    result, *names = compute(data_summary, *marked)
    check(result, rows)
    return result, drawn, tuple(names[0]) if names else ()


def _with_correlations_of(sample: Delayed, result: DataSummary, naming: Naming) -> DataSummary:
    """Return the data summary with the correlations of the sample, which does without the gaps.

    Raises DataError if a column has no value in the sample.
    """
    (own,) = compute(delayed(_summary_of, pure=False)(sample))
    if own.without_value:
        name = name_column(naming.features, own.without_value[0])
        raise DataError(f"{name} has no value in a sample of {own.n_rows:,} rows: drop it, or raise sample_size")
    return with_correlations(result, own.total_covariance)


def _summary_of(sample: Expectation) -> DataSummary:
    return sample.data_summary


def _steps(sample: Expectation) -> NDArray[np.float64]:
    return find_steps(sample.rows)


def first_rows(sample: Delayed, n_rows: int) -> Drawn:
    """Return the first n_rows of the sample, itself a uniform sample, with their weights or None."""
    (drawn,) = compute(delayed(_first_rows, pure=False)(sample, n_rows))
    rows: Drawn = drawn
    return rows


def _first_rows(sample: Expectation, n_rows: int) -> Drawn:
    weights = sample.row_weights
    return sample.rows[:n_rows].copy(), None if weights is None else weights[:n_rows].copy()


def check(result: DataSummary, rows: Rows) -> None:
    """Raise DataError, naming the first place, if the summarised rows hold faults."""
    if result.first_nonfinite is not None:
        row, column = result.first_nonfinite
        raise DataError(
            f"{result.n_nonfinite} values are not finite, the first in {rows.naming.value(rows.place(row), column)}: "
            f"{rows.naming.advice(result.nonfinite_kinds)}"
        )
    if result.first_bad_weight is not None:
        row, value = result.first_bad_weight
        raise DataError(
            f"{result.n_bad_weights} row weights are negative or not finite, the first ({value}) of "
            f"{rows.naming.row(rows.place(row))}: weights must be 0 or more"
        )
    if result.n_rows == 0:
        raise DataError(
            "there are no rows of positive weight (all weights are zero, or there are no rows): nothing can be fitted"
        )
    if result.without_value:
        raise DataError(
            f"{name_column(rows.naming.features, result.without_value[0])} has no value in any row: drop it"
        )
    _check_sizes(result, rows.naming.features)


_MAX_MAGNITUDE = 1e140  # 1 / it is the smallest: squares and their ratios are then numbers, with room for products


def _check_sizes(result: DataSummary, features: Sequence[str] | None) -> None:
    """Raise DataError where squares of values, or ratios of them, would be no numbers."""
    if not 1 / _MAX_MAGNITUDE <= result.weight_sum <= _MAX_MAGNITUDE:
        raise DataError(
            f"the row weights sum to {result.weight_sum:g}, and must to {1 / _MAX_MAGNITUDE:g} to {_MAX_MAGNITUDE:g}: "
            "rescale them"
        )
    bounds = f"must be {1 / _MAX_MAGNITUDE:g} to {_MAX_MAGNITUDE:g} for their squares to be numbers"
    varying = np.flatnonzero(result.minimum < result.maximum)
    deviations = np.sqrt(result.variance[varying])
    for column, deviation in zip(varying, deviations, strict=True):
        if not 1 / _MAX_MAGNITUDE <= deviation <= _MAX_MAGNITUDE:
            name, extent = name_column(features, int(column)), (result.minimum[column], result.maximum[column])
            raise DataError(
                f"{name} has values from {extent[0]:g} to {extent[1]:g} with the "
                f"standard deviation {deviation:g}: deviations {bounds}, so rescale the column"
            )
    if len(varying) and deviations.max() / deviations.min() > _MAX_MAGNITUDE:
        widest, narrowest = (name_column(features, int(varying[at(deviations)])) for at in (np.argmax, np.argmin))
        raise DataError(
            f"{widest} and {narrowest} have the standard deviations {deviations.max():g} and "
            f"{deviations.min():g}: ratios of them must be at most {_MAX_MAGNITUDE:g}, so rescale the columns"
        )


def _data_summary(rows: Rows, *, by_column: bool = False) -> Delayed:
    how = rows.missing, by_column
    return map_reduce(rows, _summarise_chunk, add_up, how, rows.first_rows, "summarise")


def _summarise_chunk(
    block: NDArray[Any], weights: NDArray[Any] | None, how: tuple[bool, bool], first_row: int
) -> DataSummary:
    missing, by_column = how
    return summarise_rows(block, weights, first_row, missing=missing, by_column=by_column)


def _draw(rows: Rows, size: int, seed: int) -> Delayed:
    """Return min(size, n) rows and their weights, lazily, in the order of the data."""
    chosen = _choose(_positive_rows(rows), size, seed)
    return map_reduce(rows, _take_chunk, _take_combine, None, dict(enumerate(chosen)), "sample")


def _positive_rows(rows: Rows) -> list[int]:
    """Return the number of rows of positive weight of each block; only the weights are read for it."""
    if rows.weights is None:
        return rows.block_sizes
    positive = rows.weights.map_blocks(_count_positive, dtype=np.int64, chunks=(1,) * rows.weights.ndim)
    (counts,) = compute(positive)
    return [int(n) for n in np.asarray(counts).ravel()]


def _count_positive(weights: NDArray[Any]) -> NDArray[np.int64]:
    return np.full((1,) * weights.ndim, np.count_nonzero(weights > 0))


def _choose(block_sizes: Sequence[int], size: int, seed: int) -> list[NDArray[np.int64] | None]:
    """Return for each block which of its rows of positive weight are drawn, None for all of them."""
    total = sum(block_sizes)
    if size >= total:
        return [None] * len(block_sizes)
    drawn = np.sort(np.random.default_rng(seed).choice(total, size, replace=False, shuffle=False))
    ends = np.cumsum(block_sizes)
    parts = np.split(drawn, np.searchsorted(drawn, ends[:-1]))
    return [part - (end - n) for part, end, n in zip(parts, ends, block_sizes, strict=True)]


def _take_chunk(
    block: NDArray[Any], weights: NDArray[Any] | None, shared: None, chosen: NDArray[np.int64] | None
) -> Drawn:
    taken: Any = slice(None) if chosen is None else chosen
    if weights is None:
        return block[taken], None
    positive = np.flatnonzero(weights > 0)
    if chosen is not None and len(chosen) and chosen[-1] >= len(positive):
        raise DataError(
            "row weights are not what they were a moment ago: give such as are the same whenever they are computed"
        )
    positive = positive[taken]
    return block[positive], None if weights.dtype == bool else weights[positive]  # what a mask leaves weighs the same


def _take_combine(parts: list[Drawn]) -> Drawn:
    weights = [weights for _, weights in parts if weights is not None]
    return np.concatenate([rows for rows, _ in parts]), np.concatenate(weights) if weights else None


def _shuffle(drawn: Drawn, seed: int, missing: bool) -> Expectation:
    rows, weights = drawn
    order = np.random.default_rng([seed, 1]).permutation(len(rows))
    return in_memory(rows[order], None if weights is None else weights[order], missing=missing)
