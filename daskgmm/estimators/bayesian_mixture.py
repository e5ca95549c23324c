"""BayesianGaussianMixture: variational inference behind scikit-learn's interface."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ..chunked.memory import Persist
from ..core.em.fitted_model import Model
from ..core.em.variational import Posterior, Variational, WeightPrior
from ..core.init.starts import InitParams
from ..core.mixture.covariance import DEFAULT_TYPES, STRUCTURES
from ..core.mixture.floor import DEFAULT_REG_COVAR
from ..core.options.fit import ComputeDtype, ModelOptions
from ..core.options.prior import InferenceName, Prior, PriorOptions
from ..errors import DataError
from ..fitting.fit import Start
from .base import warn_unless_converged
from .constraints import CONSTRAINTS, CONSTRAINTS_OF_ONE_MIXTURE, Missing, Resolution, Restarts, SampleSize
from .messages import names_parameters
from .parameters import copy_fitted, fitted_options, parameters_of
from .posterior import set_fitted_posterior, set_posterior
from .sklearn_internals import Interval, StrOptions, fit_context
from .update import UpdateMixin
from .validation import as_tuples, resolution_option

if TYPE_CHECKING:
    from sklearn.mixture import BayesianGaussianMixture as SklearnBayesianGaussianMixture

DefaultType = Literal["full", "tied", "diag", "spherical"]
_PRIOR_VALUES = {  # parameters that are values of a prior by another name
    "weight_concentration_prior": "weight_concentration",
    "mean_precision_prior": "mean_precision",
    "mean_prior": "mean",
    "degrees_of_freedom_prior": "degrees_of_freedom",
    "covariance_prior": "covariance",
}


class BayesianGaussianMixture(UpdateMixin):
    """Gaussian mixture by variational Bayes, on NumPy, dask, xarray or zarr data of any size.

    Weights have a Dirichlet distribution or a Dirichlet process as prior, means and precisions a Normal-Wishart
    distribution. `n_components` is an upper bound: components that the rows have no use for keep the prior, and next to
    no weight. The objective is the evidence lower bound, which never falls from one iteration to the next.

    Names and shapes are those of scikit-learn, and from the same start so are the parameters. What differs is what
    differs in `GaussianMixture`: `tol`, `reg_covar`, `n_init` and `max_iter`.

    Parameters
    ----------
    n_components : int, default 1
        Number k of components, an upper bound.
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        What the posterior of the precisions is restricted to; the model is that of full precisions.
    tol : float, default 1e-4
        Stop when the estimated remaining gain of the bound is below this, in nats per row.
    reg_covar : float, default 1e-12
        Smallest variance of a component in any direction, as a share of each column's variance over all rows.
    max_iter : int, default 200
        Largest number of iterations over all rows.
    n_init : int or "auto", default "auto"
        Number of restarts; see `GaussianMixture`.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default "kmeans"
        How a restart assigns rows to components.
    weight_concentration_prior_type : {"dirichlet_process", "dirichlet_distribution"}, default "dirichlet_process"
        Prior of the weights.
    weight_concentration_prior : float, default None
        Concentration of the weights: the lower, the fewer components are in use. None: 1 / n_components.
    mean_precision_prior : float, default None
        Number of rows that the prior of a mean counts as. None: 1.
    mean_prior : array-like of shape (n_features,), default None
        Prior mean. None: the mean of all rows.
    degrees_of_freedom_prior : float, default None
        Degrees of freedom of the Wishart prior. None: n_features.
    covariance_prior : float or array-like, default None
        Scale of the prior of the covariances, in the shape of one of `covariances_`. None: the covariance of all rows.
    resolution, sample_size, n_finalists, missing, dtype, persist, dim, random_state, warm_start, verbose,
    verbose_interval
        As in `GaussianMixture`. Rows with missing values are refused.

    Attributes
    ----------
    weights_, means_, covariances_, precisions_, precisions_cholesky_
        The mixture of the posterior means of the parameters, with the shapes that `GaussianMixture` has.
    weight_concentration_ : array (n_components,), or two of them
        Concentrations of the Dirichlet posterior; or both parameters of the sticks of the process.
    mean_precision_ : array of shape (n_components,)
        How many rows each mean counts as, with the prior's.
    degrees_of_freedom_ : array of shape (n_components,), or float if tied
        Degrees of freedom of the posterior of the precisions.
    weight_concentration_prior_, mean_precision_prior_, mean_prior_, degrees_of_freedom_prior_, covariance_prior_
        The values of the prior.
    evidence_lower_bound_ : float
        The complete bound of the log-evidence of all rows, in nats: comparable between priors and covariance types.
        scikit-learn's `lower_bound_` leaves constants out.
    lower_bound_, lower_bounds_ : float, list of float
        The same per unit of row weight, at the end and after each iteration.
    converged_, n_iter_, n_features_in_, feature_names_in_
        As in `GaussianMixture`.

    Examples
    --------
    >>> import numpy as np
    >>> from daskgmm import BayesianGaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) + 6])
    >>> model = BayesianGaussianMixture(n_components=6, random_state=0).fit(X)
    >>> int((model.weights_ > 0.01).sum())
    2
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONSTRAINTS,
        **CONSTRAINTS_OF_ONE_MIXTURE,
        "covariance_type": [StrOptions(set(DEFAULT_TYPES))],
        "weight_concentration_prior_type": [StrOptions({"dirichlet_process", "dirichlet_distribution"})],
        "weight_concentration_prior": [None, Interval(Real, 0.0, None, closed="neither")],
        "mean_precision_prior": [None, Interval(Real, 0.0, None, closed="neither")],
        "mean_prior": [None, "array-like"],
        "degrees_of_freedom_prior": [None, Interval(Real, 0.0, None, closed="neither")],
        "covariance_prior": [None, "array-like", Interval(Real, 0.0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(  # noqa: D107 # the class documents its parameters
        self,
        *,
        n_components: int = 1,
        covariance_type: DefaultType = "full",
        tol: float = 1e-4,
        reg_covar: float = DEFAULT_REG_COVAR,
        resolution: Resolution = "auto",
        max_iter: int = 200,
        n_init: Restarts = "auto",
        init_params: InitParams = "kmeans",
        weight_concentration_prior_type: WeightPrior = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: Any = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: Any = None,
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
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.resolution = resolution
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
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

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator] # scikit-learn is not typed
    @names_parameters
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the posterior to rows X (n, d), or an array (..., d), with weights (n,) or (...,); return self.

        Labels y are taken as by `GaussianMixture.fit`.
        """
        with self._keep_features_on_error():
            rows, labels = self._labelled_rows(X, y, sample_weight)
            self._check_prior(rows.n_features)
            self._run_fit(rows, labels, self._start(rows.n_features))
        warn_unless_converged(converged=self.converged_)
        return self

    def to_sklearn(self) -> SklearnBayesianGaussianMixture:
        """Return a scikit-learn BayesianGaussianMixture with the same posterior.

        It predicts by expectations over the posterior, where this estimator predicts by the mixture of the posterior
        means: of few rows, probabilities and log-densities differ, and labels between two components.
        """
        # It takes a tenth of a small fit's time.
        from sklearn.mixture import BayesianGaussianMixture as SklearnBayesianGaussianMixture

        check_is_fitted(self)
        shared = set(SklearnBayesianGaussianMixture().get_params())
        given = {name: value for name, value in self.get_params().items() if name in shared}
        return copy_fitted(self, SklearnBayesianGaussianMixture(**given))

    @classmethod
    def from_sklearn(cls, model: SklearnBayesianGaussianMixture) -> Self:
        """Return the estimator with the parameters and attributes of a scikit-learn BayesianGaussianMixture.

        It predicts by the mixture of the posterior means, where scikit-learn takes expectations; see `to_sklearn`.
        """
        check_is_fitted(model)
        own: Self = copy_fitted(model, cls(**model.get_params()))
        own._fitted_covariance_type = model.covariance_type
        own._fitted_noise, own._fitted_frozen, own.noise_weight_ = None, (), 0.0
        counts, k = model.mean_precision_ - model.mean_precision_prior_, len(model.means_)
        concentration = model.weight_concentration_
        own._posterior = Posterior(
            counts / counts.sum(),
            concentration if isinstance(concentration, tuple) else (concentration,),
            model.mean_precision_,
            np.full(k, model.degrees_of_freedom_),
        )
        return own

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """Return the estimator with the fitted attributes of a model with a posterior; raise DataError without one."""
        if model.posterior is None:
            raise DataError("the model has no posterior, so it is no variational fit: load it by GaussianMixture")
        options = fitted_options(model)
        own = cls(**parameters_of(model), **parameters_of_prior(None if options is None else options.model.prior))
        own._set_model(model)
        if model.kept is None:
            set_posterior(own, model.posterior)
            own.evidence_lower_bound_ = own.lower_bound_ * model.summary.weight_sum
        else:
            model_options, fit_options = own._options()
            inference = fit_options.em(model_options, model.kept.data_summary).inference
            assert isinstance(inference, Variational), "this estimator has no other one"
            set_fitted_posterior(own, model.state, inference)
        return own

    def _model_options(self) -> tuple[ModelOptions, InferenceName]:
        prior = PriorOptions(
            self.weight_concentration_prior_type,
            self.weight_concentration_prior,
            self.mean_precision_prior,
            None if self.mean_prior is None else as_tuples(self.mean_prior),
            self.degrees_of_freedom_prior,
            None if self.covariance_prior is None else as_tuples(self.covariance_prior),
        )
        model = ModelOptions(
            self.n_components, self.covariance_type, self.reg_covar, resolution_option(self.resolution), prior=prior
        )
        return model, "variational"

    def _start(self, n_features: int) -> Start:
        """Choose the start: the posterior of the last fit, or restarts."""
        return Start(self._state()) if self._resumes(n_features) else Start()

    def _check_prior(self, d: int) -> None:
        """Raise ValueError, in scikit-learn's words, unless the prior has the shapes of d features."""
        freedom = self.degrees_of_freedom_prior
        if freedom is not None and freedom <= d - 1:
            raise ValueError(
                f"The parameter 'degrees_of_freedom_prior' should be greater than {d - 1}, but got {freedom:.3f}."
            )
        if self.mean_prior is not None:
            self._check_shape(self.mean_prior, (d,), "means")
        if self.covariance_prior is not None:
            shape = STRUCTURES[self.covariance_type].layout.reduce(np.eye(d)).shape
            self._check_shape(self.covariance_prior, shape, f"{self.covariance_type} covariance")

    def _check_shape(self, values: Any, shape: tuple[int, ...], name: str) -> None:
        array = np.asarray(values) if shape == () else check_array(values, ensure_2d=False, input_name=name)
        if array.shape != shape:
            raise ValueError(f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}")


def parameters_of_prior(prior: Prior) -> dict[str, Any]:
    """Return the parameters of the estimator that are the values of a prior, none for the default one."""
    if not isinstance(prior, PriorOptions):
        return {}
    values = {name: getattr(prior, of_prior) for name, of_prior in _PRIOR_VALUES.items()}
    return {**values, "weight_concentration_prior_type": prior.weights or "dirichlet_process"}
