"""The prediction pass: each task scores its block and hands the results on where it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import dask.array as da
import numpy as np
from dask.delayed import Delayed, delayed
from numpy.typing import NDArray

from ..core.arrays.naming import NotFiniteError, name_row
from ..core.kernels.natural_parameters import Coefficients, prepare_prediction
from ..core.mixture.mixture import Mixture
from ..core.scoring.drift import DensityMoments
from ..core.scoring.imputation import impute
from ..core.scoring.merging import cluster_probabilities
from ..core.scoring.prediction import LEFT_OUT, Prediction, PredictionOutputs, predict
from ..core.scoring.quantile_sketch import Counts
from ..errors import DataError
from .map_reduce import add_up, compute, map_reduce, out_of_slot
from .rows import Region, Rows, check_columns, place_in

Write = Callable[[Region, Prediction], None]


@dataclass(frozen=True, eq=False)
class PredictionTotals:
    """What is counted of scored rows; it adds up by `+`."""

    counts: NDArray[np.int64]  # (k,), of the rows that are labelled each component
    n_rows: int  # that are not left out
    density: DensityMoments  # of their log-densities, if these are wanted, each row counted once

    @classmethod
    def nothing(cls, n_components: int) -> PredictionTotals:
        """Return the totals of no rows."""
        return cls(np.zeros(n_components, np.int64), 0, DensityMoments())

    @classmethod
    def of(cls, prediction: Prediction, n_components: int) -> PredictionTotals:
        """Return the totals of a prediction, without the rows that are left out."""
        labels, density = prediction.labels, prediction.log_density
        counts = np.bincount(labels[labels >= 0], minlength=n_components)
        present = labels != LEFT_OUT
        n_rows = int(np.count_nonzero(present))
        if density is None:
            return cls(counts, n_rows, DensityMoments())
        return cls(counts, n_rows, DensityMoments.of(np.asarray(density, np.float64)[present], np.ones(n_rows)))

    def __add__(self, other: PredictionTotals) -> PredictionTotals:
        return PredictionTotals(self.counts + other.counts, self.n_rows + other.n_rows, self.density + other.density)


@dataclass(frozen=True, eq=False)
class Scoring:
    """What a prediction pass does with each block; one value for all of them."""

    coefficients: Coefficients
    n_components: int
    outputs: PredictionOutputs
    write: Write
    strip: int | None  # steps of the first axis that are scored and written at once; None: a block

    def strips(self, region: Region) -> list[Region]:
        """Return the parts of a block's region that are written at once."""
        first, *others = region
        step = self.strip or max(first.stop - first.start, 1)
        cuts = range(first.start, first.stop, step)
        return [(slice(at, min(at + step, first.stop)), *others) for at in cuts]


def predict_to(
    rows: Rows,
    mixture: Mixture,
    outputs: PredictionOutputs,
    write: Write,
    strip: int | None = None,
    done: Callable[[Region], bool] = lambda region: False,
) -> PredictionTotals:
    """Score all rows, calling write(region of the grid, prediction) in tasks; return what was counted.

    A region is a strip of a block, a whole one where `strip` is None. Blocks whose strips are all `done` are neither
    read nor counted. Rows of weight 0 are absent. `write` must bear being pickled, and being called again for a region
    when a worker is lost. Raises DataError where the rows do not fit the mixture.
    """
    check_n_features(rows.n_features, mixture.n_features)
    scoring = Scoring(prepare_prediction(mixture, missing=rows.missing), mixture.n_components, outputs, write, strip)
    regions = dict(enumerate(rows.regions))
    todo = {number: region for number, region in regions.items() if not all(map(done, scoring.strips(region)))}
    if not todo:
        return PredictionTotals.nothing(mixture.n_components)
    scored: PredictionTotals = compute_pass(rows, map_reduce(rows, _predict_chunk, add_up, scoring, todo, "predict"))
    return scored


def compute_pass(rows: Rows, reduced: Delayed) -> Any:
    """Return the computed value of a pass over rows; a value that is not finite is named as the rows are."""
    try:
        (total,) = compute(reduced)
    except NotFiniteError as error:
        raise error.with_naming(rows.naming) from None
    return total


def check_n_features(n_features: int, n_fitted: int) -> None:
    """Raise DataError unless the rows have as many features as those that a model was fitted on."""
    if n_features != n_fitted:
        raise DataError(f"the data have {n_features} features, but the model was fitted on {n_fitted}")


