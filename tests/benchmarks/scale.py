"""The time of a pass over many chunks on hundreds of workers, all in one process, whose tasks do nothing."""

import time
import tracemalloc

import numpy as np
from distributed import Client, LocalCluster

from daskgmm.chunked.reduction import compute, map_reduce
from daskgmm.chunked.rows import Rows
from daskgmm.core.coefficients import prepare
from daskgmm.core.survey import survey

from .problems import problem

_D, _K = 32, 16


class _Nothing:
    """Rows that take no time to read and no memory: what is timed is dask."""

    def __init__(self, n_chunks: int) -> None:
        self.shape, self.dtype, self.ndim = (n_chunks, 2), np.dtype(np.float64), 2

    def __getitem__(self, slices: tuple[slice, ...]) -> np.ndarray:
        start, stop, _ = slices[0].indices(self.shape[0])
        return np.zeros((stop - start, 2))


def run(tiny: bool = False) -> str:
    """Return the seconds of a pass, and of a task, at 100, 1,000 and 10,000 chunks."""
    n_workers, counts = (4, (10, 40)) if tiny else (200, (100, 1000, 10_000))
    rows, mixture = problem(_D, _K, 4000)
    shared = (prepare(mixture, survey(rows)),)
    cluster = LocalCluster(n_workers, processes=False, threads_per_worker=1, dashboard_address=None, memory_limit=0)
    with cluster, Client(cluster):
        lines = [_timed(n_chunks, shared, rounds=2 if tiny else 3) for n_chunks in counts]
    return "\n".join([f"{n_workers} workers; mixture of k = {_K}, d = {_D}", *lines])


def _timed(n_chunks: int, shared: object, rounds: int) -> str:
    held = Rows.of_readable(_Nothing(n_chunks), ((1,) * n_chunks,), chunk_bytes=1).persisted()
    own, seconds, peak = dict.fromkeys(range(n_chunks)), [], 0
    for number in range(rounds + 1):
        tracemalloc.start()
        lazy = map_reduce(held, _count, sum, shared, own, "pass")
        peak = max(peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        start = time.perf_counter()
        (total,) = compute(lazy)
        assert total == n_chunks
        if number:
            seconds.append(time.perf_counter() - start)
    best = float(np.median(seconds))
    return (
        f"{n_chunks:6d} chunks: {best:7.2f} s a pass, {best / n_chunks * 1e3:5.2f} ms a chunk "
        f"({min(seconds):.2f} to {max(seconds):.2f} s); its graph takes {peak / 2**20:.1f} MiB of the driver"
    )


def _count(block: np.ndarray, weights: None, shared: object, own: None) -> int:
    return len(block)
