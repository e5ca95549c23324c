"""Blocks that were read before: a later read must find the same rows, or passes would mix two sets of data."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

_HASHED_BYTES = 2**20  # of a block that its name is made of, evenly spread over its rows


@dataclass(frozen=True)
class KnownBlock:
    """What an earlier read has found of a block."""

    name: str  # of its rows and weights, as `short_name` has it
    place: str  # which rows these are, in words

    def check(self, block: NDArray[Any], weights: NDArray[Any] | None) -> None:
        """Raise DataError if rows (m, d) and weights (m,) are not those that were read."""
        if short_name(block, weights) != self.name:
            raise DataError(
                f"{self.place} of the data are not what they were when they were read first: put them back, or start "
                "over, a job with --overwrite; of an array that differs each time it is computed, fit array.persist()"
            )


def short_name(block: NDArray[Any], weights: NDArray[Any] | None) -> str:
    """Return a short name of rows (m, d) and weights (m,): equal for equal ones, another if one looked at differs."""
    return hash_block(block, weights)[:16]


def hash_block(block: NDArray[Any], weights: NDArray[Any] | None) -> str:
    """Return the digest of rows (m, d), of at most 1 MiB of them, and of their weights (m,)."""
    row_bytes = max(block.shape[1] * block.dtype.itemsize, 1)
    step = max(-(-len(block) * row_bytes // _HASHED_BYTES), 1)
    found = sha256(np.ascontiguousarray(block[::step]).tobytes())
    if weights is not None:
        found.update(np.ascontiguousarray(weights[::step]).tobytes())
    return found.hexdigest()
