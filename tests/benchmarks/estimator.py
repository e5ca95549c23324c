"""A whole fit of 1e6 x 8, k = 8, 20 iterations from given parameters: daskgmm.GaussianMixture beside scikit-learn's."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture

from daskgmm import GaussianMixture

from .problems import problem
from .timing import in_turn

ITERATIONS = 20


def run(tiny: bool = False) -> str:
    """Return medians and the ratio, both with all the cores that they take."""
    rows, mixture = problem(8, 8, 4_000 if tiny else 1_000_000)
    start = {
        "weights_init": mixture.weights,
        "means_init": mixture.means + 0.5,
        "precisions_init": np.linalg.inv(mixture.covariances),
        "max_iter": ITERATIONS,
        "tol": 0.0,
        "reg_covar": 0.0,
    }
    fitted = {}

    def fit(kind: type) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted[kind.__module__] = kind(8, **start).fit(rows)

    calls = {"daskgmm": lambda: fit(GaussianMixture), "scikit-learn": lambda: fit(SklearnGaussianMixture)}
    timings = in_turn(calls, rounds=1 if tiny else 3)
    assert {one.n_iter_ for one in fitted.values()} == {ITERATIONS}
    ours, theirs = fitted.values()
    difference = np.abs(ours.means_ - theirs.means_).max()
    lines = [
        f"{name:14s} {timings.median(name):8.2f} s, {timings.of_processor(name):8.2f} s of processor" for name in calls
    ]
    of_processor = timings.ratio_of_processor("scikit-learn", "daskgmm")
    lines.append(
        f"scikit-learn / daskgmm: {timings.ratio('scikit-learn', 'daskgmm'):.1f}, {of_processor:.1f} of processor time"
    )
    lines.append(f"largest difference between the means: {difference:.1e}")
    return "\n".join(lines)
