"""A pass streamed from zarr on two threads, beside reading alone and the kernel alone; fast store and slow store."""

import asyncio
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import zarr
from zarr.storage import LocalStore, WrapperStore

from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.map_reduce import compute, map_reduce
from daskgmm.chunked.read_ahead import ready
from daskgmm.chunked.rows import Rows
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture

from .problems import problem
from .timing import Timings, in_turn

_CHUNK = 131_072  # rows, 8 MiB
_WAIT = 0.05  # seconds for each chunk


class SlowStore(WrapperStore[LocalStore]):
    """A store that waits before it hands over a chunk."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if not key.endswith("zarr.json"):
            await asyncio.sleep(_WAIT)
        return await self._store.get(key, prototype, byte_range)


def run(tiny: bool = False) -> str:
    """Return medians, and the streamed pass beside the sum (fast store) and the larger (slow store) of its parts."""
    chunk = 1_000 if tiny else _CHUNK
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.zarr"
        mixture = _write(path, 4_000 if tiny else 10_000_000, chunk)
        stored = zarr.open_array(path, mode="r")[...]
        held = Rows.of_memory(stored, chunk_bytes=chunk * 16 * 4)
        fast, slow = _rows(LocalStore(path), chunk), _rows(SlowStore(LocalStore(path)), chunk)
        data_summary = summarise_rows(stored[: 8 * chunk])
        timings = in_turn(
            {
                "reading and decoding alone": partial(_on_two_threads, lambda: _read(fast)),
                "kernel alone, rows in memory": partial(
                    _on_two_threads, lambda: Expectation(held, data_summary)((mixture,))
                ),
                "streamed pass": partial(_on_two_threads, lambda: _streamed(fast, data_summary, mixture)),
                "reading alone, slow store": partial(_on_two_threads, lambda: _read(slow)),
                "streamed pass, slow store": partial(_on_two_threads, lambda: _streamed(slow, data_summary, mixture)),
            },
            rounds=2 if tiny else 9,
        )
    return _told(timings)


def _write(path: Path, n: int, chunk: int) -> Mixture:
    """Write n rows x 16 float32 with zarr's default codec, a chunk at a time; return their mixture of 16."""
    _, mixture = problem(16, 16, 1)
    array = zarr.create_array(path, shape=(n, 16), chunks=(chunk, 16), dtype="float32")
    rng = np.random.default_rng(0)
    for at in range(0, n, chunk):
        rows, _ = mixture.sample(min(chunk, n - at), rng)
        array[at : at + chunk] = rng.permutation(rows)
    return mixture


def _rows(store: Any, chunk: int) -> Rows:
    return Rows.of_readable(zarr.open_array(store, mode="r"), (chunk,), chunk_bytes=chunk * 16 * 4).fuse()


def _on_two_threads(call: Callable[[], object]) -> None:
    with dask.config.set(scheduler="threads", num_workers=2):
        call()


def _read(rows: Rows) -> None:
    compute(map_reduce(rows, _count, sum, None, dict.fromkeys(range(len(rows.block_sizes))), "read"))


def _count(block: np.ndarray, weights: None, shared: None, own: None) -> int:
    return len(block)


def _streamed(rows: Rows, data_summary: Any, mixture: Mixture) -> None:
    with ready(rows, keep=False) as streamed:
        Expectation(streamed, data_summary)((mixture,))


def _told(timings: Timings) -> str:
    lines = [
        f"{name:29s} {timings.median(name) * 1e3:8.1f} ms, {timings.of_processor(name) * 1e3:8.1f} of processor"
        for name in timings.seconds
    ]
    rounds = list(zip(*timings.seconds.values(), strict=True))
    fast = [streamed / (read + kernel) for read, kernel, streamed, _, _ in rounds]
    slow = [streamed / max(read, kernel) for _, kernel, _, read, streamed in rounds]
    lines.append(f"streamed pass / (reading alone + kernel alone): {_range(fast)}")
    lines.append(f"slow store: streamed pass / the larger of reading alone and kernel alone: {_range(slow)}")
    return "\n".join(lines)


def _range(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
