"""Rows with missing values among others: found, sorted by what they miss, and handed to the kernels that fill them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array
from ..mixture.matrices import Matrices
from . import missing_compiled as kernels
from .compiled import NO_WEIGHTS

NOTHING_FILLED = kernels.Filled(np.empty((0, 0)), np.empty((0, 0)))
_BITS = 64  # features whose gaps one code holds
_DIGITS = 16  # bits of a code that NumPy sorts by digits
_SUMMED_VALUES = 2**16  # at a time in the search for the first gap: 512 KiB of float64


@dataclass(frozen=True, eq=False)
class Pattern:
    """Which rows of a block have gaps."""

    complete: NDArray[np.intp]  # rows without, in order
    partial: NDArray[np.intp]  # rows with some values, sorted by what they miss, and in order among equals
    edges: NDArray[np.intp]  # of the runs of partial rows that miss the same
    n_missing: NDArray[np.uint16]  # values of each of the partial rows
    empty: NDArray[np.intp]  # rows without any value

    def split(self, fewest: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Return the partial rows of runs of at least so many rows, the edges of these runs, and all other rows.

        The others are sorted by how many values they miss.
        """
        lengths = np.diff(self.edges)
        is_long = lengths >= fewest
        in_long = np.repeat(is_long, lengths)
        order = np.argsort(self.n_missing[~in_long], kind="stable")
        return self.partial[in_long], np.cumsum([0, *lengths[is_long]]), self.partial[~in_long][order]

    @property
    def by_number(self) -> NDArray[np.intp]:
        """The partial rows, sorted by how many values they miss."""
        return self.partial[np.argsort(self.n_missing, kind="stable")]


def pattern(block: NDArray[np.floating], row_weights: Array | None) -> Pattern | None:
    """Return which rows (m, d) have gaps, None if none has; rows of weight 0 count as complete."""
    if not _has_nan(block):
        return None
    weights = NO_WEIGHTS if row_weights is None else row_weights
    complete, rows, codes = kernels.rows_with_gaps(block, weights)
    if not len(rows):
        return None
    by_word = codes.T  # NumPy reduces along a short last axis slowly
    is_empty = np.logical_and.reduce(by_word == _all_missing(block.shape[1])[:, None])
    rows, codes, empty = rows[~is_empty], codes[~is_empty], rows[is_empty]
    order = _order(codes, block.shape[1])
    own = codes.T[:, order]
    starts = np.flatnonzero(np.logical_or.reduce(own[:, 1:] != own[:, :-1])) + 1
    edges = np.concatenate([[0], starts, [len(rows)]]) if len(rows) else np.zeros(1, np.intp)
    n_missing = np.bitwise_count(own[:, edges[:-1]]).sum(axis=0, dtype=np.uint16)
    return Pattern(complete, rows[order], edges, np.repeat(n_missing, np.diff(edges)), empty)


def _has_nan(block: NDArray[np.floating]) -> bool:
    """Return whether a value is NaN, by sums of some rows at a time; infinite values may count, which is harmless."""
    n_rows = max(_SUMMED_VALUES // block.shape[1], 1)
    parts = (block[first : first + n_rows] for first in range(0, len(block), n_rows))
    with np.errstate(over="ignore", invalid="ignore"):
        return any(np.isnan(part.sum(dtype=np.float64)) for part in parts)


def _all_missing(d: int) -> NDArray[np.uint64]:
    """Return the codes of a row without any value."""
    bits = [min(d - at, _BITS) for at in range(0, d, _BITS)]
    return np.array([2**n - 1 for n in bits], dtype=np.uint64)


def _order(codes: NDArray[np.uint64], d: int) -> NDArray[np.intp]:
    """Return the stable order of the codes (n, words).

    Up to 16 bits are sorted by their digits. More are sorted together with the numbers of the rows, if both fit into a
    word: no two are the same then, and the fastest sort is stable.
    """
    n = len(codes)
    if codes.shape[1] > 1:
        return np.lexsort(codes.T)
    if d <= _DIGITS:
        return np.argsort(codes[:, 0].astype(np.uint16), kind="stable")
    n_bits = n.bit_length()
    if d + n_bits > _BITS:
        return np.argsort(codes[:, 0], kind="stable")
    numbered = np.sort(codes[:, 0] << np.uint64(n_bits) | np.arange(n, dtype=np.uint64))
    return (numbered & np.uint64(2**n_bits - 1)).astype(np.intp)


def missing_terms(
    precisions: Matrices, means: Array, log_scale: Array, box: Array | None, *, centred: bool
) -> kernels.MissingTerms:
    """Return the kernels' coefficients for missing values, of components in the coordinates of a frame.

    `means` is (k, d), `log_scale` (d,) that of the frame; `centred` says whether each component has its own centre.
    The noise, if there is any, is a last component: uniform on the box (2, d).
    """
    gradients = np.zeros(means.shape) if centred else precisions.apply(means)
    centres = means if centred else np.zeros(means.shape)
    constants = np.broadcast_to(np.log(2 * np.pi) / 2 + log_scale, means.shape)
    if box is not None:
        precisions = precisions.append(12 / (box[1] - box[0]) ** 2)  # of a uniform distribution
        gradients = np.concatenate([gradients, np.zeros((1, means.shape[1]))])
        centres = np.concatenate([centres, box.mean(axis=0)[None]])
        constants = np.concatenate([constants, (np.log(12) / 2 + log_scale)[None]])
    origins = centres.T if centred else np.empty((0, len(centres)))
    last = np.moveaxis(precisions.values.reshape(len(centres), -1, means.shape[1]), 0, -1)
    parts = last, gradients.T, origins, constants.T, centres.T
    # Copies: what is broadcast is read-only, a type of its own for which all kernels would be compiled once more.
    return kernels.MissingTerms(*(np.array(part, np.float64, order="C") for part in parts))


def take_terms(terms: kernels.MissingTerms, components: slice) -> kernels.MissingTerms:
    """Return the terms of some components."""
    return kernels.MissingTerms(*(np.ascontiguousarray(part[..., components]) for part in terms))
