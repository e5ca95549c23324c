"""An update by 200,000 new rows beside a refit to all 1,200,000: three overlapping components in four features.

The gap is by how much the mean log-likelihood of all rows is below that of a refit, nats per row: of the model before
the update, after it, and after `update.full_pass`. All stop at a `tol` of 1e-8, so that the gaps are those of the
methods. Each read of a row counts, those of the data summary and of the drift too; seconds are of the processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from daskgmm.chunked.rows import Rows
from daskgmm.core.em.inference import MAXIMUM_LIKELIHOOD
from daskgmm.core.em.update import KeptStatistics, keep_statistics
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.options.fit import FitOptions, ModelOptions
from daskgmm.events import ignore
from daskgmm.fitting.fit import Start, initial_state, prepare_fit, run_em
from daskgmm.fitting.update import finish_update, measure_drift, prepare_update, run_update, step_on_all

from .quality import level
from .timing import time_call

_MODEL, _OPTIONS = ModelOptions(n_components=3), FitOptions(tol=1e-8)
_OLD, _NEW = 1_000_000, 200_000  # rows


@dataclass(frozen=True, eq=False)
class Result:
    """What a fit or an update has led to."""

    mixture: Mixture
    kept: KeptStatistics
    n_read: int  # rows, each as often as it was read


def run(tiny: bool = False) -> str:
    """Return a line for each kind of new rows."""
    share = 50 if tiny else 1
    old = _draw(_source(), _OLD // share, 1)
    first = _fit(old, Start())
    lines = [
        "                 gap: before     update  full_pass   rows read: update  full_pass      refit"
        "   seconds: update  full_pass  refit"
    ]
    lines += [_line(name, first, old, _draw(source, _NEW // share, 2)) for name, source in _kinds()]
    return "\n".join(lines)


def _line(name: str, first: Result, old: np.ndarray, new: np.ndarray) -> str:
    rows = np.concatenate([old, new])
    calls = (
        lambda: _update(first, new, None),
        lambda: _update(first, new, old),
        lambda: _fit(rows, Start()),
    )
    took, (updated, passed, refit) = zip(*(time_call(call) for call in calls), strict=True)
    best = level(rows, _fit(rows, Start(refit.mixture)).mixture)
    gaps = "  ".join(f"{best - level(rows, one.mixture):9.1e}" for one in (first, updated, passed))
    reads = "  ".join(f"{one.n_read:9,d}" for one in (updated, passed, refit))
    seconds = "  ".join(f"{one.processor:9.2f}" for one in took)
    return f"{name:16s}  {gaps}           {reads}           {seconds}"


def _fit(rows: np.ndarray, start: Start) -> Result:
    fit = prepare_fit(Rows.of_memory(rows), _MODEL, _OPTIONS, 0)
    state, _ = initial_state(fit, start, ignore)
    state = run_em(fit, state, lambda state: None)
    kept = keep_statistics(state.best, fit.data_summary)
    assert kept is not None, "full covariances keep their moments"
    return Result(state.best.mixture, kept, len(rows) * (1 + state.iteration))


def _update(first: Result, new: np.ndarray, old: np.ndarray | None) -> Result:
    """Return the update by new rows, with a pass over all rows after it if the old ones are given."""
    rows = Rows.of_memory(new)
    update = prepare_update(rows, first.mixture, first.kept, _MODEL, _OPTIONS, 1.0)
    state = run_update(rows, update, _MODEL, _OPTIONS)
    best, kept = finish_update(update, state.best, _MODEL)
    mixture = best.mixture
    measure_drift(rows, first.mixture, mixture, first.mixture, first.kept, MAXIMUM_LIKELIHOOD)
    n_read = len(new) * (2 + state.iteration)
    if old is None:
        return Result(mixture, kept, n_read)
    parts = ((Rows.of_memory(old), 1.0), (rows, 1.0))
    return Result(*step_on_all(parts, mixture, update, _MODEL, _OPTIONS), n_read + len(old) + len(new))


def _kinds() -> Iterator[tuple[str, Mixture]]:
    """Yield what new rows are drawn from, with a name."""
    source = _source()
    moved = source.means.copy()
    moved[0, 0] += np.sqrt(source.covariances[0, 0, 0]) / 2
    yield "same source", source
    yield "a moved mean", replace(source, means=moved)
    yield "changed weights", replace(source, weights=source.weights[::-1].copy())


def _source() -> Mixture:
    """Return what the old rows are drawn from: components whose means are some three standard deviations apart."""
    rng = np.random.default_rng(0)
    factors = np.eye(4) + 0.15 * rng.standard_normal((3, 4, 4))
    means = 1.5 * rng.standard_normal((3, 4))
    return Mixture("full", np.array([0.5, 0.3, 0.2]), means, factors @ factors.transpose(0, 2, 1))


def _draw(source: Mixture, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.permutation(source.sample(n, rng)[0])
