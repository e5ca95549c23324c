"""Twelve hard mixtures of 1e6 rows: how good the default fit is, in how many passes, and how much sooner.

`gap` is the mean log-likelihood minus that of the parameters that the rows were drawn from, nats per row; `within` is
the first pass over all rows whose mixture is within 2e-3 of them. scikit-learn fits a tenth of the rows with its
defaults; its time is scaled by 10, and its level on all rows is taken as the mean of that on these rows, where it
has fitted their noise too, and on all others. `sooner` divides its seconds of the processor by ours to the first pass,
of the default fit, whose mixture is at its level.
"""

from __future__ import annotations

import statistics
import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from daskgmm.chunked.data_summary import summarise_and_sample
from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.initialization import run_restarts, suggest_from
from daskgmm.chunked.rows import Rows
from daskgmm.core.em.loop import State, Trial, iterate
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.options.fit import FitOptions, ModelOptions

from .mixtures import SUITE, Hard, compile_kernels
from .timing import time_call

WITHIN = 2e-3  # of the true parameters, nats per row
MAX_READS = 10  # of the data, that of the data summary too
_SHARE = 10  # of the rows, one in so many is what scikit-learn gets


@dataclass(frozen=True)
class Passes:
    """What a fit has reached after each pass over all rows; the read of data summary and sample is not counted."""

    seconds: list[float]  # since the fit began
    processor: list[float]  # the same of the processor
    levels: list[float]  # mean log-likelihood of the best mixture so far

    @property
    def reads(self) -> int:
        """How often the data were read in all."""
        return len(self.levels) + 1

    def first(self, level: float) -> int | None:
        """Return the number, from 1, of the first pass at that level."""
        return next((number for number, one in enumerate(self.levels, 1) if one >= level), None)


def run(tiny: bool = False) -> str:
    """Return a line for each mixture, and how many of them are within 2e-3 in at most 10 reads of the data."""
    lines = [
        "mixture                gap   passes  within  seconds (seeding)  processor scikit-learn: gap  processor  sooner"
    ]
    suite, n = ((SUITE[0], SUITE[3]), 20_000) if tiny else (SUITE, 1_000_000)
    compile_kernels(fitted, tiny)
    results = [_line(hard, n) for hard in suite]
    lines += [line for line, _, _ in results]
    ratios = [ratio for _, _, ratio in results if ratio is not None]
    good = sum(r[1] for r in results)
    lines.append(f"within {WITHIN} of the true parameters in at most {MAX_READS} reads: {good} of {len(suite)}")
    lines.append(
        f"sooner at scikit-learn's level on {len(ratios)} of {len(suite)}, the median {statistics.median(ratios):.0f}"
    )
    return "\n".join(lines)


def _line(hard: Hard, n: int) -> tuple[str, bool, float | None]:
    rows = hard.rows(n)
    seeded, passes = fitted(hard, rows)
    truth = level(rows, hard.mixture)
    theirs, processor = _scikit_learn(hard, rows)
    within, sooner = passes.first(truth - WITHIN), passes.first(theirs)
    ratio = None if sooner is None else processor / passes.processor[sooner - 1]
    line = f"{hard.name:16s} {passes.levels[-1] - truth:+9.5f}  {len(passes.levels):5d}  {within or 'never':>6}"
    line += f"  {passes.seconds[-1]:7.2f} ({seeded:.2f})  {passes.processor[-1]:9.2f}"
    line += f"   {theirs - truth:+16.5f}  {processor:9.1f}"
    line += "   never" if ratio is None else f"  {ratio:7.1f}"
    return line, within is not None and passes.reads <= MAX_READS, ratio


def fitted(hard: Hard, rows: np.ndarray) -> tuple[float, Passes]:
    """Return the seconds of the seeding, and the passes of the default fit, as a job makes it."""
    start, processor_start, passes = time.perf_counter(), time.process_time(), Passes([], [], [])
    model, options, held = ModelOptions(n_components=hard.k), FitOptions(), Rows.of_memory(rows)
    data_summary, sample = summarise_and_sample(held, options.n_sample(model, hard.d), options.random_state)
    mixtures = run_restarts(sample, options.seed_options(model, data_summary), options.random_state).mixtures
    seeded = time.perf_counter() - start

    def listen(state: State) -> None:
        passes.seconds.append(time.perf_counter() - start)
        passes.processor.append(time.process_time() - processor_start)
        passes.levels.append(state.best.history[-1])

    state, em = State(data_summary, tuple(Trial(mixture) for mixture in mixtures)), options.em(model, data_summary)
    iterate(state, Expectation(held, data_summary), em, listen, suggest_from(sample, data_summary, em))
    return seeded, passes


def level(rows: np.ndarray, mixture: Mixture) -> float:
    held = Rows.of_memory(rows)
    data_summary, _ = summarise_and_sample(held, 1, 0)
    return Expectation(held, data_summary)((mixture,))[0].mean_log_likelihood


def _scikit_learn(hard: Hard, rows: np.ndarray) -> tuple[float, float]:
    """Return the level that its default fit would have on all rows, and its seconds of the processor there."""
    model = SklearnGaussianMixture(hard.k, random_state=0)
    part = rows[: len(rows) // _SHARE]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        took, _ = time_call(lambda: model.fit(part))
    mixture = Mixture("full", model.weights_, model.means_, model.covariances_)
    on_all = (level(part, mixture) + level(rows[len(part) :], mixture)) / 2
    return on_all, took.processor * _SHARE
