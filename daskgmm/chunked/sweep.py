"""The starts and the passes of a sweep, over chunked rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dask.delayed import Delayed, delayed
from numpy.typing import DTypeLike, NDArray

from ..core.init.splitting import Seeded, partitions, refine_finalists, start_candidate
from ..core.init.starts import SeedOptions, first_stage, restart_seeds
from ..core.kernels.natural_parameters import Coefficients, prepare
from ..core.mixture.covariance import STRUCTURES
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.feature_map import FeatureMap
from ..core.mixture.mixture import Mixture
from ..core.selection.folds import Fold, FoldSplit, FoldStatistics, score
from ..core.selection.sweep import Candidate
from .map_reduce import add_up_each, compute, in_helped_slot, map_reduce
from .rows import Rows

Parts = tuple[FoldStatistics, ...]
Starts = dict[Candidate, tuple[SeedOptions, SeedOptions]]  # on the first part of the sample, and on the whole of it


def seed_all(sample: Delayed, starts: Starts, seed: int) -> dict[str, Seeded]:
    """Return the finalists of each candidate on the sample, by the candidate's name, or why it has none.

    Candidates of one structure come one after the other, since the larger ones grow from the smaller; structures side
    by side. Partitions of the sample are drawn once for each number of components, with and without noise.
    """
    first = delayed(first_stage, pure=False)(sample)
    parts: dict[tuple[int, bool], Delayed] = {}
    last: dict[str, Delayed] = {}
    finals: dict[str, Delayed] = {}
    for one in sorted(starts, key=lambda one: one.n_components):
        options, on_sample = starts[one]
        size = one.n_components, one.noise is not False
        if size not in parts:
            seeds = _seeds(options, seed)
            parts[size] = delayed(in_helped_slot, pure=False)(partitions, first, options, seeds)
        smaller, labels = last.get(one.structure), parts[size]
        found = delayed(in_helped_slot, pure=False)(start_candidate, first, options, labels, smaller)
        last[one.structure] = found
        finals[one.name] = delayed(in_helped_slot, pure=False)(refine_finalists, sample, on_sample, found)
    return dict(zip(finals, compute(*finals.values()), strict=True))


def _seeds(options: SeedOptions, seed: int) -> list[int]:
    return restart_seeds([seed, options.n_components], options.n_init)


@dataclass(frozen=True, eq=False)
class SweepExpectation:
    """A pass of a sweep: mixtures and their folds in, what rows tell of each out.

    Mixtures whose statistics and coefficients exceed `batch_bytes` go in several reads of the rows. Batches depend on
    the mixtures alone, as chunks do on the rows: so the results are the same on any number of workers.
    """

    rows: Rows
    data_summary: DataSummary  # of these rows
    dealing: FoldSplit
    dtype: DTypeLike = np.float64  # of the products
    batch_bytes: int = 64 * 2**20

    def __call__(self, mixtures: tuple[Mixture, ...], folds: tuple[Fold, ...]) -> Parts:
        found: list[FoldStatistics] = []
        for batch in batches(list(map(self._bytes, mixtures)), self.batch_bytes):
            found += self._pass(mixtures[batch], folds[batch])
        return tuple(found)

    def _bytes(self, mixture: Mixture) -> int:
        k, d = mixture.means.shape
        some_rows = self.dealing.n_folds > 0 or mixture.noise is not None
        return bytes_in_pass(k, d, mixture.covariance_type, some_rows=some_rows)

    def _pass(self, mixtures: tuple[Mixture, ...], folds: tuple[Fold, ...]) -> Parts:
        some_rows = self.dealing.n_folds > 0
        coefficients = tuple(prepare(one, self.data_summary, self.dtype, some_rows=some_rows) for one in mixtures)
        shared = (coefficients, folds, self.dealing)
        (total,) = compute(map_reduce(self.rows, _score_chunk, add_up_each, shared, self.rows.first_rows, "sweep"))
        parts: Parts = total
        return parts


def bytes_in_pass(n_components: int, n_features: int, covariance_type: str, *, some_rows: bool) -> int:
    """Return the bytes that a pass sends for a mixture: its coefficients or its statistics, whichever is larger."""
    structure, d = STRUCTURES[covariance_type], n_features
    feature_map = structure.centred_map if some_rows else structure.feature_map
    whitening = d if structure.centred_map is not FeatureMap.FULL else d * d
    return 8 * n_components * max(feature_map.n_columns(d), whitening)


def batches(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Yield slices of consecutive sizes whose sum is at most the limit; a larger size goes alone."""
    start, total = 0, 0
    for number, size in enumerate(sizes):
        if number > start and total + size > limit:
            yield slice(start, number)
            start, total = number, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))


def _score_chunk(
    block: NDArray[Any],
    weights: NDArray[Any] | None,
    shared: tuple[tuple[Coefficients, ...], tuple[Fold, ...], FoldSplit],
    first_row: int,
) -> Parts:
    coefficients, folds, dealing = shared
    return score(block, weights, coefficients, folds, first_row, dealing)