def _predict_chunk(
    block: NDArray[Any], weights: NDArray[Any] | None, scoring: Scoring, region: Region
) -> PredictionTotals:
    scored, at = PredictionTotals.nothing(scoring.n_components), 0
    for strip in scoring.strips(region):
        own = slice(at, at + prod(one.stop - one.start for one in strip))
        prediction = predict(
            block[own],
            None if weights is None else weights[own],
            scoring.coefficients,
            scoring.n_components,
            scoring.outputs,
            lambda row, strip=strip: place_in(strip, row),  # type: ignore[misc]
        )
        out_of_slot(scoring.write, strip, prediction)
        scored += PredictionTotals.of(prediction, scoring.n_components)
        at = own.stop
    return scored


def log_density_counts(rows: Rows, mixture: Mixture) -> Counts:
    """Return a quantile sketch of the rows' log-densities, from a pass over them."""
    check_n_features(rows.n_features, mixture.n_features)
    shared = (prepare_prediction(mixture, missing=rows.missing), mixture.n_components)
    regions = dict(enumerate(rows.regions))
    counts: Counts = compute_pass(rows, map_reduce(rows, _density_chunk, add_up, shared, regions, "density"))
    return counts


_DENSITY_ROWS = 2**17  # counted at once: sorting them takes 70 bytes of each


def _density_chunk(
    block: NDArray[Any], weights: NDArray[Any] | None, shared: tuple[Coefficients, int], region: Region
) -> Counts:
    counts = Counts.of(np.empty(0))
    for density, own_weights in density_strips(block, weights, shared, region):
        counts = counts + Counts.of(density, own_weights)
    return counts


def density_strips(
    block: NDArray[Any], weights: NDArray[Any] | None, shared: tuple[Coefficients, int], region: Region
) -> Iterator[tuple[NDArray[Any], NDArray[Any] | None]]:
    """Yield the log-densities of strips of a block, each (m,), with the weights of their rows."""
    for at in range(0, len(block), _DENSITY_ROWS):
        own = slice(at, at + _DENSITY_ROWS)
        own_weights = None if weights is None else weights[own]
        place = lambda row, at=at: place_in(region, at + row)  # noqa: E731 # of this strip
        density = predict(block[own], own_weights, *shared, PredictionOutputs(log_density=True), place).log_density
        assert density is not None
        yield density, own_weights


@dataclass(frozen=True)
class Likelihood:
    """Sums over rows, by which a mixture is judged; natural logarithms."""

    log_likelihood: float = 0.0  # sum_n weight_n log p(x_n)
    entropy: float = 0.0  # - sum_n weight_n sum_k r_nk log r_nk; 0 if it was not asked for
    weight_sum: float = 0.0

    def __add__(self, other: Likelihood) -> Likelihood:
        return Likelihood(
            self.log_likelihood + other.log_likelihood,
            self.entropy + other.entropy,
            self.weight_sum + other.weight_sum,
        )


def likelihood(rows: Rows, mixture: Mixture, *, entropy: bool = False) -> Likelihood:
    """Return the sums of the rows of positive weight, from a pass over them; raise DataError if there are none."""
    check_n_features(rows.n_features, mixture.n_features)
    if rows.n_rows == 0:
        raise DataError("there are no rows to score: give 1 or more")
    outputs = PredictionOutputs(probabilities=entropy, log_density=True)
    shared = (prepare_prediction(mixture, missing=rows.missing), mixture.n_components, outputs)
    regions = dict(enumerate(rows.regions))
    sums: Likelihood = compute_pass(rows, map_reduce(rows, _likelihood_chunk, add_up, shared, regions, "likelihood"))
    if sums.weight_sum == 0:
        raise DataError(f"the weights of all {rows.n_rows:,} rows are 0: give some a positive weight")
    return sums


