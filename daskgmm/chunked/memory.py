"""How rows are cut and kept in memory, and what a job will take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import psutil

from ..concurrency import ReadAhead
from ..core.arrays.blocks import block_rows
from ..core.kernels import low_rank
from ..core.kernels.compiled import tile_rows
from ..core.mixture.covariance import STRUCTURES
from ..options import STRICT, SizeInBytes
from .map_reduce import FAN_IN
from .placement import HELD_SHARE, scheduled_workers
from .rows import Rows

Persist = bool | Literal["auto"]

_READ_COPIES = 3  # a chunk as it is stored, decoded, and put together from stored chunks
_BLOCK_COPIES = 4  # the data summary's: float64, differences, weighted ones, and which values are finite
_SCATTER_COPIES = 5  # of the scatter of all features, while summaries are merged: both, their sum, and the shift's
_STEP_COPIES = 3  # of a mixture, in a step of EM: its covariances, the statistics of a pass, and the step
_RESTART_COPIES = 12  # while a restart is started and improved: statistics, covariances, their factors
_FACTOR_COPIES = 36  # the same of low rank, of which the steps that are combined are as large as mixtures


@dataclass(frozen=True)
class ComputeOptions:
    """How rows are cut, kept and read."""

    __pydantic_config__: ClassVar = STRICT

    persist: Persist = "auto"
    """Keep the rows in memory between passes; auto does if they take at most half of the memory."""
    chunk_bytes: Annotated[int | Literal["auto"], SizeInBytes(minimum=1024, auto=True)] = "auto"
    """Size of a chunk, in bytes or as 64MB; auto aims at 16 to 1024 chunks of about 8 MiB (64 KiB to 256 MiB)."""
    read_ahead: ReadAhead = "auto"
    """Chunks that each process reads ahead while it computes, where rows are streamed; auto: as many as its threads."""


def available_bytes() -> int:
    """Return the memory that rows could take: the limits of the cluster's workers, or what this machine has left.

    Workers without a limit have together what this machine has left.
    """
    left = int(psutil.virtual_memory().available)
    workers = scheduled_workers()
    if workers is None:
        return left
    limits = [int(worker["memory_limit"] or 0) for worker in workers.values()]
    return sum(limits) + (left if 0 in limits else 0)


def fits(rows: Rows, persist: Persist) -> bool:
    """Return whether rows should be held in memory: as told, or by `auto` where they take at most half of it."""
    if persist != "auto":
        return persist
    return rows.n_bytes <= HELD_SHARE * available_bytes()


@dataclass(frozen=True)
class Estimate:
    """What a pass takes at most, by arithmetic; bytes."""

    n_chunks: int
    n_tasks: int  # of one pass
    largest_chunk: int
    per_thread: int  # of each thread that reads: a chunk, and what it is made from
    mixture: int  # statistics or coefficients of one mixture
    restart: int  # all mixtures that a restart on the sample holds
    per_slot: int  # of each thread that computes, beside that: converted blocks, tiles and sums of the kernels
    scatter: int  # that the summary of the rows has of all features, whatever the covariances are


def mixture_bytes(n_components: int, n_features: int, covariance_type: str) -> int:
    """Return the bytes of one mixture's statistics or covariances, whichever is larger."""
    structure, d = STRUCTURES[covariance_type], n_features
    return 8 * n_components * max(structure.feature_map.n_columns(d), d * d if structure.layout.dense else d)


@dataclass(frozen=True)
class MixtureBounds:
    """Between what bounds a fit holds of its mixtures, bytes."""

    least: int  # no step of EM can do without: a machine that has less cannot run the fit, which is refused
    most: int  # of each restart on the sample: what is planned, of which a fit may take less and is not refused by


def mixture_bounds(n_components: int, n_features: int, covariance_type: str) -> MixtureBounds:
    """Return the bounds of what a fit holds of its mixtures."""
    mixture = mixture_bytes(n_components, n_features, covariance_type)
    copies = _FACTOR_COPIES if STRUCTURES[covariance_type].layout.n_factors else _RESTART_COPIES
    return MixtureBounds(_STEP_COPIES * mixture, copies * mixture)


def estimate(rows: Rows, n_components: int, covariance_type: str, *, by_column: bool = False) -> Estimate:
    """Return the estimate for a pass over rows with one mixture, or for that of their summary.

    `by_column` leaves out the scatter of the summary but for its diagonal.
    """
    d, structure = rows.n_features, STRUCTURES[covariance_type]
    n_columns = structure.feature_map.n_columns(d)
    largest_rows = max(rows.block_sizes)
    largest = largest_rows * d * rows.array.dtype.itemsize
    weights = 0 if rows.weights is None else largest_rows * rows.weights.dtype.itemsize
    q = structure.layout.n_factors
    n_tile, tile_width = (
        (low_rank.tile_rows(n_components, d, q), low_rank.tile_columns(n_components, d, q))
        if q
        else (tile_rows(n_columns), n_columns + 3 * n_components + d)
    )
    scatter = 0 if by_column else 8 * d * d
    sums = max(4 * n_components * n_columns * 8, _SCATTER_COPIES * scatter)
    n_combine, level = 0, len(rows.block_sizes)
    while level > 1:
        level = -(-level // FAN_IN)
        n_combine += level
    return Estimate(
        n_chunks=len(rows.block_sizes),
        n_tasks=len(rows.block_sizes) + max(n_combine, 1) + 1,
        largest_chunk=largest,
        per_thread=_READ_COPIES * (largest + weights),
        mixture=mixture_bytes(n_components, d, covariance_type),
        restart=mixture_bounds(n_components, d, covariance_type).most,
        per_slot=_BLOCK_COPIES * min(block_rows(d), largest_rows) * d * 8 + n_tile * tile_width * 8 + sums,
        scatter=scatter,
    )


def resp_bytes(n_rows: int, n_components: int) -> int:
    """Return the size of the responsibilities that are held at once while n_rows rows are labelled."""
    return min(block_rows(n_components), n_rows) * n_components * 8
