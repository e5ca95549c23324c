"""How sure the parameters of a fitted mixture are: standard errors and intervals by fits to resamples of the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..chunked.data_summary import summarise
from ..chunked.memory import fits
from ..chunked.read_ahead import ready
from ..chunked.resampling import ResampledExpectation
from ..core.arrays.types import Array
from ..core.em.loop import StopReason
from ..core.mixture.mixture import Mixture
from ..core.selection.resampling import Resampling, ResamplingKind, fit_resamples
from ..errors import ConfigurationError, DataError
from ..text import escape_text, pluralize, two_digits, with_precision
from .gaussian_mixture import GaussianMixture
from .summary import as_text

_GAIN_LEFT = 1e-3  # nats in all, at which the fit of a resample stops: 0.05 standard errors of a parameter
_MIN_RESAMPLES = 2  # resamples of which a deviation can be taken
_MAX_FEATURES = 4  # that are shown


@dataclass(frozen=True, eq=False)
class Estimates:
    """A value for each parameter of a mixture."""

    weights: Array  # (k,)
    means: Array  # (k, d)
    covariances: Array  # as covariances_ of the estimator
    noise_weight: float


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """The mixtures of the resamples, in their order, and what they tell of the parameters; `print` shows it."""

    mixture: Mixture  # of all rows
    resampled: tuple[Mixture, ...]  # those whose fit converged
    n_resamples: int
    feature_names: tuple[str, ...]

    @property
    def standard_errors(self) -> Estimates:
        """Standard deviation of each parameter over the resamples."""
        return self._over_resamples(lambda values: np.std(values, axis=0, ddof=1))

    def intervals(self, level: float = 0.95) -> tuple[Estimates, Estimates]:
        """Return the lower and the upper ends of intervals that hold each parameter with this probability.

        They are quantiles over the resamples. Raises ConfigurationError for a level outside of 0 to 1, and for one that
        needs more resamples.
        """
        if not 0 < level < 1:
            raise ConfigurationError(f"level is {level}, but must lie between 0 and 1: 0.95 is usual")
        least = (1 - level) / 2
        if least * (len(self.resampled) + 1) < 1:
            raise ConfigurationError(
                f"an interval of level {level:g} needs {int(np.ceil(1 / least - 1e-9)) - 1} resamples, but there are "
                f"{len(self.resampled)}: give a larger n_resamples, or a lower level"
            )
        lower, upper = (
            self._over_resamples(lambda values, at=at: np.quantile(values, at, axis=0, method="weibull"))
            for at in (least, 1 - least)
        )
        return lower, upper

    def _over_resamples(self, reduce: Any) -> Estimates:
        found = self.resampled
        noise = [0.0 if one.noise is None else one.noise.weight for one in found]
        return Estimates(
            reduce(np.stack([one.weights for one in found])),
            reduce(np.stack([one.means for one in found])),
            reduce(np.stack([one.covariances for one in found])),
            float(reduce(np.array(noise))),
        )

    def __repr__(self) -> str:
        return as_text(self._table(), self._legend())

    def _table(self) -> Table:
        errors, names = self.standard_errors, self.feature_names[:_MAX_FEATURES]
        table = Table("component", "weight", *map(escape_text, names))
        for component in np.argsort(-self.mixture.weights, kind="stable"):
            means = zip(self.mixture.means[component, : len(names)], errors.means[component], strict=False)
            weight = _with_error(self.mixture.weights[component], errors.weights[component])
            table.add_row(str(component), weight, *(_with_error(*one) for one in means))
        return table

    def _legend(self) -> str:
        left_out = self.n_resamples - len(self.resampled)
        legend = f"weights and means ± standard error, of {pluralize(len(self.resampled), 'resample')}"
        more = len(self.feature_names) - _MAX_FEATURES
        if more > 0:
            legend += f"; {more} more features are in .standard_errors"
        return legend + (f"; {left_out} more did not converge" if left_out else "")


def _with_error(value: float, error: float) -> str:
    return f"{with_precision(float(value), float(error))} ± {two_digits(float(error))}"


def bootstrap(
    model: GaussianMixture,
    X: Any,
    sample_weight: Any = None,
    *,
    n_resamples: int = 199,
    kind: ResamplingKind = "bayesian",
    random_state: Any = None,
) -> Bootstrap:
    """Return standard errors and intervals of the parameters of a model that was fitted to the rows X.

    EM continues from the model on resamples of the rows, with random weights; all resamples share each read of X.
    Components keep their numbers, since every fit starts at the model. The bootstrap is that of Newton and Raftery
    (1994), for mixtures O'Hagan, Murphy, Scrucca and Gormley (2019).

    Parameters
    ----------
    model : GaussianMixture
        A fitted estimator; with a prior, the modes of the posterior are resampled.
    X : array, DataFrame, DataArray or path that `fit` takes
        The rows that the model was fitted to, (n, d) or (..., d).
    sample_weight : array of shape (n,) or (...,), default None
        Weights of the rows, as in `fit`.
    n_resamples : int, default 199
        Number of resamples: 50 are enough for standard errors, intervals of 95% need 39 at least.
    kind : {"bayesian", "poisson"}, default "bayesian"
        Exponential weights, which leave no row out; or Poisson counts, as if rows were drawn with replacement.
    random_state : int, RandomState instance or None, default None
        Seed of the weights. The same seed, rows and chunks give the same bits.

    Returns
    -------
    Bootstrap
        With `standard_errors`, `intervals(level)` and the mixtures `resampled`.

    Raises
    ------
    ConfigurationError
        For fewer than two resamples, an unknown kind, a fit with labels, which resamples would leave out, or a
        variational posterior, which tells its own uncertainty.
    DataError
        If fewer than two resamples converge, or the rows cannot be used.
    """
    check_is_fitted(model)
    if n_resamples < _MIN_RESAMPLES:
        raise ConfigurationError(f"n_resamples is {n_resamples}, but must be {_MIN_RESAMPLES} at least: 199 is usual")
    if kind not in ("bayesian", "poisson"):
        raise ConfigurationError(f'kind is {kind!r}, but must be "bayesian" or "poisson"')
    options, fit = model._options()
    if fit.inference == "variational":
        raise ConfigurationError("a variational posterior tells its own uncertainty: bootstrap a GaussianMixture")
    if model._has_labels:
        raise ConfigurationError(
            "the model was fitted with labels, which resamples would leave out: bootstrap a fit without y"
        )
    resampling = Resampling(kind, int(check_random_state(random_state).randint(2**31 - 1)))
    given = model._scored_rows(X, sample_weight)
    with ready(given, keep=fits(given, model.persist)) as rows:
        n_sample = fit.n_sample(options, rows.n_features)  # of which steps and correlations are taken
        summary = summarise(rows, n_sample, 0, options.resolution_of_rows, identify=rows.may_change)
        data_summary, rows = summary.data_summary, rows.name_blocks(summary.fingerprints)
        em = replace(fit.em(options, data_summary), tol=_GAIN_LEFT / data_summary.weight_sum)
        expect = ResampledExpectation(rows, data_summary, resampling)
        trials = fit_resamples(model._mixture(), data_summary, n_resamples, expect, em)
    converged = tuple(trial.mixture for trial in trials if trial.stop is StopReason.CONVERGED)
    if len(converged) < _MIN_RESAMPLES:
        raise DataError(
            f"{len(converged)} of {n_resamples} resamples converged: fit fewer components, or raise max_iter"
        )
    names = getattr(model, "feature_names_in_", [f"x{i}" for i in range(data_summary.n_features)])
    if model._projection is not None:
        names = model._projection.names
    return Bootstrap(model._mixture(), converged, n_resamples, tuple(map(str, names)))
