"""Cut rows into blocks that the kernels take: C-contiguous float64 or float32, never a whole converted copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from .types import Array

_BLOCK_BYTES = 4 * 2**20  # of a block in float64: few calls for each chunk, and little memory for converted ones
_TILE_ROWS = 512  # blocks are whole tiles
_SUMS_OF_BLOCK = 4  # times a block's memory that its sums take at most: they are copied and added for each block


def is_real(dtype: Any) -> bool:
    """Return whether a dtype, of NumPy or pandas, is one of real numbers or bool."""
    return getattr(dtype, "kind", "O") in "biuf"


def check_numbers(block: Any) -> NDArray[Any]:
    """Return a block as a plain NumPy array; raise DataError if it is none of real numbers, or has masked values."""
    if not isinstance(block, np.ndarray):
        raise DataError(f"a block is of type {type(block).__name__}: turn it into a NumPy array")
    if isinstance(block, np.ma.MaskedArray):
        if np.ma.getmaskarray(block).any():
            raise DataError("a block has masked values: fill them with NaN, and leave those rows out by weight 0")
        block = np.asarray(block.data)
    if not is_real(block.dtype):
        raise DataError(f"a block is of dtype {block.dtype}, not of real numbers: convert it with astype(float)")
    plain: NDArray[Any] = block
    return plain


def native_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float type in which a value of `dtype` is exact where one is: float32 up to 16-bit integers."""
    exact_in_float32 = dtype == np.float32 or (dtype.kind in "iub" and dtype.itemsize <= 2) or dtype == np.float16
    return np.dtype(np.float32 if exact_in_float32 else np.float64)


def blocks(
    rows: NDArray[np.number], row_weights: NDArray[np.number] | None, width: int = 0, n_sums: int = 0
) -> Iterator[tuple[NDArray[np.floating], Array | None]]:
    """Yield (block (m, d), weights (m,) float64 or None), a view where no conversion is needed.

    `width` is the number of values that are made of a row, if that is more than d, and `n_sums` that of the values
    which a block is summed up to. The cut depends on these and the shape alone, so that type and layout do not change
    the order of sums. No rows are one block of none.
    """
    for part in cut(rows, width, n_sums):
        yield take_block(rows, row_weights, part)


def cut(rows: NDArray[np.number], width: int = 0, n_sums: int = 0) -> list[slice]:
    """Return the rows of each block, as `blocks` yields them."""
    step = block_rows(max(rows.shape[1], width), n_sums)
    return [slice(start, start + step) for start in range(0, max(len(rows), 1), step)]


def take_block(
    rows: NDArray[np.number], row_weights: NDArray[np.number] | None, part: slice
) -> tuple[NDArray[np.floating], Array | None]:
    """Return the block (m, d) of some of the rows, and its weights (m,) float64 or None."""
    weights = None if row_weights is None else _plain(row_weights[part], np.dtype(np.float64))
    return _plain(rows[part], native_dtype(rows.dtype)), weights


def _plain(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the array in the form that the kernels are compiled for, itself where it has it."""
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


def block_rows(width: int, n_sums: int = 0) -> int:
    """Return the number of rows of a block of `width` values each: whole tiles, about 4 MiB, or more for large sums."""
    n_bytes = max(_BLOCK_BYTES, 8 * n_sums // _SUMS_OF_BLOCK)
    return max(n_bytes // (8 * width * _TILE_ROWS), 1) * _TILE_ROWS
