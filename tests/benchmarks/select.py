"""A sweep k = 1..10 x 4 structures of 1e6 x 8 beside the 40 separate fits, and beside scikit-learn's loop.

The separate fits are ours, each with its own data summary, sample, restarts and passes. The loop of scikit-learn runs
on a tenth of the rows, and its time is multiplied by ten. Streaming is from zarr in a temporary directory.
"""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from daskgmm.blas import single_threaded
from daskgmm.chunked.data_summary import summarise_and_sample
from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.initialization import run_restarts
from daskgmm.chunked.read_ahead import read_rows_ahead
from daskgmm.chunked.rows import Rows
from daskgmm.core.em.e_step import expect
from daskgmm.core.em.loop import State, Trial, iterate
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.options.fit import FitOptions, ModelOptions
from daskgmm.core.options.select import SelectOptions
from daskgmm.core.selection.sweep import Candidate
from daskgmm.events import ignore
from daskgmm.fitting.sweep import SelectionResult, SelectionSpec, search

from .problems import problem
from .timing import in_turn, time_call

_SCIKIT_SHARE = 10  # scikit-learn gets one row of so many


def run(tiny: bool = False) -> str:
    """Return the times and ratios of the sweep, in memory and streamed, and of one shared pass."""
    n, select = (2_000, SelectOptions("1..2")) if tiny else (1_000_000, SelectOptions("1..10"))
    rows, _ = problem(8, 5, n)
    sweep(Rows.of_memory(rows[:500]), select)  # compiles
    return "\n".join([_shared_pass(rows[: n // 5], select), *_in_memory(rows, select), *_streamed(rows, select)])


def sweep(rows: Rows, select: SelectOptions) -> SelectionResult:
    """Return what the sweep finds."""
    spec = SelectionSpec(select, ModelOptions(), FitOptions(), 0)
    with read_rows_ahead(rows):
        data_summary, sample = summarise_and_sample(rows, spec.n_sample(rows.n_features), 0)
        return search(rows, data_summary, sample, spec, ignore)


def separate(rows: Rows, select: SelectOptions) -> Candidate:
    """Return the candidate of the best BIC of fits that know nothing of each other."""
    bic = {}
    with read_rows_ahead(rows):
        for one in select.candidates:
            model, fit = select.model(one, ModelOptions()), FitOptions()
            data_summary, sample = summarise_and_sample(rows, fit.n_sample(model, rows.n_features), 0)
            trials = tuple(
                Trial(mixture) for mixture in run_restarts(sample, fit.seed_options(model, data_summary), 0).mixtures
            )
            best = iterate(
                State(data_summary, trials), Expectation(rows, data_summary), fit.em(model, data_summary)
            ).best
            bic[one] = best.criteria.bic
    return min(bic, key=bic.__getitem__)


def scikit_learn(rows: np.ndarray, select: SelectOptions) -> None:
    """Fit the same candidates with as many restarts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for one in select.candidates:
            estimator = GaussianMixture(one.n_components, covariance_type=one.covariance_type, n_init=4, random_state=0)
            estimator.fit(rows).bic(rows)


def _in_memory(rows: np.ndarray, select: SelectOptions) -> list[str]:
    held = Rows.of_memory(rows)
    ours, found = time_call(lambda: sweep(held, select))
    apart, best = time_call(lambda: separate(held, select))
    theirs, _ = time_call(lambda: scikit_learn(rows[::_SCIKIT_SHARE], select))
    return [
        f"in memory: sweep {ours}, chooses {found.best.name}, separate fits {apart}, choose {best.name}, "
        f"sweep / separate {ours.processor / apart.processor:.3f} of processor",
        f"scikit-learn's loop on {len(rows[::_SCIKIT_SHARE]):,} rows {theirs}; times {_SCIKIT_SHARE} / sweep: "
        f"{theirs.processor * _SCIKIT_SHARE / ours.processor:.1f} of processor",
    ]


def _streamed(rows: np.ndarray, select: SelectOptions) -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.zarr"
        stored = zarr.create_array(path, data=rows, chunks=(min(len(rows), 65_536), 8))
        lazy = Rows.of_readable(stored, stored.chunks[:1]).fuse()
        ours, _ = time_call(lambda: sweep(lazy, select))
        apart, _ = time_call(lambda: separate(lazy, select))
    ratio = apart.processor / ours.processor
    return [f"streamed from zarr: sweep {ours}, separate fits {apart}, separate / sweep {ratio:.1f} of processor"]


def _shared_pass(rows: np.ndarray, select: SelectOptions) -> str:
    """Compare one pass that all candidates share with a pass for each, on one thread."""
    data_summary = summarise_rows(rows)
    mixtures = [problem(8, one.n_components, 100, one.covariance_type)[1] for one in select.candidates]
    coefficients = tuple(prepare(mixture, data_summary) for mixture in mixtures)
    calls: dict[str, Callable[[], object]] = {
        "shared": lambda: expect(rows, None, coefficients),
        "separate": lambda: [expect(rows, None, (one,)) for one in coefficients],
    }
    with single_threaded():
        timings = in_turn(calls, rounds=3)
    ns = {name: timings.median(name) / len(rows) * 1e9 for name in calls}
    return (
        f"one pass of {len(mixtures)} candidates, one thread: shared {ns['shared']:.0f} ns/row, separate "
        f"{ns['separate']:.0f} ns/row, separate / shared {timings.ratio('separate', 'shared'):.2f}"
    )
