"""Folds: rows dealt into parts by a seeded hash of their numbers, so that a pass trains and judges without copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..em.e_step import Rows, expect
from ..kernels.natural_parameters import Coefficients
from ..mixture.statistics import Statistics

Fold = int | None  # the part that is held out; None: a mixture of all rows


@dataclass(frozen=True)
class FoldSplit:
    """How rows are dealt into parts."""

    n_folds: int = 0  # 0: all rows are one part, and nothing is held out
    seed: int = 0


@dataclass(frozen=True)
class HeldOutStatistics:
    """What a mixture says of rows that it is not fitted to; merges by `+`."""

    log_likelihood: float = 0.0  # sum_n weight_n log p(x_n)
    weight_sum: float = 0.0

    def __add__(self, other: HeldOutStatistics) -> HeldOutStatistics:
        return HeldOutStatistics(self.log_likelihood + other.log_likelihood, self.weight_sum + other.weight_sum)

    @property
    def mean(self) -> float:
        """Log-likelihood per unit of row weight, in nats; NaN without rows."""
        return self.log_likelihood / self.weight_sum if self.weight_sum > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class FoldStatistics:
    """What a pass tells of one mixture; merges by `+`."""

    statistics: Statistics  # of the rows that it is fitted to
    held_out: HeldOutStatistics = HeldOutStatistics()

    def __add__(self, other: FoldStatistics) -> FoldStatistics:
        return FoldStatistics(self.statistics + other.statistics, self.held_out + other.held_out)


def fold_of(first_row: int, n_rows: int, dealing: FoldSplit) -> NDArray[np.int64]:
    """Return the part of each of n rows, the first of which has the number `first_row`: a hash of seed and number.

    The hash is SplitMix64 (Steele, Lea and Flood 2014); parts are equal in size but for chance.
    """
    with np.errstate(over="ignore"):
        mixed = np.arange(first_row, first_row + n_rows, dtype=np.uint64) + np.uint64(dealing.seed) * _GOLDEN
        mixed = (mixed + _GOLDEN) * _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(dealing.n_folds)).astype(np.int64)


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def score(
    rows: Rows,
    row_weights: Rows | None,
    coefficients: tuple[Coefficients, ...],
    folds: Sequence[Fold],
    first_row: int,
    dealing: FoldSplit,
) -> tuple[FoldStatistics, ...]:
    """Return the fold statistics of rows (n, d), from number `first_row` on; row_weights is (n,) or None.

    Every part is read by every mixture once: its statistics are the sum over the parts that are not held out from it,
    and its own part gives the held-out log-likelihood.
    """
    if not dealing.n_folds:
        return tuple(map(FoldStatistics, expect(rows, row_weights, coefficients)))
    part_of, totals = fold_of(first_row, len(rows), dealing), list[FoldStatistics | None]([None] * len(folds))
    held_out = [HeldOutStatistics()] * len(folds)
    for part in range(dealing.n_folds):
        own = part_of == part
        found = expect(rows[own], None if row_weights is None else row_weights[own], coefficients)
        for number, (one, fold) in enumerate(zip(found, folds, strict=True)):
            if fold == part:
                held_out[number] = HeldOutStatistics(one.log_likelihood, one.weight_sum)
            else:
                before = totals[number]
                totals[number] = FoldStatistics(one) if before is None else before + FoldStatistics(one)
    return tuple(
        FoldStatistics(one.statistics, out) for one, out in zip(totals, held_out, strict=True) if one is not None
    )
