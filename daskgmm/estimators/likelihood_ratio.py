"""Likelihood-ratio tests of the number of components, by the parametric bootstrap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table
from sklearn.base import clone
from sklearn.utils import check_random_state

from ..chunked.data_summary import first_rows, summarise_and_sample
from ..core.arrays.types import Array
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.mixture import Mixture
from ..errors import ConfigurationError
from .gaussian_mixture import GaussianMixture
from .summary import as_text

# Resamples at or above the statistic, after which a test is known to be far from any usual level.
_ENOUGH_EXCEEDANCES = 20
_SEEDS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class LikelihoodRatioTest:
    """k components against k + 1."""

    n_components: int  # k
    statistic: float  # twice the gain of the total log-likelihood by one component more
    resampled: Array  # the same of rows drawn from the fit of k components, (n_resamples,) or fewer

    @property
    def p_value(self) -> float:
        """Probability of such a statistic or a larger one if k components are all there are.

        It is (1 + m) / (1 + n) if m of n resamples reach the statistic, and m / n if the test stopped for enough of
        them (Besag and Clifford 1991).
        """
        m, n = int((self.resampled >= self.statistic).sum()), len(self.resampled)
        return m / n if m >= _ENOUGH_EXCEEDANCES else (1 + m) / (1 + n)


@dataclass(frozen=True, eq=False, repr=False)
class LikelihoodRatioTests:
    """Tests of rising numbers of components; `print` shows them as a table."""

    tests: tuple[LikelihoodRatioTest, ...]
    level: float

    @property
    def n_components(self) -> int:
        """The first number of components that one more does not improve at this level; else the largest and one."""
        kept = (test.n_components for test in self.tests if test.p_value > self.level)
        return next(kept, self.tests[-1].n_components + 1)

    def __repr__(self) -> str:
        table = Table("components", "likelihood-ratio statistic", "p-value", "resamples")
        for test in self.tests:
            sizes = f"{test.n_components} against {test.n_components + 1}"
            table.add_row(sizes, f"{test.statistic:.3f}", f"{test.p_value:.3g}", str(len(test.resampled)))
        return as_text(table)


def likelihood_ratio_test(
    model: GaussianMixture,
    X: Any,
    n_components: Iterable[int] = range(1, 10),
    *,
    n_resamples: int = 199,
    level: float = 0.05,
    random_state: Any = None,
) -> LikelihoodRatioTests:
    """Return tests of k components against k + 1, for rising k, up to the first that is not significant.

    The distribution of the statistic has no formula: it is that of rows which are drawn from the fit of k components,
    rounded as X is, and fitted in the same way (McLachlan 1987). Each resample takes two fits of all rows in memory: a
    minute for some hundred rows and 199 resamples. Criteria such as BIC compare many candidates at far less cost.

    Parameters
    ----------
    model : GaussianMixture
        The options of the fits, such as `covariance_type`; its number of components is not used.
    X : array, DataFrame, DataArray or path that `fit` takes
        Rows (n, d) or (..., d), without missing values.
    n_components : iterable of int, default range(1, 10)
        The numbers k.
    n_resamples : int, default 199
        Most resamples of each test; it ends after 20 that reach the statistic.
    level : float, default 0.05
        Level of significance. 1 makes all tests.
    random_state : int, RandomState instance or None, default None
        Seed of the resamples.

    Returns
    -------
    LikelihoodRatioTests
        With the `tests` and the number `n_components` that they lead to.

    Raises
    ------
    ConfigurationError
        For a level outside of 0 to 1, too few resamples, and options that leave no likelihood to compare or no rows to
        be drawn: a prior, missing values, frozen components, a noise of a given volume.
    """
    sizes = sorted(set(n_components))
    _check(model, sizes, n_resamples, level)
    own = clone(model).set_params(verbose=0)
    rows = own._input(X, reset=True).rows()
    data_summary, sample = summarise_and_sample(rows, rows.n_rows, 0, model._model_options()[0].resolution)
    if rows.may_change:  # they are held in memory like the resamples: no two fits are of different reads
        X = first_rows(sample, rows.n_rows)[0]
    random, own = check_random_state(random_state), own.set_params(resolution=data_summary.steps)
    tests: list[LikelihoodRatioTest] = []
    fitted: dict[int, GaussianMixture] = {}
    for k in sizes:
        for size in (k, k + 1):
            fitted[size] = fitted.get(size) or _fit(own, size, X, random)
        statistic = _statistic(fitted[k], fitted[k + 1], data_summary.n_rows)
        resampled = _resample(own, fitted[k]._mixture(), data_summary, statistic, n_resamples, random)
        tests.append(LikelihoodRatioTest(k, statistic, resampled))
        if tests[-1].p_value > level:
            break
    return LikelihoodRatioTests(tuple(tests), level)


def _check(model: GaussianMixture, sizes: list[int], n_resamples: int, level: float) -> None:
    if not sizes or sizes[0] < 1:
        raise ConfigurationError(f"n_components is {sizes}, but must be numbers from 1 on, such as range(1, 5)")
    if not 0 < level <= 1:
        raise ConfigurationError(f"level is {level}, but must be above 0 and 1 at most: 0.05 is usual")
    if (n_resamples + 1) * level < 1:
        raise ConfigurationError(
            f"n_resamples is {n_resamples}, but level {level:g} needs {int(np.ceil(1 / level - 1e-9)) - 1} at least"
        )
    given_volume = model.noise is not False and model.noise is not True
    named = {"prior": model.prior is not None, "frozen": len(model.frozen) > 0, "noise": given_volume}
    named |= {"missing": model.missing == "marginal", "reduce": model.reduce is not None}
    for name, is_given in named.items():
        if is_given:
            raise ConfigurationError(
                f"{name} is {getattr(model, name)!r}, but a likelihood-ratio test needs likelihoods, and rows drawn "
                f"from the model: leave {name} out, or compare by BIC"
            )


def _fit(model: GaussianMixture, n_components: int, X: Any, random: np.random.RandomState) -> GaussianMixture:
    own = clone(model).set_params(n_components=n_components, random_state=random.randint(_SEEDS))
    fitted: GaussianMixture = own.fit(X)
    return fitted


def _statistic(smaller: GaussianMixture, larger: GaussianMixture, n_rows: int) -> float:
    return float(2 * n_rows * (larger.lower_bound_ - smaller.lower_bound_))


def _resample(
    model: GaussianMixture,
    null: Mixture,
    data_summary: DataSummary,
    statistic: float,
    n_resamples: int,
    random: np.random.RandomState,
) -> Array:
    """Return the statistics of rows drawn from the null model, until enough of them reach the statistic."""
    found: list[float] = []
    k, n = null.n_components, data_summary.n_rows
    while len(found) < n_resamples and sum(one >= statistic for one in found) < _ENOUGH_EXCEEDANCES:
        rows = _round_to_steps(null.sample(n, np.random.default_rng(random.randint(_SEEDS)))[0], data_summary)
        smaller, larger = (_fit(model, size, rows, random) for size in (k, k + 1))
        found.append(_statistic(smaller, larger, n))
    return np.array(found)


def _round_to_steps(rows: Array, data_summary: DataSummary) -> Array:
    """Return rows at the steps of the summarised ones, which are multiples of them from the least value on."""
    steps = np.where(data_summary.steps > 0, data_summary.steps, 1.0)
    on_steps = data_summary.minimum + steps * np.round((rows - data_summary.minimum) / steps)
    return np.where(data_summary.steps > 0, on_steps, rows)
