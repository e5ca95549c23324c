"""Digests of the data: of some of its chunks, so that they cost little compared with a pass, or of each."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
from dask.delayed import Delayed
from numpy.typing import NDArray

from .known_blocks import hash_block, short_name
from .map_reduce import compute, map_reduce
from .rows import Region, Rows

_N_CHUNKS = 3  # looked at


def digest(rows: Rows) -> str:
    """Return a short name of the rows and weights: equal for equal data, different where a row looked at is."""
    n_chunks = len(rows.block_sizes)
    chosen = np.random.default_rng(n_chunks).choice(n_chunks, min(_N_CHUNKS, n_chunks), replace=False)
    own = dict.fromkeys(sorted(int(number) for number in chosen))
    (digests,) = compute(map_reduce(rows, _digest_chunk, _digest_combine, None, own, "digest"))
    return sha256("".join(digests).encode()).hexdigest()[:16]


def fingerprints(rows: Rows) -> Delayed:
    """Return, lazily, a short name of each block and its weights, by at most 1 MiB of it, in the order of blocks."""
    own = dict.fromkeys(range(len(rows.block_sizes)))
    return map_reduce(rows, _short_chunk, _digest_combine, None, own, "fingerprint")


def fingerprint_of(rows: Rows, region: Region) -> str:
    """Return the short name of the rows of a region of the grid, as `fingerprints` has it of a block that is that."""
    array = rows.array[region].rechunk(-1)
    weights = None if rows.weights is None else rows.weights[region].rechunk(-1)
    ((name,),) = compute(fingerprints(replace(rows, array=array, weights=weights)))
    return str(name)


def _short_chunk(block: NDArray[Any], weights: NDArray[Any] | None, shared: None, own: None) -> list[str]:
    return [short_name(block, weights)]


def _digest_chunk(block: NDArray[Any], weights: NDArray[Any] | None, shared: None, own: None) -> list[str]:
    return [hash_block(block, weights)]


def _digest_combine(parts: list[list[str]]) -> list[str]:
    return [one for part in parts for one in part]
