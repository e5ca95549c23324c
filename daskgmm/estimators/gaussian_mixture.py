"""GaussianMixture: the engine behind scikit-learn's interface."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import dask.array as da
import numpy as np
from rich.console import Console
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from ..chunked.memory import fits
from ..chunked.merging import merge_components
from ..chunked.prediction import Likelihood, Result, likelihood, predict_lazily
from ..chunked.read_ahead import ready
from ..chunked.rows import Rows
from ..core.em.fitted_model import FitSummary, Model
from ..core.em.inference import MAXIMUM_LIKELIHOOD, Inference
from ..core.em.information_criteria import Criteria, criteria
from ..core.em.loop import State, StopReason, Trial
from ..core.em.update import KeptStatistics, keep_statistics
from ..core.init.starts import Given
from ..core.kernels.natural_parameters import VOLUME_AND_MISSING
from ..core.mixture.covariance import STRUCTURES
from ..core.mixture.floor import DEFAULT_REG_COVAR
from ..core.mixture.low_rank import family_options
from ..core.mixture.mixture import Mixture
from ..core.mixture.noise import Noise
from ..core.options.fit import FitOptions, ModelOptions
from ..core.options.fitted import FittedOptions
from ..core.options.prior import InferenceName
from ..core.scoring.merging import check_n_clusters
from ..errors import ConfigurationError, DataError, SingularCovarianceError
from ..events import ignore
from ..fitting.fit import Start, initial_state, prepare_fit, run_em
from ..fitting.iteration_events import iteration_teller
from ..observers.console import plain
from ..observers.notebook import bar_of_fit, notebook_bar
from .conditional import ConditionalMixin
from .inputs import Input, Wrap, is_lazy, lazy_input, memory_input, without_mask
from .labels import known_labels
from .merged_components import MergedComponents
from .parameters import FactorsMixin, mixture_of, set_parameters, with_factors
from .sklearn_internals import Interval, StrOptions, fit_context
from .summary import ModelTable
from .update import UpdateMixin
from .validation import as_tuples, check_warm_start, given_parameters, noise_option, prior_of, values_of_prior

_SINGULAR = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance "
    "caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, or scale "
    "the input data."
)
_OF_MODEL = ("reg_covar", "resolution")  # parameters of the estimator that are options by the same name
_OF_FIT = ("tol", "max_iter", "n_init", "init_params", "sample_size", "n_finalists", "dtype")
NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase max_iter, tol, or "
    "check for degenerate data."
)


class GaussianMixture(
    UpdateMixin,
    FactorsMixin,
    ConditionalMixin,
    DensityMixin,  # type: ignore[misc] # scikit-learn is not typed
    BaseEstimator,  # type: ignore[misc] # as above
):
    """Gaussian mixture fitted by EM, on NumPy, dask, xarray or zarr data of any size.

    The objective is the mean log-likelihood (1 / N) sum_n log sum_k weights_k N(x_n | means_k, covariances_k), subject
    to a lower bound on the covariances. The log-likelihood never decreases from one iteration to the next.

    Names are those of scikit-learn. `tol`, `reg_covar`, `n_init` and `max_iter` differ from it on purpose, as described
    below. Rows X have shape (n, d), or (..., d) on a grid of any number of axes; weights of rows, labels and
    log-densities then have the shape of the grid. Rows of weight 0 are ignored.

    Parameters
    ----------
    n_components : int, default 1
        Number k of components.
    covariance_type : str, default "full"
        "full": each component has its own covariance matrix; "tied": all share one; "diag": each has its own variance
        of each feature; "spherical": each has one variance for all features. Or one of mclust's families, EII VII EEI
        VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV: the letters say whether volume, shape and orientation are equal
        for all components (E), vary (V) or are the identity (I). E and V are for one feature. "low_rank": each has
        noise in each feature and `n_factors` loadings, a mixture of factor analysers for many features.
    n_factors : int, default None
        Number q of factors of "low_rank", fewer than features; each covariance is noise + loadings loadings^T.
    factor_noise : {"own", "common", "isotropic"}, default "own"
        Noise of "low_rank": own to each component and feature; common to all components; isotropic, one value for all
        features of a component, which is probabilistic principal component analysis.
    tol : float, default 1e-4
        EM stops when the estimated remaining gain of the mean log-likelihood is below this, in nats per row (Aitken's
        estimate; Boehning et al. 1994). scikit-learn compares the last gain only, and stops earlier. With 0, EM runs
        for `max_iter` iterations.
    reg_covar : float, default 1e-12
        Smallest variance of a component in any direction, as a share of each column's variance over all rows. Nothing
        is added to larger variances, so a fit does not depend on the units of the columns. scikit-learn adds its
        `reg_covar`, in squared units of the data, to every variance.
    resolution : "auto", float or array-like of shape (n_features,), default "auto"
        Step of which the values of a column are multiples: whole numbers, rounded readings. No component gets a
        variance below step^2 / 12 in that column, the variance of rounding. "auto" finds the steps; 0 is none.
    max_iter : int, default 200
        Largest number of M-steps over all rows. 0 returns the initial parameters.
    n_init : int, default 4
        Number of restarts. With more than `sample_size` rows they run on a sample, and the best `n_finalists` continue
        on all rows. With fewer, all restarts run on all rows. scikit-learn runs each on all rows.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default "kmeans"
        How a restart assigns rows to components before the first M-step: by the clusters of k-means; to the nearest of
        k centres chosen by k-means++; a few random rows to each; to the nearest of k rows chosen at random.
    noise : bool or float, default False
        Add a component for rows that belong to no other: the uniform density 1 / V, with V the volume of the box of all
        rows (True), or the number given. It starts with the rows of lowest density. For models with noise, labels are
        -1 for it, and `predict_proba` has a last column. With missing values V is that of the observed columns, so
        that it must be True.
    frozen : array-like of int, default ()
        Components whose means and covariances stay as `means_init` and `precisions_init`, or the last fit with
        `warm_start`, give them; their weights are fitted. If components share parts of their covariances, all or none.
    weights_init : array-like of shape (n_components,), default None
        Initial weights; they must sum to 1, or with noise to less, which leaves the rest to it. None: from
        `init_params`.
    means_init : array-like of shape (n_components, n_features), default None
        Initial means. None: from `init_params`.
    precisions_init : array-like, default None
        Initial precisions, the inverses of the covariances, in the shape of `precisions_`. None: from `init_params`.
        If all three initial parameters are given, EM takes plain steps from them.
    loadings_init : array-like of shape (n_components, n_features, n_factors), default None
        Initial loadings of "low_rank", with `noise_variance_init`, in place of `precisions_init`.
    noise_variance_init : array-like of shape (n_components, n_features), default None
        Initial noise of "low_rank".
    sample_size : int or "auto", default "auto"
        Rows of the sample. "auto" takes 20 for each parameter of the model, and at least 100,000.
    n_finalists : int, default 1
        Number of restarts that continue from the sample on all rows. They share each pass over the data.
    missing : {"error", "marginal"}, default "error"
        What NaN means. "error" refuses it. "marginal" takes it as a missing value, which is integrated out: each row
        counts by the density of what it has, under the assumption that values are missing at random (Ghahramani and
        Jordan 1994). So do NumPy's masked values and pandas' NA. A row without any value has the log-density 0 and the
        label -2; infinite values are refused.
    dtype : {"auto", "float64", "float32"}, default "auto"
        Precision of the products in the kernel; "auto" is float64. Sums are always float64.
    persist : bool or "auto", default "auto"
        Keep lazy rows in memory between passes; "auto" does if they take at most half of the available memory. Other
        rows are read again, ahead of each pass; the setting `daskgmm.compute.read_ahead` of Dask's configuration says
        how many chunks ahead.
    dim : str, default None
        Dimension of a DataArray that holds the features; None is the last one. Its labels, if it has any, are the names
        of the features. Other inputs ignore `dim`: their features are the variables of a Dataset, the columns of a
        DataFrame, or the last axis.
    random_state : int, RandomState instance or None, default None
        Seed of the sample, the restarts and `sample`. The same seed, data and chunks give the same model bit for bit.
    warm_start : bool, default False
        Start from the parameters of the last fit, if there was one.
    verbose : int, default 0
        1 prints every `verbose_interval`-th iteration, 2 each one; in a notebook a progress bar is shown.
    verbose_interval : int, default 10
        Iterations between two printed lines.
    prior : "default" or dict, default None
        Conjugate prior of the parameters: the fit is then the mode of their posterior, so that components of few rows
        do not collapse, and `lower_bound_` is the penalised objective. "default" is that of R's mclust; a dict gives
        `mean_precision`, `mean`, `degrees_of_freedom`, `covariance` or `weight_concentration`.

    Attributes
    ----------
    weights_ : array of shape (n_components,)
        Weights of the components. With `noise_weight_` they sum to 1.
    noise_weight_ : float
        Weight of the noise; 0 if there is none.
    means_ : array of shape (n_components, n_features)
        Means of the components, in units of the data.
    covariances_ : array
        Covariances of the components. The shape depends on `covariance_type`:

        ====================== ==========================================
        full, VVV, ...         (n_components, n_features, n_features)
        tied, EEE              (n_features, n_features)
        diag, EEI VEI EVI VVI  (n_components, n_features)
        spherical, EII VII     (n_components,)
        low_rank               (n_components, n_features, n_features), made when it is asked for
        ====================== ==========================================
    precisions_ : array
        Inverses of the covariances, in the same shape.
    precisions_cholesky_ : array
        Cholesky factors of the precisions, in the same shape.
    loadings_ : array of shape (n_components, n_features, n_factors)
        Loadings of "low_rank", free up to a rotation of the factors.
    noise_variance_ : array of shape (n_components, n_features)
        Variances of the noise of "low_rank".
    converged_ : bool
        Whether the estimated remaining gain fell below `tol`.
    n_iter_ : int
        Number of M-steps over all rows that led to the returned parameters.
    lower_bound_ : float
        Mean log-likelihood of the returned parameters, in nats per row.
    lower_bounds_ : list of float
        Mean log-likelihood at the start and after each M-step.
    n_features_in_ : int
        Number of features of the fitted rows.
    feature_names_in_ : array of shape (n_features,)
        Names of the features, if the fitted rows had names that are texts.

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
        "covariance_type": [StrOptions({*STRUCTURES, "low_rank"})],
        "n_factors": [Interval(Integral, 1, None, closed="left"), None],
        "factor_noise": [StrOptions({"own", "common", "isotropic"})],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "resolution": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"}), "array-like"],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions({"kmeans", "k-means++", "random", "random_from_data"})],
        "noise": ["boolean", Interval(Real, 0.0, None, closed="neither")],
        "frozen": ["array-like"],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "loadings_init": ["array-like", None],
        "noise_variance_init": ["array-like", None],
        "sample_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_finalists": [Interval(Integral, 1, None, closed="left")],
        "prior": [StrOptions({"default"}), dict, None],
        "missing": [StrOptions({"error", "marginal"})],
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
        n_factors: int | None = None,
        factor_noise: str = "own",
        tol: float = 1e-4,
        reg_covar: float = DEFAULT_REG_COVAR,
        resolution: Any = "auto",
        max_iter: int = 200,
        n_init: int = 4,
        init_params: str = "kmeans",
        noise: bool | float = False,
        frozen: Any = (),
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        loadings_init: Any = None,
        noise_variance_init: Any = None,
        sample_size: int | str = "auto",
        n_finalists: int = 1,
        missing: str = "error",
        dtype: str = "auto",
        persist: bool | str = "auto",
        dim: str | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        prior: Any = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.n_factors = n_factors
        self.factor_noise = factor_noise
        self.tol = tol
        self.reg_covar = reg_covar
        self.resolution = resolution
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.noise = noise
        self.frozen = frozen
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.loadings_init = loadings_init
        self.noise_variance_init = noise_variance_init
        self.sample_size = sample_size
        self.n_finalists = n_finalists
        self.missing = missing
        self.dtype = dtype
        self.persist = persist
        self.dim = dim
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.prior = prior

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator] # as above
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GaussianMixture:
        """Fit the mixture to rows X (n, d), or an array (..., d), with weights (n,) or (...,); return self.

        Integers y (n,) or (...,), of which some are -1, are labels: numbers of components, and -1 where it is not known
        (semi-supervised). Labelled rows count by log(w_k N(x | k)) of their own component alone. Any other y is
        ignored, as in scikit-learn.
        """
        rows = self._rows(X, sample_weight)
        labels = known_labels(y, rows.grid)
        given = given_parameters(
            self.n_components,
            rows.n_features,
            self._family,
            self.weights_init,
            self.means_init,
            self.precisions_init,
            has_noise=noise_option(self.noise) is not False,
        )
        given = with_factors(given, self._family, rows.n_features, self.loadings_init, self.noise_variance_init)
        try:
            with ready(rows, keep=fits(rows, self.persist)) as ready_rows:  # type: ignore[arg-type]
                self._search(ready_rows, given, labels)
        except SingularCovarianceError as error:
            raise SingularCovarianceError(f"{_SINGULAR} In short: {error}") from None
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(NOT_CONVERGED, ConvergenceWarning, stacklevel=2)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, and return the labels of X, as `fit(X).predict(X)` does."""
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    def predict(self, X: Any) -> Any:
        """Return the most probable component of each row, (n,) or (...,).

        It is -1 for the noise and, of lazy data, -2 for a row in which all features are missing.
        """
        return self._score(X, "labels")

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each component for each row, (n, k) or (..., k); with noise, its own comes last."""
        return self._score(X, "probabilities")

    def score_samples(self, X: Any) -> Any:
        """Return the log-density of each row, (n,) or (...,), in nats."""
        return self._score(X, "log_density")

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean log-density of the rows, in nats, weighted if weights (n,) or (...,) are given."""
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

    def merge_components(self, X: Any, n_clusters: int | None = None, sample_weight: Any = None) -> MergedComponents:
        """Return clusters of components: a cluster that is no Gaussian takes several of them.

        The pair of components, or of clusters, whose merging lowers the entropy of the responsibilities of the rows X
        most becomes one, and so on (Baudry et al. 2010). `n_clusters` None takes the number at which the entropy bends.
        It takes one pass over X, and another one for each merge that differs from what the mixture foretells.
        """
        check_is_fitted(self)
        if n_clusters is not None:
            check_n_clusters(n_clusters, self._mixture().n_components)
        rows = self._input(X, reset=False).rows(sample_weight, missing=self._fills_gaps)
        tree = merge_components(rows, self._mixture())
        return MergedComponents(self, tree, tree.elbow if n_clusters is None else n_clusters)

    def sample(self, n_samples: int = 1) -> tuple[Any, Any]:
        """Return rows (n_samples, d) drawn from the mixture, in order of component, and their components.

        Rows of the noise come last, with the label -1; they can be drawn from the box that `noise=True` takes.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.")
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        return self._mixture().sample(n_samples, np.random.default_rng(seed))

    def to_sklearn(self) -> SklearnGaussianMixture:
        """Return a scikit-learn GaussianMixture that predicts the same; raise ConfigurationError if there is noise."""
        check_is_fitted(self)
        if self._mixture().noise is not None:
            raise ConfigurationError("scikit-learn has no mixture with a noise component: fit with noise=False")
        if self._mixture().structure.layout.n_factors:
            raise ConfigurationError(
                "scikit-learn has no covariance_type low_rank: predict with this estimator, or fit full"
            )
        shared = set(SklearnGaussianMixture().get_params())
        other = SklearnGaussianMixture(**{name: value for name, value in self.get_params().items() if name in shared})
        other.set_params(covariance_type=self._mixture().structure.layout.name)
        return copy_fitted(self, other)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a model.zarr at `path`, a path or a URL of fsspec, for `load` and the command line.

        Raises DataError for an estimator made of scikit-learn's, of which no fit is known.
        """
        _storage().save_model(self._model(), path)

    @classmethod
    def load(cls, path: str | Path, storage_options: Mapping[str, Any] | None = None) -> GaussianMixture:
        """Return the estimator with the model of a run directory or a model.zarr, a path or a URL of fsspec."""
        return cls.from_model(_storage().load_model(path, storage_options))

    @classmethod
    def from_model(cls, model: Model) -> GaussianMixture:
        """Return the estimator with the fitted attributes of a model."""
        own = cls(**cls._parameters_of(model))
        own._set_mixture(model.mixture)
        own._summary, own._kept = model.summary, model.kept
        own.converged_, own.n_iter_ = model.summary.converged, model.summary.n_iter
        own.lower_bound_ = model.summary.log_likelihood if model.summary.objective is None else model.summary.objective
        own.lower_bounds_ = [own.lower_bound_]
        if model.feature_names is not None:
            own.feature_names_in_ = np.array(model.feature_names, dtype=object)
        return own

    @classmethod
    def _parameters_of(cls, model: Model) -> dict[str, Any]:
        """Return the parameters of an estimator that fits again as a model was fitted, as far as they are known."""
        mixture, noise = model.mixture, model.mixture.noise
        family = family_options(mixture.covariance_type)
        known: dict[str, Any] = family if family["n_factors"] else {"covariance_type": mixture.covariance_type}
        if noise is not None:
            known["noise"] = noise.box is not None or float(np.exp(noise.log_volume))
        known["n_components"] = mixture.n_components
        if model.options is None:
            return known
        options = FittedOptions.of_plain(model.options)
        known |= {"missing": options.missing, "random_state": options.random_state}
        for section, names in ((options.model, _OF_MODEL), (options.fit, _OF_FIT)):
            known |= {name: getattr(section, name) for name in names}
        return known | cls._parameters_of_inference(options)

    @classmethod
    def _parameters_of_inference(cls, options: FittedOptions) -> dict[str, Any]:
        """Return the parameters that say what is inferred."""
        of_prior = {"prior": values_of_prior(options.model.prior)} if options.fit.inference == "map" else {}
        return {"frozen": options.model.frozen} | of_prior

    def summary(self) -> ModelTable:
        """Return the fit and its components as a table, which `print` and notebooks show."""
        return ModelTable(self._model())

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
            kept=getattr(self, "_kept", None),
            options=self._fitted_options().plain(),
        )

    def _fitted_options(self) -> FittedOptions:
        """Return the options as they are stored beside a model."""
        model, fit = self._options()
        seed = int(self.random_state) if isinstance(self.random_state, Integral) else None
        return FittedOptions(model, fit, self.missing, seed)  # type: ignore[arg-type]

    @classmethod
    def from_sklearn(cls, model: SklearnGaussianMixture) -> GaussianMixture:
        """Return the estimator with the parameters and the fitted attributes of a scikit-learn GaussianMixture."""
        check_is_fitted(model)
        own: GaussianMixture = copy_fitted(model, cls(**model.get_params()))
        own._fitted_covariance_type = model.covariance_type
        own._fitted_noise, own._fitted_frozen, own.noise_weight_ = None, (), 0.0
        return own

    def _rows(self, X: Any, sample_weight: Any) -> Rows:
        """Check X and the weights, and return them as rows."""
        rows = self._input(X, reset=True).rows(sample_weight, missing=self._fills_gaps)
        if rows.n_rows < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components but got "
                f"n_components = {self.n_components}, n_samples = {rows.n_rows}"
            )
        return rows

    def _search(self, rows: Rows, given: Given, labels: da.Array | None) -> Trial:
        """Return the best trial of EM over all rows."""
        model, options = self._options()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        start = self._start(given, rows.n_features)
        # From given parameters on, steps of EM alone.
        fit = prepare_fit(rows, model, options, seed, accelerate=start.mixture is None, labels=labels)
        state, _ = initial_state(fit, start, ignore)
        best = run_em(fit, state, self._teller(rows.n_rows)).best
        self.n_iter_ = best.n_iter
        self._keep(best, fit.em.inference, keep_statistics(best, fit.survey))
        return best

    def _options(self) -> tuple[ModelOptions, FitOptions]:
        """Return the options of the model and of its fit."""
        model, inference = self._model_options()
        options = FitOptions(
            self.tol,
            self.max_iter,
            self.n_init,
            self.init_params,  # type: ignore[arg-type]
            self.sample_size,  # type: ignore[arg-type]
            self.n_finalists,
            dtype=self.dtype,  # type: ignore[arg-type]
            inference=inference,
        )
        return model, options

    def _model_options(self) -> tuple[ModelOptions, InferenceName]:
        """Return the options of the model, and what is inferred."""
        if self._fills_gaps and not isinstance(noise_option(self.noise), bool):
            raise ConfigurationError(f"missing is marginal: {VOLUME_AND_MISSING}")
        frozen = np.asarray(self.frozen)
        if frozen.size and (frozen.ndim != 1 or frozen.dtype.kind not in "iu"):
            raise ValueError(f"frozen {self.frozen!r} must be a list of numbers of components, such as [0, 2]")
        model = ModelOptions(
            self.n_components,
            self.covariance_type,  # type: ignore[arg-type]
            self.reg_covar,
            self.resolution if isinstance(self.resolution, str) else as_tuples(self.resolution),  # type: ignore[arg-type]
            noise_option(self.noise),
            tuple(int(one) for one in frozen),
            n_factors=self.n_factors,
            factor_noise=self.factor_noise,  # type: ignore[arg-type]
            prior=prior_of(self.prior),
        )
        return model, "em" if self.prior is None else "map"

    @property
    def _family(self) -> str:
        return self._model_options()[0].family

    def _start(self, given: Given, n_features: int) -> Start:
        """Return where EM starts: at the mixture of the last fit, at given parameters, or at restarts."""
        if self._resumes(n_features):
            return Start(self._state(), given=given)
        if len(self.frozen) and (given.means is None or given.covariances is None):
            raise ConfigurationError(
                f"frozen {list(self.frozen)} keeps components as they are given: give means_init and precisions_init, "
                "or a fitted estimator with warm_start"
            )
        noise = None if noise_option(self.noise) is False else Noise(0.0, 0.0)
        return Start(given.mixture(self._family, noise), given=given)

    def _resumes(self, n_features: int) -> bool:
        """Return whether the fit starts from the mixture of the last one; raise ConfigurationError if it cannot."""
        if not (self.warm_start and hasattr(self, "converged_")):
            return False
        has_noise = noise_option(self.noise) is not False
        check_warm_start(self._mixture(), self.n_components, self._family, n_features, has_noise=has_noise)
        return True

    def _keep(self, best: Trial, inference: Inference = MAXIMUM_LIKELIHOOD, kept: KeptStatistics | None = None) -> None:
        """Set the fitted attributes."""
        self._set_mixture(inference.plug_in(best.mixture))
        self.converged_ = best.stop is StopReason.CONVERGED
        self.lower_bounds_ = list(best.history)
        self.lower_bound_ = best.history[-1]
        self._summary, self._kept = FitSummary.of(best, inference, kept), kept

    def _set_mixture(self, mixture: Mixture) -> None:
        """Set the fitted attributes that are the mixture's."""
        set_parameters(self, mixture)
        self.n_features_in_ = mixture.n_features

    def _mixture(self) -> Mixture:
        return mixture_of(self)

    def _state(self) -> Mixture:
        """Return the mixture from which a fit goes on."""
        return self._mixture()

    def _score(self, X: Any, result: Result, clusters: tuple[int, ...] | None = None) -> Any:
        lazy, wrap = self._result(X, result, clusters)
        return wrap(lazy)

    def _result(self, X: Any, result: Result, clusters: tuple[int, ...] | None = None) -> tuple[da.Array, Wrap]:
        """Return a result as a lazy array, and the way to what the user gets."""
        check_is_fitted(self)
        data = self._input(X, reset=False)
        return predict_lazily(data.array, self._mixture(), result, clusters, missing=self._fills_gaps), data.wrap

    @property
    def _fills_gaps(self) -> bool:
        return bool(self.missing == "marginal")

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

    def _n_parameters(self) -> int:
        """Return the number of free parameters, under the name that scikit-learn's users know."""
        return self._mixture().n_parameters

    def _likelihood(self, X: Any, sample_weight: Any, *, entropy: bool = False) -> Likelihood:
        check_is_fitted(self)
        rows = self._input(X, reset=False).rows(sample_weight, missing=self._fills_gaps)
        return likelihood(rows, self._mixture(), entropy=entropy)

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


def _storage() -> Any:
    """Return the module that stores models, which takes a tenth of a second to import: only who stores one needs it."""
    return import_module("daskgmm.storage.formats.model")


def copy_fitted(source: Any, target: Any) -> Any:
    """Return the target with the fitted attributes of the source: those whose names end with an underscore."""
    for name, value in vars(source).items():
        if name.endswith("_") and not name.startswith("_"):
            setattr(target, name, copy(value))
    return target
