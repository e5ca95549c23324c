"""One pass on one thread for each covariance structure, beside full; and how near to the memory's speed it is.

Times are of the processor. Diagonal and spherical structures of many features do so little with a value that reading it
counts: "of memory" is the rate at which a pass takes bytes of rows over that of a sum of squares of all of them, which
is bound by memory.
"""

import time
from collections.abc import Callable

import numpy as np

from daskgmm.blas import single_threaded
from daskgmm.core.em.e_step import Expectation
from daskgmm.core.mixture.data_summary import summarise_rows

from .problems import problem
from .timing import in_turn

_STRUCTURES = ("full", "tied", "diag", "spherical")
_WIDE = ((64, 8), (256, 2), (256, 8), (1024, 2))
_WIDE_VALUES = 25_000_000  # 200 MB: more than caches hold


def run(tiny: bool = False) -> str:
    """Return nanoseconds per row with the ratio full / structure, then the shares of the memory's speed."""
    calls, n = {}, 512 if tiny else 100_000
    for covariance_type in _STRUCTURES:
        rows, mixture = problem(32, 32, n, covariance_type)
        calls[covariance_type] = _pass(rows, mixture)
    with single_threaded():
        timings = in_turn(calls, 1 if tiny else 9, time.process_time)
        wide = [_wide(d, k, tiny) for d, k in (_WIDE[:1] if tiny else _WIDE)]
    lines = [
        f"{name:10s} {timings.median(name) / n * 1e9:8.1f} ns/row   full / {name}: {timings.ratio('full', name):.2f}"
        for name in calls
    ]
    return "\n".join([*lines, *wide])


def _pass(rows: np.ndarray, mixture: object) -> Callable[[], object]:
    pass_ = Expectation(rows, None, summarise_rows(rows))
    return lambda: pass_((mixture,))


def _wide(d: int, k: int, tiny: bool) -> str:
    n = (2_000 if tiny else _WIDE_VALUES) // d
    calls = {}
    for covariance_type in ("diag", "spherical"):
        rows, mixture = problem(d, k, n, covariance_type)
        calls[covariance_type] = _pass(rows, mixture)
    values = rows.ravel()
    timings = in_turn(calls | {"memory": lambda: np.dot(values, values)}, 1 if tiny else 5, time.process_time)
    shares = ", ".join(
        f"{name} {rows.nbytes / timings.median(name) / 1e9:5.2f} GB/s ({timings.ratio('memory', name):.3f} of memory)"
        for name in calls
    )
    return f"d = {d}, k = {k}: {shares}; a sum of squares {rows.nbytes / timings.median('memory') / 1e9:.1f} GB/s"