def _likelihood_chunk(
    block: NDArray[Any],
    weights: NDArray[Any] | None,
    shared: tuple[Coefficients, int, PredictionOutputs],
    region: Region,
) -> Likelihood:
    coefficients, n_components, outputs = shared
    step = max(_DENSITY_ROWS // (n_components if outputs.probabilities else 1), 1)
    total = Likelihood()
    for at in range(0, len(block), step):
        own = slice(at, at + step)
        own_weights = None if weights is None else check_weights(weights[own], region, at)
        place = lambda row, at=at: place_in(region, at + row)  # noqa: E731 # of this strip
        total = total + _sums(predict(block[own], own_weights, coefficients, n_components, outputs, place), own_weights)
    return total


def check_weights(weights: NDArray[Any], region: Region, at: int) -> NDArray[np.float64]:
    """Return the weights of a strip as float64; raise DataError for one that is negative or not finite."""
    checked: NDArray[np.float64] = weights.astype(np.float64, copy=False)
    bad = np.flatnonzero(~(np.isfinite(checked) & (checked >= 0)))
    if len(bad):
        row = name_row(place_in(region, at + int(bad[0])))
        raise DataError(f"{row} has the weight {checked[bad[0]]:g}: weights must be finite and 0 or more")
    return checked


def _sums(prediction: Prediction, weights: NDArray[np.float64] | None) -> Likelihood:
    """Return the sums of a strip, in which rows of weight 0 have no log-density, and those without a value no label."""
    density = prediction.log_density
    assert density is not None
    weights = np.ones(len(density)) if weights is None else weights
    counted = weights > 0
    resp = prediction.probabilities
    labelled = counted & (prediction.labels != LEFT_OUT)
    entropy = np.zeros(len(density)) if resp is None else -(resp * np.log(np.where(resp > 0, resp, 1.0))).sum(axis=1)
    return Likelihood(
        float(weights[counted] @ density[counted]),
        float(weights[labelled] @ entropy[labelled]),
        float(weights.sum()),
    )


Result = Literal["labels", "probabilities", "log_density", "clusters"]


def predict_lazily(
    array: da.Array,
    mixture: Mixture,
    result: Result,
    clusters: tuple[int, ...] | None = None,
    *,
    missing: bool = False,
) -> da.Array:
    """Return one result of an array (*grid, d) as a lazy array with the same chunks over the grid.

    labels or clusters (*grid) int64, probabilities (*grid, k), with noise (*grid, k + 1), or log_density (*grid).
    `clusters` has the number of each component's cluster, (k,); probabilities are then those of clusters, (*grid,
    n_clusters), or with noise one more. Chunk sizes may be unknown. Rows of which all features are NaN are left out;
    with `missing` NaN is a missing value, and these rows have the log-density 0. Raises DataError where the features do
    not fit the mixture.
    """
    check_n_features(array.shape[-1], mixture.n_features)
    array = array.rechunk({array.ndim - 1: -1})
    coefficients = delayed(prepare_prediction(mixture, missing=missing), pure=False)
    k, features = mixture.n_components, array.ndim - 1
    by_component = result == "probabilities"
    n_groups = k if clusters is None else max(clusters) + 1
    width = n_groups + (mixture.noise is not None)
    dtype = np.dtype(np.int64 if result in {"labels", "clusters"} else np.float64)
    shape = {"chunks": (*array.chunks[:-1], (width,))} if by_component else {"drop_axis": features}
    meta = np.empty((0,) * (array.ndim if by_component else features), dtype)
    scored: da.Array = da.map_blocks(
        _score_block, array, array.shape[-1], coefficients, k, result, clusters, dtype=dtype, meta=meta, **shape
    )
    return scored


def impute_lazily(array: da.Array, mixture: Mixture, *, errors: bool = False) -> da.Array:
    """Return an array (*grid, d) with its missing values (NaN) filled, lazily, in the same chunks over the grid.

    They get their means given what is observed, in the type of the array; with `errors` the result holds their standard
    deviations instead, in float64, and 0 where values are observed. Raises DataError as `predict_lazily`.
    """
    check_n_features(array.shape[-1], mixture.n_features)
    array = array.rechunk({array.ndim - 1: -1})
    coefficients = delayed(prepare_prediction(mixture, missing=True), pure=False)
    dtype = np.dtype(np.float64) if errors else array.dtype
    meta = np.empty((0,) * array.ndim, dtype)
    filled: da.Array = da.map_blocks(
        _impute_block, array, array.shape[-1], coefficients, mixture.n_components, errors, dtype=dtype, meta=meta
    )
    return filled


def _impute_block(
    block: NDArray[Any], n_features: int, coefficients: Coefficients, n_components: int, errors: bool
) -> NDArray[Any]:
    found = impute(check_columns(block, n_features), coefficients, n_components, errors=errors)
    values: NDArray[Any] = found.values if found.errors is None else found.errors
    return values.reshape(block.shape)


def _score_block(
    block: NDArray[Any],
    n_features: int,
    coefficients: Coefficients,
    n_components: int,
    result: Result,
    clusters: tuple[int, ...] | None,
) -> NDArray[Any]:
    outputs = PredictionOutputs(
        probabilities=result == "probabilities",
        log_density=result == "log_density",
        clusters=clusters if result == "clusters" else None,
    )
    flat = check_columns(block, n_features)
    present = _presence(flat) if coefficients.missing is None else None
    values: NDArray[Any] = getattr(predict(flat, present, coefficients, n_components, outputs), result)
    if clusters is not None and result == "probabilities":
        values = cluster_probabilities(values, np.array(clusters))
    shaped = values.reshape(block.shape[:-1] + values.shape[1:])
    return shaped.astype(np.int64) if result in {"labels", "clusters"} else shaped


def _presence(rows: NDArray[Any]) -> NDArray[Any] | None:
    """Return which rows (n, d) hold a number, None if all do in their first column."""
    if rows.dtype.kind != "f" or not np.isnan(rows[:, 0]).any():
        return None
    return np.asarray(~np.isnan(rows).all(axis=1))
