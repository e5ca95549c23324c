"""Cut rows into blocks that the kernels take: C-contiguous float64 or float32, never a whole converted copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .features import Array

_BLOCK_BYTES = 2 * 2**20  # of a converted block: it stays in the second-level cache
_TILES = 256  # blocks hold whole tiles, so that cutting does not change the sums


def native_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float type in which a value of `dtype` is exact where one is: float32 up to 16-bit integers."""
    exact_in_float32 = dtype == np.float32 or (dtype.kind in "iub" and dtype.itemsize <= 2) or dtype == np.float16
    return np.dtype(np.float32 if exact_in_float32 else np.float64)


def blocks(
    rows: NDArray[np.number], row_weights: NDArray[np.number] | None, *, whole: bool = True
) -> Iterator[tuple[NDArray[np.floating], Array | None]]:
    """Yield (block (m, d), weights (m,) float64 or None); rows that need no conversion are one block if `whole`."""
    dtype = native_dtype(rows.dtype)
    ready = rows.dtype == dtype and rows.flags.c_contiguous and rows.dtype.isnative
    step = max(len(rows), 1) if ready and whole else block_rows(rows.shape[1])
    for start in range(0, len(rows), step):
        block = np.ascontiguousarray(rows[start : start + step], dtype=dtype)
        weights = None if row_weights is None else np.ascontiguousarray(row_weights[start : start + step], dtype=float)
        yield block, weights


def block_rows(n_features: int) -> int:
    """Return the number of rows of a converted block: whole tiles, about 2 MiB."""
    return max(_BLOCK_BYTES // (8 * n_features * _TILES), 1) * _TILES
