"""The chunk plan: where rows are cut. It looks at the data alone, never at the workers: results must not either."""

from __future__ import annotations

from math import ceil, isqrt, prod
from typing import Literal

from ..errors import ConfigurationError

ChunkBytes = int | Literal["auto"]
Stored = tuple[int, ...] | tuple[tuple[int, ...]] | None  # chunk shape of the grid; sizes of pieces of rows; any cut

_TARGET_BYTES = 8 * 2**20
_MIN_CHUNKS, _MAX_CHUNKS = 16, 1024
_ROW_MULTIPLE = 1024  # chunks of more rows, if cut anywhere, are multiples of it: so results can be cut in turn
_MAX_PLANNED_CHUNKS = 10**6  # that are planned at all
_MIN_BYTES, _MAX_BYTES = 64 * 2**10, 256 * 2**20


def target_bytes(total_bytes: int, chunk_bytes: ChunkBytes) -> int:
    """Return the size that a chunk should have.

    `auto` aims at clamp(total / 8 MiB, 16, 1024) chunks of 64 KiB to 256 MiB: 100 kB make 2 chunks, 16 MiB make 16 of
    1 MiB, 4 GiB make 512 of 8 MiB, 100 GiB make 1024 of 100 MiB, 1 TiB makes 4096 of 256 MiB.
    """
    if chunk_bytes != "auto":
        return chunk_bytes
    n_chunks = min(max(total_bytes // _TARGET_BYTES, _MIN_CHUNKS), _MAX_CHUNKS)
    return min(max(ceil(total_bytes / n_chunks), _MIN_BYTES), _MAX_BYTES)


def plan_chunks(
    grid: tuple[int, ...], row_bytes: int, stored: Stored, chunk_bytes: ChunkBytes = "auto"
) -> tuple[int, ...] | tuple[tuple[int, ...]]:
    """Return the chunk shape over the grid of rows: whole stored chunks, grown from the last axis to the first.

    grid is the shape of the leading axes, row_bytes the size of one row, stored the chunk shape in the store (None
    where any cut is as good). A stored chunk over 256 MiB is split along its first axis. Rows that are stored in
    pieces of several sizes, as in tables, have these as `stored`, and their chunks are whole pieces too. Raises
    ConfigurationError where there would be more than a million chunks: each of them is a task of every pass.

    >>> plan_chunks((1000, 180, 360), 16, (1, 90, 90))  # 8 MiB hold 8.1 steps of 180 x 360 cells
    (8, 180, 360)
    >>> plan_chunks((1000,), 16, ((300, 300, 300, 100),), chunk_bytes=8192)  # 512 rows, cut between pieces
    ((600, 400),)
    """
    target = min(target_bytes(prod(grid) * row_bytes, chunk_bytes), _MAX_BYTES)
    target_rows = max(target // row_bytes, 1)
    if stored and isinstance(stored[0], tuple):
        most_rows = max(_MAX_BYTES // row_bytes, 1)
        _check_number(-(-sum(stored[0]) // most_rows), sum(stored[0]))  # before any is made
        chunks = _gather(stored[0], target_rows, most_rows)
        _check_number(len(chunks), sum(stored[0]))
        return (chunks,)
    sizes = [min(s, g) for s, g in zip(stored or (1,) * len(grid), grid, strict=True)]
    for axis in reversed(range(len(grid))):
        growth = max(target_rows // max(prod(sizes), 1), 1)
        sizes[axis] = min(sizes[axis] * growth, grid[axis])
        if sizes[axis] < grid[axis]:
            if stored is None and sizes[axis] > _ROW_MULTIPLE:
                sizes[axis] = _round_rows(sizes[axis])
            break
    most_rows = max(_MAX_BYTES // row_bytes, 1)
    for axis in range(len(grid)):
        sizes[axis] = max(min(sizes[axis], sizes[axis] * most_rows // max(prod(sizes), 1)), 1)
    _check_number(prod(-(-length // size) for length, size in zip(grid, sizes, strict=True)), prod(grid))
    return tuple(sizes)


def _check_number(n_chunks: int, n_rows: int) -> None:
    if n_chunks > _MAX_PLANNED_CHUNKS:
        raise ConfigurationError(
            f"{n_rows:,} rows would be cut into {n_chunks:,} chunks, and at most {_MAX_PLANNED_CHUNKS:,} can be "
            "planned: raise chunk_bytes (256 MiB at most), or take a part of the rows"
        )


def _round_rows(n_rows: int) -> int:
    """Return the number as a multiple of 1024: the next one if little is added, so that no small chunk is left over."""
    up = -(-n_rows // _ROW_MULTIPLE) * _ROW_MULTIPLE
    return up if (up - n_rows) * 16 <= n_rows else up - _ROW_MULTIPLE


def _gather(pieces: tuple[int, ...], target_rows: int, most_rows: int) -> tuple[int, ...]:
    """Return sizes of chunks that are whole pieces, as near to the target as their order allows; huge ones are cut."""
    chunks = [0]
    for piece in pieces:
        if chunks[-1] and chunks[-1] + piece - target_rows > target_rows - chunks[-1]:
            chunks.append(0)
        chunks[-1] += piece
        while chunks[-1] > most_rows:
            chunks.append(chunks[-1] - most_rows)
            chunks[-2] = most_rows
    return tuple(size for size in chunks if size) or (0,)


_STRIP_BYTES = 64 * 2**20


def strip_length(length: int, step_bytes: int, divides: bool = True) -> int:
    """Return the number of steps of a block's first axis that are written at once, about 64 MiB.

    A divisor of the length, where there are several blocks: strips of all blocks are then chunks of one array. A length
    without a fitting divisor takes the next larger one.

    >>> strip_length(65536, 4000), strip_length(1000, 10)  # 1000 probabilities of each row; a label of each
    (16384, 1000)
    """
    target = max(_STRIP_BYTES // step_bytes, 1)
    if not divides:
        return min(target, length)
    divisors = [n for n in range(1, isqrt(length) + 1) if length % n == 0]
    divisors += [length // n for n in divisors]
    below = max(n for n in divisors if n <= target)
    return below if 8 * below >= min(target, length) else min(n for n in divisors if n > target)


def keep_or_plan(
    chunks: tuple[tuple[int, ...], ...], row_bytes: int, chunk_bytes: ChunkBytes
) -> tuple[tuple[int, ...], ...] | tuple[int, ...]:
    """Return the chunks that a user's array brings, unless they are far too small (merged) or too big (split).

    Far too small: under a sixteenth of the target on average. Too big: the largest over 256 MiB.
    """
    grid = tuple(sum(sizes) for sizes in chunks)
    n_chunks, total = prod(len(sizes) for sizes in chunks), prod(grid) * row_bytes
    largest = prod(max(sizes, default=0) for sizes in chunks) * row_bytes
    target = target_bytes(total, chunk_bytes)
    if n_chunks > 1 and total / n_chunks < target / 16:
        return plan_chunks(grid, row_bytes, tuple(max(sizes) for sizes in chunks), chunk_bytes)
    if largest > _MAX_BYTES:
        return plan_chunks(grid, row_bytes, None, _MAX_BYTES)
    return chunks
