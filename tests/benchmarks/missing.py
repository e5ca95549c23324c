"""A pass over rows with missing values beside one over the same rows complete, on one thread: full covariances.

Times are of the processor, in turn: the quickest round of each. The first columns miss values at random; `groups` are
four groups of columns each of which fails for 30% of the rows, `one group` rows that each lack one of the four, `half`
rows that lack one half of the columns. `complete` has rows without gaps among others with gaps in other chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from daskgmm.core.em.e_step import expect
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture

from .timing import in_turn

SHAPES = ((8, 8), (16, 16), (32, 16))  # features and components
SHARES = (0.01, 0.05, 0.2)
_ROUNDS = 7


def run(tiny: bool = False) -> str:
    """Return a table of ratios to a pass over complete rows."""
    lines = ["   d    k   complete ns/row  " + "  ".join(f"{name:>9s}" for name in _kinds(np.zeros((4, 4))))]
    with threadpool_limits(1):
        for d, k in SHAPES[:1] if tiny else SHAPES:
            lines.append(_line(d, k, 600 if tiny else 400_000 // d))
    return "\n".join(lines)


def _line(d: int, k: int, n: int) -> str:
    rng = np.random.default_rng(0)
    means, roots = 3 * rng.normal(size=(k, d)), rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    labels = rng.integers(k, size=n)
    rows = means[labels] + np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(n, d)))
    mixture = Mixture("full", np.full(k, 1 / k), means, roots @ roots.transpose(0, 2, 1))
    summary = summarise_rows(rows)
    gappy = replace(summary, n_gaps=(1,) * d, value_weights=(float(n),) * d)
    plain, filling = prepare(mixture, summary), prepare(mixture, gappy)
    calls: dict[str, Callable[[], object]] = {"pass": lambda: expect(rows, None, (plain,))}
    calls |= {name: lambda own=own: expect(own, None, (filling,)) for name, own in _kinds(rows).items()}
    timings = in_turn(calls, _ROUNDS, time.process_time)
    one = timings.best("pass")
    ratios = "  ".join(f"{timings.best(name) / one:9.2f}" for name in calls if name != "pass")
    return f"{d:4d} {k:4d}   {one / n * 1e9:15.0f}  {ratios}"


def _kinds(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rows with several kinds of gaps, by name."""
    rng, (n, d) = np.random.default_rng(1), rows.shape
    group = np.arange(d) * 4 // d
    failed = rng.random((n, 4)) < 0.3
    kinds = {"complete": np.zeros(rows.shape, bool)}
    kinds |= {f"{share:.0%}": rng.random(rows.shape) < share for share in SHARES}
    kinds["groups"] = failed[:, group]
    kinds["one group"] = rng.integers(4, size=n)[:, None] == group
    kinds["half"] = rng.integers(2, size=n)[:, None] == group // 2
    return {name: np.where(gaps, np.nan, rows) for name, gaps in kinds.items()}
