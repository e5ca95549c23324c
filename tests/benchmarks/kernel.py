"""One EM iteration on one thread, float64, full covariance: daskgmm, scikit-learn, oneDAL."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from daskgmm.core.coefficients import prepare
from daskgmm.core.expectation import expect
from daskgmm.core.maximization import maximize
from daskgmm.core.mixture import Mixture
from daskgmm.core.survey import survey

from .problems import SHAPES, n_rows, problem
from .timing import in_turn

try:
    import daal4py
except ImportError:  # the extra [bench]
    daal4py = None

_DAAL_ITERATIONS = 3


def run(tiny: bool = False) -> str:
    """Return a table of nanoseconds per row and iteration, and the ratios."""
    shapes = SHAPES[:3] if tiny else SHAPES
    if daal4py is not None:
        daal4py.daalinit(1)
    lines = ["   d    k     rows  daskgmm ns/row  scikit-learn  ratio    oneDAL  ratio"]
    with threadpool_limits(1):
        for d, k in shapes:
            lines.append(_line(d, k, n_rows(d, k, tiny), rounds=1 if tiny else 5))
    return "\n".join(lines)


def _line(d: int, k: int, n: int, rounds: int) -> str:
    rows, mixture = problem(d, k, n)
    calls = {"daskgmm": _ours(rows, mixture), "scikit-learn": _scikit_learn(rows, mixture)}
    if daal4py is not None:
        calls["oneDAL"] = _onedal(rows, mixture)
    timings = in_turn(calls, rounds)
    ns = {name: timings.median(name) / n * 1e9 for name in calls}
    line = f"{d:4d} {k:4d} {n:8d}  {ns['daskgmm']:14.1f}  {ns['scikit-learn']:12.1f}"
    line += f"  {timings.ratio('scikit-learn', 'daskgmm'):5.1f}"
    if daal4py is None:
        return line + "  (not installed)"
    return (
        line + f"  {ns['oneDAL'] / _DAAL_ITERATIONS:8.1f}  {timings.ratio('oneDAL', 'daskgmm') / _DAAL_ITERATIONS:5.2f}"
    )


def _ours(rows: np.ndarray, mixture: Mixture) -> Callable[[], object]:
    surveyed = survey(rows)
    return lambda: maximize(mixture, expect(rows, None, (prepare(mixture, surveyed),))[0], surveyed, 0.0)


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
