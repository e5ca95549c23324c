"""GaussianMixture: the engine behind scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..chunked.memory import Persist
from ..core.em.fitted_model import Model
from ..core.init.starts import Given, InitParams
from ..core.mixture.covariance import STRUCTURES, CovarianceType
from ..core.mixture.floor import DEFAULT_REG_COVAR
from ..core.mixture.low_rank import FACTOR_TYPES, FactorNoise, FactorType
from ..core.mixture.noise import VOLUME_AND_MISSING, Noise
from ..core.options.fit import ComputeDtype, ModelOptions
from ..core.options.prior import InferenceName
from ..core.options.reduce import Reduce
from ..errors import ConfigurationError
from ..fitting.fit import Start
from .base import warn_unless_converged
from .constraints import CONSTRAINTS, CONSTRAINTS_OF_ONE_MIXTURE, Missing, Resolution, Restarts, SampleSize
from .messages import names_parameters
from .parameters import MATRICES, FactorsMixin, copy_fitted, fitted_options, parameters_of, with_factors
from .sklearn_internals import Interval, StrOptions, fit_context
from .update import UpdateMixin
from .validation import (
    STARTS,
    check_columns,
    check_given,
    noise_option,
    prior_of,
    reduce_option,
    resolution_option,
    values_of_prior,
    values_of_reduce,
)

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
    from sklearn.pipeline import Pipeline


class GaussianMixture(UpdateMixin, FactorsMixin):
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
    n_init : int or "auto", default "auto"
        Number of restarts; "auto": 10 if rows x features x components are 10,000 at most, else 4. With more than
        `sample_size` rows they run on a sample, and the best `n_finalists` continue on all rows. With fewer, all
        restarts run on all rows. scikit-learn runs each on all rows.
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
        Rows of the sample. "auto" takes 20 for each parameter of the model, and at least 100,000; of more than 1,342
        features fewer, for their memory.
    n_finalists : int, default 1
        Number of restarts that continue from the sample on all rows. They share each pass over the data.
    missing : {"error", "marginal"}, default "error"
        What NaN means. "error" refuses it. "marginal" takes it as a missing value, which is integrated out: each row
        counts by the density of what it has, under the assumption that values are missing at random (Ghahramani and
        Jordan 1994). So do NumPy's masked values and pandas' NA. A row without any value has the log-density 0 and the
        label -2; infinite values are refused.
    dtype : {"float64", "float32"}, default "float64"
        Precision of the products in the kernel. Sums are always float64.
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
    reduce : dict, default None
        Fit the mixture to principal components of the columns, each first divided by its standard deviation:
        ``{"features": 50}`` takes that many, ``{"variance": 0.999}`` as many as hold that share of the variance. Up to
        512 columns they are those of all rows, of more those of a sample. All methods take rows of the original
        columns; log-densities and criteria are those of the projection. Updates keep it.

    Attributes
    ----------
    weights_ : array of shape (n_components,)
        Weights of the components. With `noise_weight_` they sum to 1.
    noise_weight_ : float
        Weight of the noise; 0 if there is none.
    means_ : array of shape (n_components, n_features)
        Means of the components, in units of the data. With `reduce`, means and covariances are those of the principal
        components, and `projection_.restore(means_)` is in units of the data.
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
    projection_ : Projection or None
        With `reduce`, the centre, scale and axes of the principal components.
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
        **CONSTRAINTS,
        **CONSTRAINTS_OF_ONE_MIXTURE,
        "covariance_type": [StrOptions({*STRUCTURES, *FACTOR_TYPES})],
        "n_factors": [Interval(Integral, 1, None, closed="left"), None],
        "factor_noise": [StrOptions({"own", "common", "isotropic"})],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "noise": ["boolean", Interval(Real, 0.0, None, closed="neither")],
        "frozen": ["array-like"],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "loadings_init": ["array-like", None],
        "noise_variance_init": ["array-like", None],
        "prior": [StrOptions({"default"}), dict, None],
        "reduce": [dict, None],
    }

    def __init__(  # noqa: D107 # the class documents its parameters
        self,
        n_components: int = 1,
        *,
        covariance_type: Literal[CovarianceType, FactorType] = "full",
        n_factors: int | None = None,
        factor_noise: FactorNoise = "own",
        tol: float = 1e-4,
        reg_covar: float = DEFAULT_REG_COVAR,
        resolution: Resolution = "auto",
        max_iter: int = 200,
        n_init: Restarts = "auto",
        init_params: InitParams = "kmeans",
        noise: bool | float = False,
        frozen: Any = (),
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        loadings_init: Any = None,
        noise_variance_init: Any = None,
        sample_size: SampleSize = "auto",
        n_finalists: int = 1,
        missing: Missing = "error",
        dtype: ComputeDtype = "float64",
        persist: Persist = "auto",
        dim: str | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        prior: Literal["default"] | Mapping[str, Any] | None = None,
        reduce: Mapping[str, float] | None = None,
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
        self.weights_init, self.means_init, self.precisions_init = weights_init, means_init, precisions_init
        self.loadings_init, self.noise_variance_init = loadings_init, noise_variance_init
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
        self.reduce = reduce

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator] # scikit-learn is not typed
    @names_parameters
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the mixture to rows X (n, d), or an array (..., d), with weights (n,) or (...,); return self.

        Integers y (n,) or (...,), of which some are -1, are labels: numbers of components, and -1 where it is not known
        (semi-supervised). Labelled rows count by log(w_k N(x | k)) of their own component alone. Any other y is
        ignored, as in scikit-learn.
        """
        with self._keep_features_on_error():
            rows, labels = self._labelled_rows(X, y, sample_weight)
            reduce_option(self.reduce, {name: getattr(self, name) for name in STARTS})
            self._run_fit(rows, labels, self._start(rows.n_features))
        warn_unless_converged(converged=self.converged_ or self.max_iter == 0)
        return self

    def to_sklearn(self) -> SklearnGaussianMixture | Pipeline:
        """Return a scikit-learn GaussianMixture that predicts the same; raise ConfigurationError if there is noise.

        Covariances of low rank are whole matrices there. With `reduce` it is the last step of a Pipeline, after a
        StandardScaler and a PCA.
        """
        from sklearn.mixture import GaussianMixture as SklearnGaussianMixture  # a tenth of a small fit's time
        from sklearn.pipeline import make_pipeline  # as above

        check_is_fitted(self)
        if self._mixture().noise is not None:
            raise ConfigurationError("scikit-learn has no mixture with a noise component: fit with noise=False")
        shared = set(SklearnGaussianMixture().get_params())
        other = SklearnGaussianMixture(**{name: value for name, value in self.get_params().items() if name in shared})
        other.set_params(covariance_type=self._mixture().with_whole_matrices().structure.layout.name)
        copied = copy_fitted(self, other)
        for name in MATRICES:
            setattr(copied, name, getattr(self, name))
        if self._projection is None:
            return copied
        copied.n_features_in_ = self._projection.n_features
        steps = import_module("daskgmm.storage.formats.export").projection_steps(self._projection, self._mixture())
        return make_pipeline(*steps, copied)

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """Return the estimator with the fitted attributes of a model."""
        known = parameters_of(model)
        noise, options = model.mixture.noise, fitted_options(model)
        if noise is not None:
            known["noise"] = noise.box is not None or float(np.exp(noise.log_volume))
        if options is not None:
            known["frozen"] = options.model.frozen
        if options is not None and options.fit.inference == "map":
            known["prior"] = values_of_prior(options.model.prior)
        if model.projection is not None:
            reduce = None if options is None else options.model.reduce
            known["reduce"] = values_of_reduce(reduce or Reduce(model.projection.n_features))
        own = cls(**known)
        own._set_model(model)
        if model.posterior is not None:
            own._kept = None  # statistics of a posterior are for the other estimator to continue with
        return own

    @classmethod
    def from_sklearn(cls, model: SklearnGaussianMixture) -> Self:
        """Return the estimator with the parameters and the fitted attributes of a scikit-learn GaussianMixture."""
        check_is_fitted(model)
        own: Self = copy_fitted(model, cls(**model.get_params()))
        own._fitted_covariance_type = model.covariance_type
        own._fitted_noise, own._fitted_frozen, own.noise_weight_ = None, (), 0.0
        return own

    def _model_options(self) -> tuple[ModelOptions, InferenceName]:
        """Return the options of the model, and what is inferred."""
        if self._fills_gaps and not isinstance(noise_option(self.noise), bool):
            raise ConfigurationError(f"missing is marginal: {VOLUME_AND_MISSING}")
        frozen = np.asarray(self.frozen)
        if frozen.size and (frozen.ndim != 1 or frozen.dtype.kind not in "iu"):
            raise ValueError(f"frozen {self.frozen!r} must be a list of numbers of components, such as [0, 2]")
        model = ModelOptions(
            self.n_components,
            self.covariance_type,
            self.reg_covar,
            resolution_option(self.resolution),
            noise_option(self.noise),
            tuple(int(one) for one in frozen),
            n_factors=self.n_factors,
            factor_noise=self.factor_noise,
            prior=prior_of(self.prior),
            reduce=reduce_option(self.reduce, {}),
        )
        return model, "em" if self.prior is None else "map"

    def _start(self, n_features: int) -> Start:
        """Choose the start of EM: the mixture of the last fit, given parameters, or restarts."""
        given = self._check_given(n_features)
        if self._resumes(n_features):
            return Start(self._mixture(), given=given)
        if len(self.frozen) and (given.means is None or given.covariances is None):
            raise ConfigurationError(
                f"frozen {list(self.frozen)} keeps components as they are given: give means_init and precisions_init, "
                "or a fitted estimator with warm_start"
            )
        noise = None if noise_option(self.noise) is False else Noise(0.0, 0.0)
        return Start(given.mixture(self._family, noise), given=given)

    def _check_given(self, n_features: int) -> Given:
        """Check the initial parameters that the user gives, and return them."""
        check_columns(self.means_init, getattr(self, "feature_names_in_", None), "means_init")
        given = check_given(
            self.n_components,
            n_features,
            self._family,
            self.weights_init,
            self.means_init,
            self.precisions_init,
            has_noise=noise_option(self.noise) is not False,
        )
        return with_factors(given, self._family, n_features, self.loadings_init, self.noise_variance_init)
