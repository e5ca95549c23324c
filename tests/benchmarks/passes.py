"""One pass over 1e6 x 8, k = 8: threads beside one thread, and the scheduler beside the bare kernel."""

from threading import Thread

import dask
import numpy as np

from daskgmm.blas import single_threaded
from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.rows import Rows
from daskgmm.core.em.e_step import expect
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows

from .problems import problem
from .timing import in_turn


def run(tiny: bool = False) -> str:
    """Return medians, and the ratios one thread / two threads and scheduler / bare kernel on two threads."""
    rows, mixture = problem(8, 8, 4_000 if tiny else 1_000_000)
    data_summary = summarise_rows(rows)
    coefficients = (prepare(mixture, data_summary),)
    pass_ = Expectation(Rows.of_memory(rows), data_summary)
    halves = np.array_split(rows, 2)

    def two_threads() -> None:
        threads = [Thread(target=expect, args=(half, None, coefficients)) for half in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def scheduled(n_workers: int) -> None:
        with dask.config.set(scheduler="threads", num_workers=n_workers):
            pass_((mixture,))

    with single_threaded():
        timings = in_turn(
            {
                "kernel, 1 thread": lambda: expect(rows, None, coefficients),
                "kernel, 2 threads": two_threads,
                "scheduler, 1 thread": lambda: scheduled(1),
                "scheduler, 2 threads": lambda: scheduled(2),
            },
            rounds=2 if tiny else 41,
        )
    lines = [
        f"{name:22s} {timings.median(name) * 1e3:8.2f} ms (best {timings.best(name) * 1e3:.2f}), "
        f"{timings.of_processor(name) * 1e3:8.2f} ms of processor"
        for name in timings.seconds
    ]
    for slow, fast, what in (
        ("kernel, 1 thread", "kernel, 2 threads", "speed-up of the kernel on two threads"),
        ("scheduler, 1 thread", "scheduler, 2 threads", "speed-up of a scheduled pass on two threads"),
        ("scheduler, 2 threads", "kernel, 2 threads", "scheduler beside the bare kernel, two threads"),
    ):
        lines.append(
            f"{what}: {timings.ratio(slow, fast):.2f} (of the best times {timings.best(slow) / timings.best(fast):.2f})"
        )
    beside = timings.ratio_of_processor("scheduler, 2 threads", "kernel, 2 threads")
    lines.append(f"processor time of a scheduled pass beside the bare kernel's, two threads: {beside:.2f}")
    return "\n".join(lines)
