"""What both estimators of mixtures do alike: check rows, run a fit, hold its result and predict by it."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import dask.array as da
import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ..chunked.memory import Persist, fits
from ..chunked.read_ahead import ready
from ..chunked.rows import Rows
from ..core.em.fitted_model import FitSummary, Model
from ..core.em.inference import MAXIMUM_LIKELIHOOD, Inference
from ..core.em.loop import StopReason, Trial
from ..core.em.update import KeptStatistics, keep_statistics
from ..core.em.variational import Posterior, Variational
from ..core.init.starts import InitParams
from ..core.mixture.mixture import Mixture
from ..core.mixture.projection import Projection
from ..core.options.fit import ComputeDtype, FitOptions, ModelOptions
from ..core.options.fitted import FittedOptions
from ..core.options.prior import InferenceName
from ..core.options.reduce import Reduce
from ..errors import ConfigurationError, DataError, SingularCovarianceError
from ..events import ignore
from ..fitting.fit import Fit, Start, initial_state, prepare_fit, run_em
from ..fitting.reduction import reduce_rows
from .conditional import ConditionalMixin
from .constraints import Missing, Restarts, SampleSize
from .inputs import Input, is_lazy, lazy_input, memory_input, refuse_times, without_mask
from .labels import read_labels
from .parameters import mixture_of, set_parameters
from .posterior import set_fitted_posterior
from .progress import iteration_listener
from .scoring import ScoringMixin
from .summary import ModelTable
from .validation import check_warm_start, fit_options

_SINGULAR = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance "
    "caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, or scale "
    "the input data."
)
_NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase max_iter, tol, or "
    "check for degenerate data."
)


_FEATURES = "n_features_in_", "feature_names_in_"


class MixtureEstimator(
    ScoringMixin,
    ConditionalMixin,
    DensityMixin,  # type: ignore[misc] # scikit-learn is not typed
    BaseEstimator,  # type: ignore[misc] # as above
    ABC,
):
    """An estimator of one mixture; its subclasses have the parameters, and say what is fitted and inferred."""

    n_components: int
    tol: float
    max_iter: int
    n_init: Restarts
    init_params: InitParams
    sample_size: SampleSize
    n_finalists: int
    missing: Missing
    dtype: ComputeDtype
    persist: Persist
    dim: str | None
    random_state: Any
    warm_start: bool
    verbose: int
    verbose_interval: int

    _summary: FitSummary
    _kept: KeptStatistics | None = None  # of the rows of the fit, for updates
    _fitted_reduce: Reduce | None = None  # the option of the last fit
    _posterior: Posterior | None = None  # of the fitted parameters, if the fit has one
    _has_labels: bool = False  # whether rows of the fit were labelled

    @abstractmethod
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the mixture to rows X (n, d), or an array (..., d), with weights (n,) or (...,); return self."""

    @classmethod
    @abstractmethod
    def from_model(cls, model: Model) -> Self:
        """Return the estimator with the fitted attributes of a model."""

    @abstractmethod
    def _model_options(self) -> tuple[ModelOptions, InferenceName]:
        """Return the options of the model, and what is inferred."""

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, and return the labels of X, as `fit(X).predict(X)` does."""
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a model.zarr at `path`, a path or a URL of fsspec, for `load` and the command line.

        Raises DataError for an estimator made of scikit-learn's, of which no fit is known.
        """
        _storage().save_model(self._model(), path)

    @classmethod
    def load(cls, path: str | Path, storage_options: Mapping[str, Any] | None = None) -> Self:
        """Return the estimator with the model of a run directory or a model.zarr, a path or a URL of fsspec."""
        return cls.from_model(_storage().load_model(path, storage_options))

    def summary(self) -> ModelTable:
        """Return the fit and its components as a table, which `print` and notebooks show."""
        return ModelTable(self._model())

    def report(self, X: Any, path: str | Path, *, sample_weight: Any = None, n_rows: int = 10_000) -> None:
        """Write a report of the fit as one HTML page to `path`; a file that is there is replaced.

        X are the rows of the fit, or others. One pass over them draws the n_rows that the figures show; what is said of
        the fit itself is that of `fit`.
        """
        if n_rows < 1:
            raise ValueError(f"Invalid value for 'n_rows': {n_rows}. A report shows one row or more.")
        page = import_module("daskgmm.estimators.report").draw_report(self, X, sample_weight, n_rows)
        Path(path).write_text(page, encoding="utf-8")

    def _model(self) -> Model:
        """Return the fitted model; raise DataError if nothing is known of its fit."""
        check_is_fitted(self)
        if not hasattr(self, "_summary"):
            raise DataError("nothing is known of a fit of this estimator, which was made of another one: fit it first")
        names = getattr(self, "feature_names_in_", None)
        return Model(
            self._mixture(),
            None if names is None else tuple(map(str, names)),
            self._summary,
            posterior=self._posterior,
            kept=self._kept,
            options=self._fitted_options().plain(),
            projection=self._projection,
        )

    def _fitted_options(self) -> FittedOptions:
        """Return the options as they are stored with a model."""
        model, fit = self._options()
        seed = int(self.random_state) if isinstance(self.random_state, Integral) else None
        return FittedOptions(model, fit, self.missing, seed)

    @contextmanager
    def _keep_features_on_error(self) -> Iterator[None]:
        """Give the estimator number and names of the features of its last fit again, if one fails."""
        before = {name: self.__dict__[name] for name in _FEATURES if name in self.__dict__}
        try:
            yield
        except BaseException:
            for name in _FEATURES:
                self.__dict__.pop(name, None)
            self.__dict__.update(before)
            raise

    def _labelled_rows(self, X: Any, y: Any, sample_weight: Any) -> tuple[Rows, da.Array | None]:
        """Check X, the labels y and the weights, and return them as rows and labels (*grid), None if y has none."""
        before = getattr(self, "feature_names_in_", None)
        given = self._input(X, reset=True)
        self._check_same_names(before)
        rows = self._rows_of(given, sample_weight)
        return rows, read_labels(y, rows.grid, given.grid)

    def _check_same_names(self, before: Any) -> None:
        """Raise ConfigurationError if this fit goes on from the last one, whose features had other names."""
        names = getattr(self, "feature_names_in_", None)
        goes_on = self.warm_start and hasattr(self, "converged_")
        if goes_on and before is not None and names is not None and list(before) != list(names):
            raise ConfigurationError(
                f"warm_start continues from the last fit, of the features {', '.join(before)}, but X has "
                f"{', '.join(names)}: give them in that order, or set warm_start=False"
            )

    def _rows(self, X: Any, sample_weight: Any) -> Rows:
        """Check X and the weights, and return them as rows."""
        return self._rows_of(self._input(X, reset=True), sample_weight)

    def _rows_of(self, given: Input, sample_weight: Any) -> Rows:
        rows = given.rows(sample_weight, missing=self._fills_gaps)
        if rows.n_rows < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components but got "
                f"n_components = {self.n_components}, n_samples = {rows.n_rows}"
            )
        return rows

    def _run_fit(self, rows: Rows, labels: da.Array | None, start: Start) -> None:
        """Run EM over all rows, with labels (*grid) if there are any, and set the fitted attributes."""
        try:
            keep = self._model_options()[0].reduce is None and fits(rows, self.persist)
            with ready(rows, keep) as ready_rows:
                fit, best = self._search(ready_rows, labels, start)
        except SingularCovarianceError as error:
            raise SingularCovarianceError(f"{_SINGULAR} In short: {error}") from None
        self._keep(best, fit.em.inference, keep_statistics(best, fit.data_summary))
        self._has_labels = labels is not None

    def _search(self, rows: Rows, labels: da.Array | None, start: Start) -> tuple[Fit, Trial]:
        """Return the fit and the best trial of EM over all rows."""
        model, options = self._options()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        reduced = reduce_rows(rows, model.reduce, seed, self.persist, ignore, self._projection_before())
        rows = reduced.rows
        # From given parameters on, steps of EM alone, but for low rank: there they take thousands near bounds of noise.
        accelerate = start.mixture is None or model.n_factors is not None
        again = rows.may_change
        fit = prepare_fit(rows, model, options, seed, accelerate=accelerate, labels=labels, identify=again)
        state, _ = initial_state(fit, start, ignore)
        listen = iteration_listener(self.verbose, self.verbose_interval, rows.n_rows, self.max_iter, self.tol)
        best = run_em(fit, state, listen).best
        self.projection_, self._fitted_reduce = reduced.projection, model.reduce
        return fit, best

    def _options(self) -> tuple[ModelOptions, FitOptions]:
        """Return the options of the model and of its fit."""
        model, inference = self._model_options()
        return model, fit_options(self, inference)

    @property
    def _family(self) -> str:
        return self._model_options()[0].family

    def _resumes(self, n_features: int) -> bool:
        """Return whether the fit starts from the mixture of the last one; raise ConfigurationError if it cannot."""
        if not (self.warm_start and hasattr(self, "converged_")):
            return False
        model, _ = self._model_options()
        has_noise, projection = model.noise is not False, self._projection_before()
        if projection is not None and projection.n_columns == n_features:
            n_features = projection.n_features
        check_warm_start(self._mixture(), model.n_components, model.family, n_features, has_noise=has_noise)
        return True

    def _projection_before(self) -> Projection | None:
        """Return the projection of the last fit if this one starts from it; raise ConfigurationError if it cannot."""
        if not (self.warm_start and hasattr(self, "converged_")):
            return None
        self._check_same_reduce("warm_start", "set warm_start=False, or fit a new estimator")
        return self._projection

    def _check_same_reduce(self, what: str, remedy: str) -> None:
        """Raise ConfigurationError if `reduce` is another one than that of the last fit, from which `what` goes on."""
        fitted, now = self._fitted_reduce, self._model_options()[0].reduce
        if fitted != now:
            raise ConfigurationError(
                f"{what} continues from the last fit, whose reduce is {fitted}, but it is {now} now: {remedy}"
            )

    def _keep(self, best: Trial, inference: Inference = MAXIMUM_LIKELIHOOD, kept: KeptStatistics | None = None) -> None:
        """Set the attributes that a fit has led to."""
        self.converged_, self.n_iter_ = best.stop is StopReason.CONVERGED, best.n_iter
        self.lower_bounds_ = list(best.history)
        self.lower_bound_ = best.history[-1]
        self._set_state(best.mixture, inference, FitSummary.of(best, inference, kept), kept)

    def _set_state(
        self, state: Mixture, inference: Inference, summary: FitSummary, kept: KeptStatistics | None
    ) -> None:
        """Set the attributes that the state of a fit gives."""
        self._set_mixture(inference.plug_in(state))
        self._summary, self._kept = summary, kept
        if isinstance(inference, Variational):
            set_fitted_posterior(self, state, inference)

    def _set_model(self, model: Model) -> None:
        """Set the attributes that all fits have, by a model."""
        self.projection_, self._fitted_reduce = model.projection, self._model_options()[0].reduce
        self._set_mixture(model.mixture)
        self._summary, self._kept = model.summary, model.kept
        self.converged_, self.n_iter_ = model.summary.converged, model.summary.n_iter
        self.lower_bound_ = model.summary.lower_bound
        self.lower_bounds_ = [self.lower_bound_]
        if model.feature_names is not None:
            self.feature_names_in_ = np.array(model.feature_names, dtype=object)

    def _set_mixture(self, mixture: Mixture) -> None:
        """Set the fitted attributes that are the mixture's."""
        set_parameters(self, mixture)
        self.n_features_in_ = mixture.n_features if self._projection is None else self._projection.n_columns

    def _mixture(self) -> Mixture:
        return mixture_of(self)

    def _state(self) -> Mixture:
        """Return the mixture from which a fit goes on: of a posterior, its state."""
        return self._mixture() if self._posterior is None else self._posterior.state(self._mixture())

    def _input(self, X: Any, *, reset: bool, missing: bool | None = None) -> Input:
        """Return X as input, after scikit-learn's checks of its features; `reset` takes them as those of the fit.

        `missing` says whether masked values become NaN; None: if the estimator takes missing values.
        """
        missing = self._fills_gaps if missing is None else missing
        if is_lazy(X):
            data = lazy_input(X, self.dim, missing=missing)
            self._check_features(data, reset=reset)
            return data
        fewest = 2 if reset else 1
        refuse_times(X)
        plain = without_mask(X, missing=missing)
        checked = validate_data(
            self, plain, dtype="numeric", reset=reset, ensure_min_samples=fewest, ensure_all_finite=False
        )
        return memory_input(checked)

    def _check_features(self, data: Input, *, reset: bool) -> None:
        """Raise DataError unless number, names and order of the features are those of the fit; `reset` keeps them."""
        try:
            validate_data(self, data.header, reset=reset, skip_check_array=True)
        except ValueError as error:
            before = getattr(self, "feature_names_in_", None)
            fitted = "" if before is None else f" The model was fitted on {', '.join(before)}, in this order."
            raise DataError(" ".join(str(error).split()) + fitted) from None


def warn_unless_converged(*, converged: bool) -> None:
    """Warn the caller of `fit` if EM did not converge."""
    if not converged:
        warnings.warn(_NOT_CONVERGED, ConvergenceWarning, stacklevel=5)  # through the two decorators of `fit`


def _storage() -> Any:
    """Return the module that stores models, which takes a tenth of a second to import: only who stores one needs it."""
    return import_module("daskgmm.storage.formats.model")
