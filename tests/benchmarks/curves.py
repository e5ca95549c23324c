"""Seconds of a pass, and of the processor, by n, k, d, threads and workers; full covariance, float64, rows in memory.

Seconds of the processor are those of this process, so passes of workers have none. n goes as far as half of the memory
holds; rows of workers are drawn where they stay. The plot is written to the file that DASKGMM_BENCHMARK_PLOT names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import psutil
from distributed import Client, LocalCluster

from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.rows import Rows
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.feature_map import FeatureMap

from .problems import problem
from .timing import in_turn

try:
    from matplotlib.figure import Figure
except ImportError:  # the extra [bench]
    Figure = None

_D, _K = 8, 8
_CHUNK = 131_072


@dataclass(frozen=True)
class Curve:
    """Seconds of a pass at values of one quantity."""

    quantity: str
    values: tuple[int, ...]
    seconds: tuple[float, ...]
    linear: str  # what would be linear
    size: Callable[[int], float] = float  # what the work grows with
    processor: tuple[float, ...] = ()  # seconds of the processor, if the passes are of this process

    @property
    def text(self) -> str:
        """A table, with what each value takes in units of the first one, in proportion."""
        lines = [f"{self.quantity:10s}  seconds of a pass  of processor   {self.linear}"]
        of_processor = [f"{own:12.4f}" for own in self.processor] or [f"{'-':>12s}"] * len(self.values)
        for value, seconds, own, ideal in zip(self.values, self.seconds, of_processor, self.ideal(0), strict=True):
            lines.append(f"{value:10,d}  {seconds:17.4f}  {own}   {seconds / ideal:10.2f}")
        return "\n".join(lines)

    @property
    def inverse(self) -> bool:
        """Whether it is of what shares the work."""
        return self.quantity in ("threads", "workers")

    def ideal(self, at: int) -> np.ndarray:
        """Return the seconds in proportion to those of the value at a place."""
        share = np.array([self.size(value) / self.size(self.values[at]) for value in self.values])
        return self.seconds[at] * (1 / share if self.inverse else share)


def run(tiny: bool = False) -> str:
    """Return a table for each curve; write the plot if a file is named for it."""
    n, rounds = (4_000, 1) if tiny else (4_000_000, 5)
    cores = os.cpu_count() or 1
    counts = tuple(sorted({1, 2, cores}))
    rows = (1_000, 4_000) if tiny else _most_rows()
    components, features = ((2, 4), (2, 4)) if tiny else ((2, 4, 8, 16, 32, 64, 128), (2, 4, 8, 16, 32, 64))
    curves = [
        _curve("rows", rows, lambda value: _pass(value, _D, _K), rounds),
        _curve("components", components, lambda value: _pass(n // 4, _D, value), rounds),
        _curve("features", features, lambda value: _pass(n // 8, value, _K), rounds, FeatureMap.FULL.n_columns),
        _curve("threads", counts, lambda value: _threaded(_pass(n, _D, _K), value), rounds),
        _on_workers((1, 2) if tiny else counts, n, rounds),
    ]
    if (name := os.environ.get("DASKGMM_BENCHMARK_PLOT")) and Figure:
        plot(curves, Path(name))
    return "\n\n".join(one.text for one in curves) + f"\n\n{_outgrown(curves[0])}"


def _curve(
    quantity: str,
    values: tuple[int, ...],
    call: Callable[[int], Callable[[], object]],
    rounds: int,
    size: Callable[[int], float] = float,
) -> Curve:
    """Time a pass at each value, one after the other: rows of two of them may not fit in memory at once."""
    timings = [in_turn({"pass": call(value)}, rounds) for value in values]
    seconds, processor = (
        tuple(each) for each in zip(*((one.median("pass"), one.of_processor("pass")) for one in timings), strict=True)
    )
    return Curve(quantity, values, seconds, _LINEAR[quantity], size, processor)


_LINEAR = {
    "rows": "beside n x the first",
    "components": "beside k x the first",
    "features": "beside (d + 1) (d + 2) / 2 x the first, the columns of phi",
    "threads": "beside the first / threads",
    "workers": "beside the first / workers",
}


def _most_rows() -> tuple[int, ...]:
    """Return numbers of rows up to what half of the memory holds, 1e8 at most."""
    most = psutil.virtual_memory().total // 2 // (8 * _D)
    return tuple(n for n in (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000) if n <= most)


def _pass(n: int, d: int, k: int) -> Callable[[], object]:
    """Return a pass over n rows, made of fewer that are repeated."""
    rows, mixture = problem(d, k, min(n, 250_000))
    held = np.concatenate([rows] * -(-n // len(rows)))[:n] if n > len(rows) else rows
    pass_ = Expectation(Rows.of_memory(held), summarise_rows(rows))
    return lambda: pass_((mixture,))


def _threaded(call: Callable[[], object], n_threads: int) -> Callable[[], object]:
    def threaded() -> None:
        with dask.config.set(scheduler="threads", num_workers=n_threads):
            call()

    return threaded


def _on_workers(counts: tuple[int, ...], n: int, rounds: int) -> Curve:
    seconds = []
    for count in counts:
        with _cluster(count):
            few, mixture = problem(_D, _K, 10_000)
            held = Rows(da.random.default_rng(0).normal(size=(n, _D), chunks=(_CHUNK, _D))).persist()
            pass_ = Expectation(held, summarise_rows(few))
            timings = in_turn({"pass": lambda pass_=pass_, mixture=mixture: pass_((mixture,))}, rounds)
            seconds.append(timings.median("pass"))
    return Curve("workers", counts, tuple(seconds), _LINEAR["workers"])


@contextmanager
def _cluster(n_workers: int) -> Iterator[None]:
    options = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster):
        yield


def _outgrown(rows: Curve) -> str:
    """Return where one machine is outgrown: by its memory, and by the time of a pass."""
    per_row, memory = rows.seconds[-1] / rows.values[-1], psutil.virtual_memory().total
    fits = memory // 2 // (8 * _D)
    return (
        f"this machine ({os.cpu_count()} cores, {memory / 2**30:.0f} GiB): {per_row * 1e9:.0f} ns a row (d = {_D}, "
        f"k = {_K}); rows of float64 stay in memory up to n = {fits:.2g}, where a pass takes {fits * per_row:.1f} s; "
        f"a pass takes a minute from n = {60 / per_row:.2g} on"
    )


def plot(curves: list[Curve], path: Path) -> None:
    """Write the curves as one picture, each beside the line of proportion through its largest value."""
    figure = Figure(figsize=(3.2 * len(curves), 3.2), layout="constrained")
    axes = figure.subplots(1, len(curves))
    for axis, curve in zip(axes, curves, strict=True):
        ideal = curve.ideal(0 if curve.inverse else -1)
        axis.plot(curve.values, ideal, "--", color="#999999", label="proportional")
        axis.plot(curve.values, curve.seconds, "o-", color="#0072B2", label="measured")
        axis.set_xlabel(curve.quantity)
        axis.grid(alpha=0.3)
        if curve.inverse:
            axis.set_ylim(0)
        else:
            axis.set(xscale="log", yscale="log")
        names = [f"1e{np.log10(value):.0f}" if curve.quantity == "rows" else str(value) for value in curve.values]
        axis.set_xticks(curve.values, names)
        axis.minorticks_off()
    axes[0].set_ylabel("seconds of a pass")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=150)
