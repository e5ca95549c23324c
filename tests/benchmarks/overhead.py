"""What a pass on a cluster of two local workers takes beyond the kernel, and how often the mixtures travel.

The processor time is of this process: client and scheduler. Of a pass over thousands of chunks that are too large for
groups, on a thousand threads, the time until the first of them is computed.
"""

import time
import warnings
from unittest.mock import patch

import numpy as np
from distributed import Client, LocalCluster, Worker, futures_of, wait

from daskgmm.chunked import groups
from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.map_reduce import compute, map_reduce
from daskgmm.chunked.rows import Rows
from daskgmm.core.em.e_step import expect
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows

from .problems import problem
from .timing import in_turn

_WORKERS = 2


def run(tiny: bool = False) -> str:
    """Return the overhead of passes of 16, 1,000 and 10,000 chunks, and the transfers of mixtures of k = d = 100."""
    counts, shape = ((4, 20), (4, 3)) if tiny else ((16, 1000, 10_000), (100, 100))
    cluster = LocalCluster(n_workers=_WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0")
    with cluster, Client(cluster) as client, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")  # the rows themselves, once
        lines = [_overhead(n_chunks, tiny) for n_chunks in counts]
        lines += [_begin(*((40, 10) if tiny else (4769, 1000)), rounds=1 if tiny else 7)]
        return "\n".join([*lines, *_travels(client, *shape, n_chunks=counts[0])])


def _overhead(n_chunks: int, tiny: bool) -> str:
    """Compare passes over 1e6 x 8 rows, k = 8, held by the workers with the kernel on as many threads."""
    rows, mixture = problem(8, 8, 20_000 if tiny else 1_000_000)
    data_summary = summarise_rows(rows)
    chunk_bytes = max(rows.nbytes // n_chunks, 1024)
    held = Rows.of_memory(rows, chunk_bytes=chunk_bytes).persist()
    pass_, coefficients = Expectation(held, data_summary), (prepare(mixture, data_summary),)
    blocks = np.array_split(rows, len(held.block_sizes))

    def kernel() -> None:
        for block in blocks:
            expect(block, None, coefficients)

    timings = in_turn({"pass": lambda: pass_((mixture,)), "kernel": kernel}, rounds=1 if tiny else 7)
    beyond = [p - k / _WORKERS for p, k in zip(timings.seconds["pass"], timings.seconds["kernel"], strict=True)]
    return (
        f"{len(blocks):5d} chunks: pass {timings.median('pass') * 1e3:8.1f} ms, the kernel on {_WORKERS} cores "
        f"{timings.median('kernel') / _WORKERS * 1e3:6.1f} ms, beyond it {float(np.median(beyond)) * 1e3:8.1f} ms "
        f"({min(beyond) * 1e3:.1f} to {max(beyond) * 1e3:.1f}); "
        f"{timings.of_processor('pass') * 1e3:.1f} ms of processor in client and scheduler"
    )


def _begin(n_chunks: int, n_threads: int, rounds: int) -> str:
    """Time passes over chunks of no work, held one by one, with as many tasks as if there were so many threads."""
    rows, own = np.zeros((n_chunks, 1)), dict.fromkeys(range(n_chunks))
    with patch.multiple(groups, _GROUP_BYTES=0, _FEW_TASKS=n_threads):
        held = Rows.of_memory(rows, chunk_bytes=rows.itemsize).persist()
        wait([one for lazy in held.groups.held for one in futures_of(lazy)])
        seconds, processor = [], []
        for _ in range(rounds + 1):
            start, start_processor = time.time(), time.process_time()
            (first,) = compute(map_reduce(held, _now, min, None, own, "pass"))
            seconds.append(first - start)
            processor.append(time.process_time() - start_processor)
        n_tasks = len(held.groups.share_out())
    return (
        f"{n_chunks:5d} chunks held one by one, {n_tasks} tasks: the first is computed after "
        f"{np.median(seconds[1:]):.2f} s ({min(seconds[1:]):.2f} to {max(seconds[1:]):.2f}); "
        f"{np.median(processor[1:]):.2f} s of processor in client and scheduler"
    )


def _now(*_: object) -> float:
    return time.time()


def _travels(client: Client, k: int, d: int, n_chunks: int) -> list[str]:
    """Return how many bytes of mixtures the workers fetch in a pass, and how many all tasks use."""
    rows, mixture = problem(d, k, n_chunks * 600)
    data_summary = summarise_rows(rows)
    held = Rows.of_memory(rows, chunk_bytes=rows.nbytes // n_chunks).persist()
    pass_ = Expectation(held, data_summary)
    pass_((mixture,))
    before, start = _fetched(client), time.time()
    pass_((mixture,))
    size = prepare(mixture, data_summary).theta.nbytes
    fetched = _fetched(client) - before
    return [
        f"mixture of k = {k}, d = {d}: {size / 1e6:.2f} MB of coefficients; {len(held.block_sizes)} tasks use it",
        f"workers fetch {fetched / 1e6:.2f} MB of it from one another in a pass ({fetched / size:.2f} times its size), "
        f"in a pass of {time.time() - start:.2f} s; one each would be {len(held.block_sizes) * size / 1e6:.1f} MB",
    ]


def _fetched(client: Client) -> int:
    """Return the bytes of shared arguments that all workers have fetched so far."""
    return sum(client.run(_fetched_here).values())


def _fetched_here(dask_worker: Worker) -> int:
    log = dask_worker.transfer_incoming_log
    return sum(size for transfer in log for key, size in transfer["keys"].items() if str(key).endswith("-shared"))
