"""One EM iteration on one thread, full covariance: daskgmm, scikit-learn, oneDAL and a bare matrix product.

Times are of the processor (time.process_time): nobody waits for anything here, and what else runs on the machine does
not count. "of GEMM" is the rate of the two products of the feature-map form, 4 k F operations for each row, over that
of np.dot of two large matrices: the whole iteration counts, the operations around the products do not. "error" is the
largest difference between the covariances after an iteration in float32 and in float64, in units of the deviations.
"""

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from daskgmm.core.em.e_step import expect
from daskgmm.core.em.m_step import maximize
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.feature_map import FeatureMap
from daskgmm.core.mixture.mixture import Mixture

from .problems import SHAPES, n_rows, problem
from .timing import Timings, in_turn

try:
    import daal4py
except ImportError:  # the extra [bench]
    daal4py = None

_DAAL_ITERATIONS = 3
_PRODUCTS = 3


HEAD = (
    "   d    k     rows  daskgmm ns/row  of GEMM   float32 ns/row  float64/float32    error"
    "  scikit-learn  ratio    oneDAL  ratio"
)


def run(tiny: bool = False) -> str:
    """Return a table of nanoseconds per row and iteration, and the ratios."""
    shapes = SHAPES[:3] if tiny else SHAPES
    if daal4py is not None:
        daal4py.daalinit(1)
    lines, ratios = [HEAD], []
    with threadpool_limits(1):
        for d, k in shapes:
            rows, mixture = problem(d, k, n_rows(d, k, tiny))
            timings = _timings(rows, mixture, side=100 if tiny else 1000, rounds=1 if tiny else 5)
            lines.append(_line(rows, mixture, timings))
            if daal4py is not None:
                ratios.append(timings.ratio("oneDAL", "daskgmm") / _DAAL_ITERATIONS)
    if ratios:
        lines.append(f"oneDAL / daskgmm, geometric mean: {statistics.geometric_mean(ratios):.2f}")
    return "\n".join(lines)


def _timings(rows: np.ndarray, mixture: Mixture, side: int, rounds: int) -> Timings:
    """Return the timings of all contestants; "GEMM" is scaled to the operations of one iteration."""
    d, k = rows.shape[1], mixture.n_components
    calls = {
        "daskgmm": _ours(rows, mixture, np.float64),
        "float32": _ours(rows.astype(np.float32), mixture, np.float32),
        "GEMM": _product(side),
        "scikit-learn": _scikit_learn(rows, mixture),
    }
    if daal4py is not None:
        calls["oneDAL"] = _onedal(rows, mixture)
    seconds = in_turn(calls, rounds, time.process_time).seconds
    operations = 4 * k * FeatureMap.FULL.n_columns(d) * len(rows)
    scaled = [one * operations / (2 * side**3 * _PRODUCTS) for one in seconds["GEMM"]]
    return Timings(seconds | {"GEMM": scaled})


def _line(rows: np.ndarray, mixture: Mixture, timings: Timings) -> str:
    n, d = rows.shape
    ns = {name: timings.median(name) / n * 1e9 for name in timings.seconds}
    line = f"{d:4d} {mixture.n_components:4d} {n:8d}  {ns['daskgmm']:14.1f}  {timings.ratio('GEMM', 'daskgmm'):7.2f}"
    line += f"  {ns['float32']:15.1f}  {timings.ratio('daskgmm', 'float32'):15.2f}  {_error(rows, mixture):7.1e}"
    line += f"  {ns['scikit-learn']:12.1f}  {timings.ratio('scikit-learn', 'daskgmm'):5.1f}"
    if daal4py is None:
        return line + "  (not installed)"
    ratio = timings.ratio("oneDAL", "daskgmm") / _DAAL_ITERATIONS
    return line + f"  {ns['oneDAL'] / _DAAL_ITERATIONS:8.1f}  {ratio:5.2f}"


def _ours(rows: np.ndarray, mixture: Mixture, dtype: type) -> Callable[[], Mixture]:
    data_summary = summarise_rows(rows)
    return lambda: maximize(mixture, expect(rows, None, (prepare(mixture, data_summary, dtype),))[0], data_summary)


def _error(rows: np.ndarray, mixture: Mixture) -> float:
    single, double = (_ours(rows.astype(np.float32), mixture, dtype)().covariances for dtype in (np.float32, float))
    deviations = np.sqrt(np.diagonal(double, axis1=1, axis2=2))
    return float(np.abs((single - double) / (deviations[:, :, None] * deviations[:, None, :])).max())


def _product(side: int) -> Callable[[], None]:
    a, out = np.random.default_rng(0).random((side, side)), np.empty((side, side))

    def products() -> None:
        for _ in range(_PRODUCTS):
            np.dot(a, a, out)

    return products


def _scikit_learn(rows: np.ndarray, mixture: Mixture) -> Callable[[], object]:
    """One E-step and one M-step, which `fit` repeats; its last E-step and its checks are left out."""
    precisions = np.linalg.inv(mixture.covariances)
    model = GaussianMixture(
        mixture.n_components,
        weights_init=mixture.weights,
        means_init=mixture.means,
        precisions_init=precisions,
        max_iter=1,
        reg_covar=0.0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows[: 4 * len(rows[0]) * mixture.n_components])

    def iteration() -> None:
        _, log_resp = model._e_step(rows)
        model._m_step(rows, log_resp)

    return iteration


def _onedal(rows: np.ndarray, mixture: Mixture) -> Callable[[], object]:
    algorithm = daal4py.em_gmm(
        nComponents=mixture.n_components,
        maxIterations=_DAAL_ITERATIONS,
        accuracyThreshold=0.0,
        covarianceStorage="full",
    )
    start = (mixture.weights[None, :].copy(), mixture.means.copy(), [one.copy() for one in mixture.covariances])

    def iterations() -> None:
        result = algorithm.compute(rows, *start)
        assert int(result.nIterations[0, 0]) == _DAAL_ITERATIONS

    return iterations
