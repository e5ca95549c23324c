"""Blocks that were read before: a later read must find the same rows, or passes would mix two sets of data."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

_HASHED_BYTES = 2**20  # of a block that its name is made of, evenly spread over its rows


@dataclass(frozen=True)
class KnownBlock:
    """What an earlier read has found of a block."""

    name: str  # of its rows and weights, as `short_name` has it
    place: str  # which rows these are, in words

    def check_held(self, block: NDArray[Any], weights: NDArray[Any] | None) -> None:
        """Raise DataError if rows (*grid, d) and weights (*grid) are not those that were read.

        Those that stay in memory, in which nobody changes them, are looked at once in a process; if a worker is lost,
        and they are read again elsewhere, they are so once more.
        """
        before = _CHECKED.get(id(block))
        if before is not None and before.is_of(self.name, block, weights):
            return
        self.check(block.reshape(-1, block.shape[-1]), None if weights is None else weights.reshape(-1))
        with suppress(TypeError):  # of a class that takes no weak references
            _CHECKED[id(block)] = _Checked.of(self.name, block, weights)

    def check(self, block: NDArray[Any], weights: NDArray[Any] | None) -> None:
        """Raise DataError if rows (m, d) and weights (m,) are not those that were read."""
        if short_name(block, weights) != self.name:
            raise DataError(
                f"{self.place} of the data are not what they were when they were read first: put them back, or start "
                "over, a job with --overwrite; if an array differs each time it is computed, fit array.persist()"
            )


@dataclass(frozen=True)
class _Checked:
    """A block that has been looked at, while it is in memory."""

    name: str
    block: ref[NDArray[Any]]
    weights: ref[NDArray[Any]] | None

    @classmethod
    def of(cls, name: str, block: NDArray[Any], weights: NDArray[Any] | None) -> _Checked:
        """Return the block under its name, which is forgotten with it."""
        number = id(block)
        return cls(name, ref(block, lambda _: _CHECKED.pop(number, None)), None if weights is None else ref(weights))

    def is_of(self, name: str, block: NDArray[Any], weights: NDArray[Any] | None) -> bool:
        """Return whether these very arrays were looked at under that name."""
        own = None if self.weights is None else self.weights()
        return self.name == name and self.block() is block and own is weights


_CHECKED: dict[int, _Checked] = {}  # by the number of the block


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
