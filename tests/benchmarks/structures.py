"""One pass at (d, k) = (32, 32) on one thread for each covariance structure, beside full."""

from daskgmm.blas import single_threaded
from daskgmm.core.em.e_step import Expectation
from daskgmm.core.mixture.data_summary import survey

from .problems import problem
from .timing import in_turn


def run(tiny: bool = False) -> str:
    """Return medians and the ratio full / structure."""
    calls, n = {}, 512 if tiny else 100_000
    for covariance_type in ("full", "tied", "diag", "spherical"):
        rows, mixture = problem(32, 32, n, covariance_type)
        pass_ = Expectation(rows, None, survey(rows))
        calls[covariance_type] = lambda pass_=pass_, mixture=mixture: pass_((mixture,))
    with single_threaded():
        timings = in_turn(calls, rounds=1 if tiny else 9)
    return "\n".join(
        f"{name:10s} {timings.median(name) / n * 1e9:8.1f} ns/row   full / {name}: {timings.ratio('full', name):.2f}"
        for name in calls
    )
