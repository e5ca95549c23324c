"""GaussianMixture: the engine behind scikit-learn's interface."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar

import dask.array as da
import numpy as np
from rich.console import Console
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ..chunked.data_summary import survey_and_sample
from ..chunked.e_step import Expectation
from ..chunked.initialization import race, starts, suggest_from
from ..chunked.memory import fits
from ..chunked.prediction import Likelihood, Result, likelihood, predict_lazily
from ..chunked.read_ahead import ready
from ..chunked.rows import Rows
from ..core.em.information_criteria import Criteria, criteria
from ..core.em.loop import State, StopReason, Trial, iterate
from ..core.init.starts import Given
from ..core.mixture.covariance import STRUCTURES
from ..core.mixture.floor import DEFAULT_REG_COVAR
from ..core.mixture.mixture import Mixture, floored
from ..core.mixture.precisions import precisions, precisions_cholesky
from ..core.options.fit import FitOptions, ModelOptions
from ..errors import DataError, SingularCovarianceError
from ..fitting.checks import check_enough_rows
from ..fitting.iteration_events import iteration_teller
from ..observers.console import plain
from ..observers.notebook import bar_of_fit, notebook_bar
from .inputs import Input, Wrap, is_lazy, lazy_input, memory_input, without_mask
from .validation import check_warm_start, given_parameters

_SINGULAR = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance "
    "caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, or scale "
    "the input data."
)
NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase max_iter, tol, or "
    "check for degenerate data."
)


class GaussianMixture(DensityMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn is not typed
    """Gaussian mixture fitted by EM, on NumPy, dask, xarray or zarr data of any size.

    The objective is the mean log-likelihood (1 / N) sum_n log sum_k weights_k N(x_n | means_k, covariances_k).

    Parameters are scikit-learn's. Where the meaning differs, it does on purpose:

    * Stopping: when Aitken's estimate of the gain still to come is below `tol` (nats per row; Boehning et al. 1994),
      not when the last gain is. The default is 1e-4, and with it a fit ends closer to its limit than scikit-learn's.
    * `n_init` restarts (default 4) run on a sample of `sample_size` rows where there are more than that, and the best
      `n_finalists` of them go on to all rows; with fewer rows, all restarts run on all rows at once.
    * `reg_covar` is the least variance of a component in any direction, in units of each feature's variance over all
      rows; nothing is added to variances that are larger. So fits do not depend on the units of the columns, and the
      log-likelihood never falls.
    * `max_iter` counts M-steps over all rows; `lower_bound_` is that of the returned parameters themselves.
    * `fit`, `score` and the criteria take row weights: an array (n,) or (*grid), one number, or a DataArray, which goes
      by its dimensions. Rows of weight 0 are not looked at.

    Parameters
    ----------
    n_components, covariance_type, tol, reg_covar, max_iter, n_init, init_params, weights_init, means_init,
    precisions_init, random_state, warm_start, verbose, verbose_interval
        As in sklearn.mixture.GaussianMixture, but for the points above.
    resolution : "auto", float or array-like of shape (n_features,)
        Step of which the values of a column are multiples: whole numbers, rounded readings. A component has there a
        variance of step^2 / 12 at least, that of rounding. "auto" finds the steps, 0 is none.
    sample_size : int or "auto"
        Rows of the sample; "auto" takes 20 for each parameter of the model, 100,000 at least.
    n_finalists : int
        Restarts that go on from the sample to all rows, sharing each pass.
    dtype : {"auto", "float64", "float32"}
        Precision of the products in the kernel; sums are float64 in any case, and "auto" is float64.
    persist : bool or "auto"
        Keep lazy rows in memory between passes; "auto" does where they take at most half of what is there. Rows that
        are not kept are read ahead of each pass; how many chunks, dask's `daskgmm.compute.read_ahead` says.
    dim : str or None
        Dimension of a DataArray that holds the features; None is the last. Its labels, if it has any, are the names of
        the features. Variables of a Dataset, columns of a DataFrame and the last axis of other arrays are the features
        whatever `dim` is.

    Attributes
    ----------
    weights_ : (n_components,)
    means_ : (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : by covariance_type

        ========== ==========================================
        full       (n_components, n_features, n_features)
        tied       (n_features, n_features)
        diag       (n_components, n_features)
        spherical  (n_components,)
        ========== ==========================================
    converged_ : bool
    n_iter_ : int, M-steps of the best trial
    lower_bound_ : float, mean log-likelihood of the returned parameters
    lower_bounds_ : list of float, mean log-likelihood at the start and after each M-step
    n_features_in_, feature_names_in_ : as scikit-learn's

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from daskgmm import GaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> rows = np.concatenate([rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) + 6])
    >>> X = da.from_array(rows, chunks=(250, 2))
    >>> model = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(model.means_.round().astype(int), axis=0).tolist()
    [[0, 0], [6, 6]]
    >>> labels = model.predict(X)
    >>> labels.chunks
    ((250, 250, 250, 250),)
    >>> int((labels == labels[0]).sum().compute())
    500
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "resolution": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"}), "array-like"],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions({"kmeans", "k-means++", "random", "random_from_data"})],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "sample_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_finalists": [Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"auto", "float64", "float32"})],
        "persist": ["boolean", StrOptions({"auto"})],
        "dim": [str, None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(  # noqa: D107 # the class documents its parameters
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-4,
        reg_covar: float = DEFAULT_REG_COVAR,
        resolution: Any = "auto",
        max_iter: int = 200,
        n_init: int = 4,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        sample_size: int | str = "auto",
        n_finalists: int = 1,
        dtype: str = "auto",
        persist: bool | str = "auto",
        dim: str | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.resolution = resolution
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.sample_size = sample_size
        self.n_finalists = n_finalists
        self.dtype = dtype
        self.persist = persist
        self.dim = dim
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator] # as above
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GaussianMixture:
        """Fit the mixture to rows X (n, d), or an array (*grid, d), with weights (n,) or (*grid); return self."""
        rows = self._rows(X, sample_weight)
        given = given_parameters(
            self.n_components,
            rows.n_features,
            self.covariance_type,
            self.weights_init,
            self.means_init,
            self.precisions_init,
        )
        try:
            with ready(rows, keep=fits(rows, self.persist)) as ready_rows:  # type: ignore[arg-type]
                best = self._search(ready_rows, given)
        except SingularCovarianceError as error:
            raise SingularCovarianceError(f"{_SINGULAR} In short: {error}") from None
        self._keep(best)
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(NOT_CONVERGED, ConvergenceWarning, stacklevel=2)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, and return the labels of X, as `fit(X).predict(X)` does."""
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    def predict(self, X: Any) -> Any:
        """Return the most probable component of each row, (n,) or (*grid)."""
        return self._score(X, "labels")

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each component for each row, (n, k) or (*grid, k)."""
        return self._score(X, "probabilities")

    def score_samples(self, X: Any) -> Any:
        """Return the log-density of each row, (n,) or (*grid), in nats."""
        return self._score(X, "log_density")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean log-density of the rows, in nats, weighted if weights (n,) or (*grid) are given."""
        sums = self._likelihood(X, sample_weight)
        return sums.log_likelihood / sums.weight_sum

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Return the Bayesian information criterion on X; smaller is better."""
        return self._criteria(X, sample_weight).bic

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Return Akaike's information criterion on X; smaller is better."""
        return self._criteria(X, sample_weight).aic

    def aicc(self, X: Any, sample_weight: Any = None) -> float:
        """Return Akaike's criterion corrected for few rows on X; smaller is better, infinite for too few rows."""
        return self._criteria(X, sample_weight).aicc

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Return BIC plus twice the entropy of the responsibilities on X; smaller is better."""
        return self._criteria(X, sample_weight, entropy=True).icl

    def sample(self, n_samples: int = 1) -> tuple[Any, Any]:
        """Return rows (n_samples, d) drawn from the mixture, in order of component, and their components."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.")
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        return self._mixture().sample(n_samples, np.random.default_rng(seed))

    def to_sklearn(self) -> SklearnGaussianMixture:
        """Return a scikit-learn GaussianMixture that predicts the same."""
        check_is_fitted(self)
        shared = set(SklearnGaussianMixture().get_params())
        other = SklearnGaussianMixture(**{name: value for name, value in self.get_params().items() if name in shared})
        return _copy_fitted(self, other)

    @classmethod
    def from_sklearn(cls, model: SklearnGaussianMixture) -> GaussianMixture:
        """Return the estimator with the parameters and the fitted attributes of a scikit-learn GaussianMixture."""
        check_is_fitted(model)
        own: GaussianMixture = _copy_fitted(model, cls(**model.get_params()))
        own._fitted_covariance_type = model.covariance_type
        return own

    def _rows(self, X: Any, sample_weight: Any) -> Rows:
        """Check X and the weights, and return them as rows."""
        rows = self._input(X, reset=True).rows(sample_weight)
        if rows.n_rows < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components but got "
                f"n_components = {self.n_components}, n_samples = {rows.n_rows}"
            )
        return rows

    def _search(self, rows: Rows, given: Given) -> Trial:
        """Return the best trial of EM over all rows."""
        model = ModelOptions(self.n_components, self.covariance_type, self.reg_covar, self.resolution)  # type: ignore[arg-type]
        options = FitOptions(
            self.tol,
            self.max_iter,
            self.n_init,
            self.init_params,  # type: ignore[arg-type]
            self.sample_size,  # type: ignore[arg-type]
            self.n_finalists,
            dtype=self.dtype,  # type: ignore[arg-type]
        )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        survey, sample = survey_and_sample(rows, options.n_sample(model, rows.n_features), seed, model.resolution)
        check_enough_rows(survey, self.n_components)
        em = options.em(model, survey)
        resumed = self._resumes(rows.n_features)
        complete = self._mixture() if resumed else given.mixture(self.covariance_type)
        if complete is not None:
            found: tuple[Mixture, ...] = (floored(complete, em.floor),)
            em = replace(em, accelerate=False)  # from given parameters on, steps of EM alone
        else:
            search = race if given.means is None else starts
            found = search(sample, options.seeding(model, survey, given), seed)
        expect = Expectation(rows, survey, options.compute_dtype)
        state = State(survey, tuple(Trial(one) for one in found))
        best = iterate(state, expect, em, self._teller(rows.n_rows), suggest_from(sample, survey, em)).best
        self.n_iter_ = best.n_iter
        return best

    def _resumes(self, n_features: int) -> bool:
        """Return whether the fit starts from the mixture of the last one; raise ConfigurationError if it cannot."""
        if not (self.warm_start and hasattr(self, "converged_")):
            return False
        check_warm_start(self._mixture(), self.n_components, self.covariance_type, n_features)
        return True

    def _keep(self, best: Trial) -> None:
        """Set the fitted attributes."""
        mixture = best.mixture
        self._fitted_covariance_type = mixture.covariance_type  # the parameter may be set to another one later
        self.weights_, self.means_, self.covariances_ = mixture.weights, mixture.means, mixture.covariances
        self.precisions_cholesky_ = precisions_cholesky(mixture)
        self.precisions_ = precisions(mixture.covariance_type, self.precisions_cholesky_)
        self.converged_ = best.stop is StopReason.CONVERGED
        self.lower_bounds_ = list(best.history)
        self.lower_bound_ = best.history[-1]

    def _mixture(self) -> Mixture:
        return Mixture(self._fitted_covariance_type, self.weights_, self.means_, self.covariances_)

    def _score(self, X: Any, result: Result) -> Any:
        lazy, wrap = self._result(X, result)
        return wrap(lazy)

    def _result(self, X: Any, result: Result) -> tuple[da.Array, Wrap]:
        """Return a result as a lazy array, and the way to what the user gets."""
        check_is_fitted(self)
        data = self._input(X, reset=False)
        return predict_lazily(data.array, self._mixture(), result), data.wrap

    def _input(self, X: Any, *, reset: bool) -> Input:
        """Return X as input, after scikit-learn's checks of its features; `reset` takes them as those of the fit."""
        if is_lazy(X):
            data = lazy_input(X, self.dim)
            self._check_features(data, reset=reset)
            return data
        fewest = 2 if reset else 1
        plain = without_mask(X)
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

    def _n_parameters(self) -> int:
        """Return the number of free parameters, under the name that scikit-learn's users know."""
        return self._mixture().n_parameters

    def _likelihood(self, X: Any, sample_weight: Any, *, entropy: bool = False) -> Likelihood:
        check_is_fitted(self)
        return likelihood(self._input(X, reset=False).rows(sample_weight), self._mixture(), entropy=entropy)

    def _criteria(self, X: Any, sample_weight: Any, *, entropy: bool = False) -> Criteria:
        sums = self._likelihood(X, sample_weight, entropy=entropy)
        return criteria(sums.log_likelihood, sums.entropy, self._n_parameters(), sums.weight_sum)

    def _teller(self, n_rows: int) -> Callable[[State], None]:
        """Return a listener that prints every `verbose_interval`-th iteration if verbose, each one if verbose > 1.

        In a notebook it shows a bar instead.
        """
        if not self.verbose:
            return lambda state: None
        console = Console(highlight=False, soft_wrap=True)
        if console.is_jupyter:
            return iteration_teller(n_rows, notebook_bar(partial(bar_of_fit, max_iter=self.max_iter, tol=self.tol)))
        every = 1 if self.verbose > 1 else self.verbose_interval
        tell = iteration_teller(n_rows, plain(console))
        return lambda state: tell(state) if state.iteration % every == 0 or not state.live else None


def _copy_fitted(source: Any, target: Any) -> Any:
    """Return the target with the fitted attributes of the source: those whose names end with an underscore."""
    for name, value in vars(source).items():
        if name.endswith("_") and not name.startswith("_"):
            setattr(target, name, copy(value))
    return target
