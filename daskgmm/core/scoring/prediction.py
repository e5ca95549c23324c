"""What a mixture says of rows: their labels, the probabilities of their components, their log-densities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...blas import single_threaded
from ..arrays.blocks import blocks
from ..arrays.naming import NotFiniteError, Place
from ..arrays.types import Array
from ..kernels.compiled import OutputBuffers
from ..kernels.missing import NOTHING_FILLED, pattern
from ..kernels.natural_parameters import Coefficients
from ..mixture.noise import NOISE
from .imputation import impute
from .merging import cluster_probabilities

LEFT_OUT = -2  # label of a row that is left out; its probabilities and log-density are NaN


@dataclass(frozen=True)
class PredictionOutputs:
    """Which results a prediction holds in addition to the labels."""

    probabilities: bool = False
    log_density: bool = False
    top: int | None = None  # of the probabilities, only those of this many components: the most probable
    dtype: DTypeLike = np.float64  # of the probabilities
    clusters: tuple[int, ...] | None = None  # of the components: the most probable cluster of each row is wanted
    imputed: bool = False  # the rows with their missing values filled
    imputed_error: bool = False  # and the standard errors of these


@dataclass(frozen=True, eq=False)
class Prediction:
    """Results of n rows."""

    labels: NDArray[np.int32]  # (n,), argmax_k r_nk, NOISE or LEFT_OUT
    probabilities: NDArray[np.floating] | None  # (n, k), r_nk, that of noise last; or (n, m), the m largest, falling
    log_density: Array | None  # (n,), log p(x_n) in nats
    components: NDArray[np.int32] | None = None  # (n, m), whose probabilities those are, where m of k are wanted
    clusters: NDArray[np.int32] | None = None  # (n,), argmax_c sum_{k in c} r_nk, NOISE or LEFT_OUT
    imputed: NDArray[np.number] | None = None  # (n, d), the rows with their missing values filled
    imputed_error: Array | None = None  # (n, d), standard errors, 0 where values are observed

    @classmethod
    def empty(cls, n: int, n_components: int, outputs: PredictionOutputs) -> Prediction:
        """Return a prediction that is still to be filled."""
        top = None if outputs.top is None else min(outputs.top, n_components)
        width = n_components if top is None else top
        return cls(
            np.empty(n, np.int32),
            np.empty((n, width), outputs.dtype) if outputs.probabilities else None,
            np.empty(n) if outputs.log_density else None,
            np.empty((n, top), np.int32) if outputs.probabilities and top is not None else None,
            None if outputs.clusters is None else np.empty(n, np.int32),
        )

    def __getitem__(self, rows: slice) -> Prediction:
        """Return the results of some of the rows, as views."""
        parts = (self.labels, self.probabilities, self.log_density, self.components, self.clusters)
        return Prediction(*(None if part is None else part[rows] for part in parts))  # type: ignore[arg-type]


def predict(
    rows: NDArray[np.number],
    row_weights: NDArray[np.number] | None,
    coefficients: Coefficients,
    n_components: int,
    outputs: PredictionOutputs,
    place: Callable[[int], Place] = lambda row: (row,),
) -> Prediction:
    """Return the prediction for rows (n, d), with the coefficients that `prepare_prediction` returned.

    Probabilities have one column for each component, and a last one for the noise if there is any. Rows whose weight is
    0 are absent, and may hold anything; other weights (n,) change nothing. Raises NotFiniteError
    at a value that is not finite, unless it is NaN and the coefficients are for missing values; `place` says there at
    which index of the grid that row is. A row without any value has the label LEFT_OUT and the log-density 0, and its
    probabilities are the weights.
    """
    width = n_components + coefficients.has_noise
    prediction = Prediction.empty(len(rows), width, outputs)
    clusters = None if outputs.clusters is None else np.array(outputs.clusters)
    held = width if outputs.probabilities or clusters is not None else 0
    at = 0
    with single_threaded():
        for block, weights in blocks(rows, row_weights, held):
            absent = None if weights is None else weights == 0
            _refuse_nonfinite(block, absent, at, place, missing=coefficients.missing is not None)
            if absent is not None and absent.any():
                block = np.where(absent[:, None], block.dtype.type(0), block)  # the kernels take finite rows only
            _fill(prediction[at : at + len(block)], block, absent, coefficients, n_components, clusters)
            at += len(block)
    if outputs.imputed or outputs.imputed_error:
        return _with_imputed(prediction, rows, row_weights, coefficients, n_components, outputs)
    return prediction


def _with_imputed(
    prediction: Prediction,
    rows: NDArray[np.number],
    row_weights: NDArray[np.number] | None,
    coefficients: Coefficients,
    n_components: int,
    outputs: PredictionOutputs,
) -> Prediction:
    """Return the prediction with the rows whose missing values are filled; absent rows become NaN."""
    absent = np.zeros(len(rows), bool) if row_weights is None else np.asarray(row_weights == 0)
    present = np.where(absent[:, None], rows.dtype.type(0), rows) if absent.any() else rows
    found = impute(present, coefficients, n_components, errors=outputs.imputed_error)
    values = found.values if not absent.any() else np.where(absent[:, None], np.nan, found.values)
    errors = None if found.errors is None else np.where(absent[:, None], np.nan, found.errors)
    return replace(prediction, imputed=values if outputs.imputed else None, imputed_error=errors)


def _fill(
    part: Prediction,
    block: NDArray[np.floating],
    absent: NDArray[np.bool_] | None,
    coefficients: Coefficients,
    k: int,
    clusters: NDArray[np.integer] | None,
) -> None:
    """Fill the part of a prediction that belongs to a block; k values for each row are held for this block alone."""
    width = k + coefficients.has_noise
    resp = np.empty((0 if part.probabilities is None and clusters is None else len(block), width))
    log_prob = np.empty(0) if part.log_density is None else part.log_density
    _score(block, coefficients, OutputBuffers(part.labels, resp, log_prob))
    if part.probabilities is not None and part.components is not None:
        part.components[:] = _largest(resp, part.components.shape[1])
        part.probabilities[:] = np.take_along_axis(resp, part.components, axis=1)
    elif part.probabilities is not None:
        part.probabilities[:] = resp
    if coefficients.has_noise:
        for numbers in (part.labels, part.components):
            if numbers is not None:
                numbers[numbers == k] = NOISE
    if part.clusters is not None and clusters is not None:
        _fill_clusters(part.clusters, part.labels, resp, clusters)
    if absent is not None:
        for values, nothing in (
            (part.labels, LEFT_OUT),
            (part.probabilities, np.nan),
            (part.log_density, np.nan),
            (part.components, LEFT_OUT),
            (part.clusters, LEFT_OUT),
        ):
            if values is not None:
                values[absent] = nothing


def _fill_clusters(
    found: NDArray[np.int32], labels: NDArray[np.int32], resp: Array, clusters: NDArray[np.integer]
) -> None:
    """Fill `found` (n,) with the most probable clusters, or NOISE, of rows with these responsibilities and labels."""
    found[:] = cluster_probabilities(resp, clusters).argmax(axis=1)
    found[found > clusters.max()] = NOISE
    found[labels == LEFT_OUT] = LEFT_OUT


def _score(block: NDArray[np.floating], coefficients: Coefficients, outputs: OutputBuffers) -> None:
    """Fill the outputs for a block of rows, in which values may be missing if the coefficients are for that."""
    found = None if coefficients.missing is None else pattern(block, None)
    if found is None:
        coefficients.predict(block, outputs)
        return
    incomplete = np.concatenate([found.by_number, found.empty])
    whole, rest = (_space_for(len(rows), outputs) for rows in (found.complete, incomplete))
    coefficients.predict(block[found.complete], whole)
    coefficients.predict_missing(block[incomplete], rest, NOTHING_FILLED)
    for rows, part in ((found.complete, whole), (incomplete, rest)):
        outputs.labels[rows] = part.labels
        if len(outputs.resp):
            outputs.resp[rows] = part.resp
        if len(outputs.log_prob):
            outputs.log_prob[rows] = part.log_prob
    outputs.labels[found.empty] = LEFT_OUT
    if len(outputs.log_prob):
        outputs.log_prob[found.empty] = 0.0


def _space_for(n: int, outputs: OutputBuffers) -> OutputBuffers:
    """Return empty outputs for n rows, of those that are wanted."""
    return OutputBuffers(*(np.empty((n if len(one) else 0, *one.shape[1:]), one.dtype) for one in outputs))


def _largest(values: Array, m: int) -> NDArray[np.intp]:
    """Return the columns of the m largest values of each row (n, k), the largest first; of equals the first column."""
    columns = np.sort(np.argpartition(-values, m - 1, axis=1)[:, :m], axis=1)
    order = np.argsort(-np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _refuse_nonfinite(
    block: NDArray[np.floating],
    absent: NDArray[np.bool_] | None,
    first_row: int,
    place: Callable[[int], Place],
    *,
    missing: bool,
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(block.sum(dtype=np.float64)):  # most often, and much cheaper than to look at each value
            return
    bad_values = np.isinf(block) if missing else ~np.isfinite(block)
    if absent is not None:
        bad_values[absent] = False
    bad = np.argwhere(bad_values)
    if len(bad):
        row, column = bad[0]
        raise NotFiniteError(place(first_row + int(row)), int(column), float(block[row, column]))
