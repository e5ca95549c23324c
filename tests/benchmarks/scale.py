"""The time of a pass over many chunks on hundreds of workers, all in one process, whose tasks do nothing or wait."""

import gc
import time
import tracemalloc
from collections import Counter
from functools import partial

import dask
import numpy as np
from distributed import Client, LocalCluster, futures_of, get_worker, wait

from daskgmm.chunked.map_reduce import compute, map_reduce
from daskgmm.chunked.rows import Rows
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows

from .problems import problem

_D, _K = 32, 16
_CHUNK_SECONDS = 2.9  # what the kernel takes for a chunk of 256 MiB of float32: 2.1 million rows of 1.38 us
_READ_SECONDS = 1.0  # what a store takes for one: without this, the first workers would have read all before others

# Hundreds of workers in one process would else spend its time on looking how the process is.
_ALONE = {
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.admin.tick.interval": "10s",
    "distributed.worker.profile.enabled": False,
}


class _Nothing:
    """Rows of no memory: what is timed is dask."""

    def __init__(self, n_chunks: int, read_seconds: float) -> None:
        self.shape, self.dtype, self.ndim = (n_chunks, 2), np.dtype(np.float64), 2
        self.read_seconds = read_seconds

    def __getitem__(self, slices: tuple[slice, ...]) -> np.ndarray:
        start, stop, _ = slices[0].indices(self.shape[0])
        time.sleep(self.read_seconds)
        return np.zeros((stop - start, 2))


def run(tiny: bool = False) -> str:
    """Return the seconds of a pass over 100, 1,000 and 10,000 chunks of no time, and over five long ones each."""
    n_workers, counts = (4, (10, 40)) if tiny else (200, (100, 1000, 10_000))
    chunk_seconds, read_seconds = (0.01, 0.01) if tiny else (_CHUNK_SECONDS, _READ_SECONDS)
    rows, mixture = problem(_D, _K, 4000)
    shared = (prepare(mixture, summarise_rows(rows)),)
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": 0}
    with (
        dask.config.set(_ALONE),
        LocalCluster(n_workers=n_workers, processes=False, **options) as cluster,
        Client(cluster),
    ):
        lines = [_timed(n_chunks, shared, 2 if tiny else 3) for n_chunks in counts]
        last = _timed(5 * n_workers, shared, 2, chunk_seconds, read_seconds)
    ideal = f"{5 * chunk_seconds:.2f} s of waiting, in chunks of {chunk_seconds} s, five a worker:"
    return "\n".join([f"{n_workers} workers; mixture of k = {_K}, d = {_D}", *lines, ideal, last])


def _timed(n_chunks: int, shared: object, rounds: int, chunk_seconds: float = 0.0, read_seconds: float = 0.0) -> str:
    source = _Nothing(n_chunks, read_seconds)
    held = Rows.of_readable(source, ((1,) * n_chunks,), chunk_bytes=1).persist()
    wait([one for lazy in (held.groups.held if held.groups else held.arrays) for one in futures_of(lazy)])
    own, seconds, cpu, peak, fullest = dict.fromkeys(range(n_chunks)), [], [], 0, 0
    gc.collect()
    gc.freeze()  # or else half of the time goes into looking for garbage among all that these workers hold
    try:
        for number in range(rounds + 1):
            tracemalloc.start()
            lazy = map_reduce(held, partial(_count, chunk_seconds), _add, shared, own, "pass")
            peak = max(peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            start, cpu_start = time.perf_counter(), time.process_time()
            (chunks_of,) = compute(lazy)
            assert chunks_of.total() == n_chunks
            if number:
                seconds.append(time.perf_counter() - start)
                cpu.append(time.process_time() - cpu_start)
                fullest = max(fullest, *chunks_of.values())
    finally:
        gc.unfreeze()
    best = float(np.median(seconds))
    return (
        f"{n_chunks:6d} chunks: {best:7.2f} s a pass, {best / n_chunks * 1e3:5.2f} ms a chunk "
        f"({min(seconds):.2f} to {max(seconds):.2f} s), {np.median(cpu):.2f} s of processor; the worker with most "
        f"computes {fullest}; its graph takes {peak / 2**20:.1f} MiB of the driver"
    )


def _count(seconds: float, block: np.ndarray, weights: None, shared: object, own: None) -> Counter[str]:
    time.sleep(seconds)
    return Counter({get_worker().address: len(block)})


def _add(counts: list[Counter[str]]) -> Counter[str]:
    return sum(counts, Counter())
