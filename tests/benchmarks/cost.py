"""The processor time of a default fit in passes: that of the whole fit divided by that of one pass over its rows.

Twelve hard mixtures of 4e5 rows, in one process; a pass is the quickest of three. `gap` is the mean log-likelihood
minus that of the parameters that the rows were drawn from, nats per row.
"""

from __future__ import annotations

import statistics

import numpy as np

from daskgmm import GaussianMixture
from daskgmm.chunked.data_summary import summarise_and_sample
from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.rows import Rows
from daskgmm.core.mixture.mixture import Mixture

from .mixtures import SUITE, Hard, compile_kernels
from .quality import level
from .timing import time_call

_ROUNDS = 3  # of a pass


def run(tiny: bool = False) -> str:
    """Return a line for each mixture, and the geometric mean and the largest of the ratios."""
    suite, n = (SUITE[:2], 5_000) if tiny else (SUITE, 400_000)
    compile_kernels(lambda hard, rows: GaussianMixture(hard.k, random_state=0).fit(rows), tiny)
    lines, ratios = ["mixture           seconds of processor  one pass    passes        gap"], []
    for hard in suite:
        line, ratio = _line(hard, hard.rows(n))
        lines.append(line)
        ratios.append(ratio)
    lines.append(f"passes: {statistics.geometric_mean(ratios):.1f} in the geometric mean, {max(ratios):.0f} at most")
    return "\n".join(lines)


def _line(hard: Hard, rows: np.ndarray) -> tuple[str, float]:
    model = GaussianMixture(hard.k, random_state=0)
    fit = time_call(lambda: model.fit(rows))[0].processor
    mixture = Mixture("full", model.weights_, model.means_, model.covariances_)
    held = Rows.of_memory(rows)
    data_summary, _ = summarise_and_sample(held, 1, 0)
    expect = Expectation(held, data_summary)
    one = min(time_call(lambda: expect((mixture,)))[0].processor for _ in range(_ROUNDS))
    gap = level(rows, mixture) - level(rows, hard.mixture)
    return f"{hard.name:18s} {fit:19.2f}  {one:8.3f}  {fit / one:8.1f}  {gap:+9.5f}", fit / one
