"""GaussianMixtureSelector: a sweep over numbers of components and structures behind scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..chunked.data_summary import summarise
from ..chunked.memory import Persist, fits
from ..chunked.read_ahead import ready
from ..chunked.rows import Rows
from ..core.em.update import keep_statistics
from ..core.init.starts import InitParams
from ..core.mixture.covariance import DEFAULT_TYPES, types_of
from ..core.mixture.floor import DEFAULT_REG_COVAR
from ..core.mixture.low_rank import family_options
from ..core.mixture.noise import VOLUME_AND_MISSING
from ..core.options.fit import ComputeDtype, ModelOptions
from ..core.options.prior import PriorOptions
from ..core.options.select import SelectOptions
from ..core.selection.criterion import CRITERIA, Criterion
from ..core.selection.table import columns
from ..errors import ConfigurationError
from ..events import ignore
from ..fitting.reduction import reduce_rows
from ..fitting.sweep import SelectionResult, SelectionSpec, check_sweep, search
from .base import MixtureEstimator, warn_unless_converged
from .bayesian_mixture import BayesianGaussianMixture, parameters_of_prior
from .constraints import CONSTRAINTS, Missing, Resolution, Restarts, SampleSize
from .gaussian_mixture import GaussianMixture
from .labels import read_labels
from .merged_components import MergedComponents
from .messages import names_parameters
from .progress import sweep_listener
from .sklearn_internals import Interval, StrOptions, fit_context
from .summary import ModelTable
from .validation import fit_options, is_noise, noise_option, prior_of, reduce_option, resolution_option

_SHARED_PARAMETERS = (
    "tol",
    "reg_covar",
    "resolution",
    "max_iter",
    "n_init",
    "init_params",
    "sample_size",
    "n_finalists",
    "missing",
    "dtype",
    "persist",
    "dim",
)


class GaussianMixtureSelector(DensityMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn is not typed
    """The best Gaussian mixture over numbers of components and covariance types, by one sweep over the data.

    All candidates are updated in each pass over the rows, and leave it when they have converged or can no longer win.

    Parameters
    ----------
    n_components : sequence of int, default range(1, 11)
        Numbers of components to compare.
    covariance_type : str or sequence of str, default ("full", "tied", "diag", "spherical")
        Covariance types to compare, or patterns of them, as "E*"; "all" are mclust's 14 families. Each is combined with
        each number of components.
    noise : bool, float or sequence of them, default False
        Noise components, as in `GaussianMixture`, each with each of the others: [False, True] compares both.
    criterion : {"bic", "aic", "aicc", "icl", "heldout", "evidence"}, default "bic"
        What the candidates are compared by. The smallest value wins; for "heldout", the mean log-likelihood of rows
        left out of the fit, the largest. "evidence" fits posteriors by variational Bayes, as `BayesianGaussianMixture`,
        and takes the largest lower bound of the log-evidence.
    folds : int, default 5
        Number of parts that the rows are divided into for "heldout".
    leave_early : bool, default True
        Prune candidates that can no longer win before they converge. False fits all of them to the end.
    tol : float, default 1e-4
        Estimated remaining gain at which a candidate stops, in nats per row, as in `GaussianMixture`.
    reg_covar : float, default 1e-12
        Smallest variance of a component in any direction, as a share of each column's variance over all rows.
    resolution : "auto", float or array-like of shape (n_features,), default "auto"
        Step of which the values of a column are multiples; "auto" finds the steps, 0 is none.
    max_iter : int, default 200
        Largest number of M-steps over all rows, for each candidate.
    n_init : int or "auto", default "auto"
        Number of restarts of each candidate on the sample; "auto" as in `GaussianMixture`.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default "kmeans"
        How a restart assigns rows to components before the first M-step, as in `GaussianMixture`.
    sample_size : int or "auto", default "auto"
        Rows of the sample, which all candidates share. "auto" takes 20 for each parameter of the largest model, and at
        least 100,000; of more than 1,342 features fewer, for their memory.
    n_finalists : int, default 1
        Number of restarts of each candidate that continue from the sample on all rows.
    missing : {"error", "marginal"}, default "error"
        Whether NaN is refused or is a missing value, which is integrated out.
    dtype : {"float64", "float32"}, default "float64"
        Precision of the products in the kernel. Sums are always float64.
    persist : bool or "auto", default "auto"
        Keep lazy rows in memory between passes; "auto" does if they take at most half of the available memory.
    dim : str, default None
        Dimension of a DataArray that holds the features; None is the last one.
    random_state : int, RandomState instance or None, default None
        Seed of the sample, the restarts and the folds.
    verbose : int, default 0
        1 or more prints each pass; in a notebook a progress bar is shown.
    reduce : dict, default None
        Fit to principal components of the columns, ``{"features": 50}`` or ``{"variance": 0.999}``, as in
        `GaussianMixture`: all candidates to the same. Not for "evidence".
    prior : dict, default None
        Values of the prior for "evidence": `weights`, `weight_concentration`, `mean_precision`, `mean`,
        `degrees_of_freedom`, `covariance`; what is left out has the default of `BayesianGaussianMixture`.

    Attributes
    ----------
    best_estimator_ : GaussianMixture, or BayesianGaussianMixture for "evidence"
        The fitted model with the best criterion; `predict` and the other methods are its own.
    best_params_ : dict
        Its n_components and covariance_type, and its noise if several were compared.
    best_score_ : float
        The value of its criterion.
    results_ : dict of lists
        One entry for each candidate: ``pandas.DataFrame(selector.results_)`` is the table. The keys are:

        ======================================= ==============================================================
        name, covariance_type, n_components     the candidate, such as full-3
        n_parameters                            number of free parameters
        log_likelihood, mean_log_likelihood     total, and per row, in nats
        aic, aicc, bic, icl                     information criteria
        held_out, held_out_error                mean log-likelihood of rows left out, and its standard error
        held_out_folds                          the same of each fold
        criterion, delta                        value of the criterion, and how much worse it is than the best
        delta_bic, evidence                     difference to the smallest BIC, and the evidence against the
                                                candidate in words (Raftery 1995)
        n_iter, converged, stop_reason          how EM ended
        seconds                                 its share of the passes over all rows
        collapsed                               numbers of its degenerate components
        nested                                  the smaller candidate whose log-likelihood it takes over, if any
        failed                                  whether it failed; stop_reason says why
        noise                                   whether it has a noise component, or the hypervolume
        evidence_lower_bound                    of a posterior, in nats
        ======================================= ==============================================================
    elbow_ : dict
        For each covariance type, such as full or full+noise, the number of components at which the log-likelihood bends
        most, or None.
    n_features_in_ : int
        Number of features of the fitted rows.
    feature_names_in_ : array of shape (n_features,)
        Names of the features, if the fitted rows had names that are texts.

    Examples
    --------
    >>> import numpy as np
    >>> from daskgmm import GaussianMixtureSelector
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(200, 2)) + centre for centre in (0, 6, 12)])
    >>> selector = GaussianMixtureSelector(range(1, 6), covariance_type=("full", "tied"), random_state=0).fit(X)
    >>> selector.best_params_
    {'n_components': 3, 'covariance_type': 'tied'}
    >>> selector.predict(X).shape
    (600,)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **CONSTRAINTS,
        "n_components": ["array-like"],
        "covariance_type": ["array-like", str],
        "noise": ["boolean", Interval(Real, 0.0, None, closed="neither"), "array-like"],
        "criterion": [StrOptions(set(CRITERIA))],
        "folds": [Interval(Integral, 2, None, closed="left")],
        "leave_early": ["boolean"],
        "prior": [dict, None],
        "reduce": [dict, None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(  # noqa: D107 # the class documents its parameters
        self,
        n_components: Sequence[int] = range(1, 11),
        *,
        covariance_type: Sequence[str] | str = DEFAULT_TYPES,
        noise: bool | float | Sequence[bool | float] = False,
        criterion: Criterion = "bic",
        folds: int = 5,
        leave_early: bool = True,
        tol: float = 1e-4,
        reg_covar: float = DEFAULT_REG_COVAR,
        resolution: Resolution = "auto",
        max_iter: int = 200,
        n_init: Restarts = "auto",
        init_params: InitParams = "kmeans",
        sample_size: SampleSize = "auto",
        n_finalists: int = 1,
        missing: Missing = "error",
        dtype: ComputeDtype = "float64",
        persist: Persist = "auto",
        dim: str | None = None,
        random_state: Any = None,
        verbose: int = 0,
        reduce: Mapping[str, float] | None = None,
        prior: Mapping[str, Any] | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.noise = noise
        self.criterion = criterion
        self.folds = folds
        self.leave_early = leave_early
        self.tol = tol
        self.reg_covar = reg_covar
        self.resolution = resolution
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.sample_size = sample_size
        self.n_finalists = n_finalists
        self.missing = missing
        self.dtype = dtype
        self.persist = persist
        self.dim = dim
        self.random_state = random_state
        self.verbose = verbose
        self.prior = prior
        self.reduce = reduce

    @fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator] # as above
    @names_parameters
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> GaussianMixtureSelector:
        """Fit all candidates to rows X (n, d), or an array (..., d), with weights (n,) or (...,); return self.

        Raises ConfigurationError for labels y, as `GaussianMixture.fit` takes them; any other y is ignored.
        """
        select = self._options()
        smallest = self._estimator(select.sizes[0], select.types[0])
        rows = smallest._rows(X, sample_weight)
        if read_labels(y, rows.grid) is not None:
            raise ConfigurationError(
                "a sweep takes no labels y, since it renumbers components as it splits and merges them: leave them "
                "out, or compare the bic of a GaussianMixture for each n_components"
            )
        with ready(rows, keep=self.reduce is None and fits(rows, self.persist)) as ready_rows:
            found = self._search(ready_rows, select, smallest)
        self._keep(found, smallest)
        warn_unless_converged(converged=self.best_estimator_.converged_)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit, and return the labels of X by the best candidate."""
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    def predict(self, X: Any) -> Any:
        """Return the most probable component of each row, (n,) or (...,)."""
        return self._best().predict(X)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each component for each row, (n, k) or (..., k)."""
        return self._best().predict_proba(X)

    def score_samples(self, X: Any) -> Any:
        """Return the log-density of each row, (n,) or (...,), in nats."""
        return self._best().score_samples(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the mean log-density of the rows, in nats, weighted if weights (n,) or (...,) are given."""
        return self._best().score(X, y, sample_weight=sample_weight)

    def bic(self, X: Any, sample_weight: Any = None) -> float:
        """Return the Bayesian information criterion of the best candidate on X."""
        return self._best().bic(X, sample_weight)

    def aic(self, X: Any, sample_weight: Any = None) -> float:
        """Return Akaike's information criterion of the best candidate on X."""
        return self._best().aic(X, sample_weight)

    def aicc(self, X: Any, sample_weight: Any = None) -> float:
        """Return Akaike's criterion corrected for few rows, of the best candidate on X."""
        return self._best().aicc(X, sample_weight)

    def icl(self, X: Any, sample_weight: Any = None) -> float:
        """Return BIC plus twice the entropy of the responsibilities, of the best candidate on X."""
        return self._best().icl(X, sample_weight)

    def save(self, path: Any) -> None:
        """Write the model of the best candidate, as `GaussianMixture.save` does."""
        self._best().save(path)

    def summary(self) -> ModelTable:
        """Return the best candidate's fit and components as a table."""
        return self._best().summary()

    def report(self, X: Any, path: Any, *, sample_weight: Any = None, n_rows: int = 10_000) -> None:
        """Write a report of the best candidate's fit, as `GaussianMixture.report` does."""
        self._best().report(X, path, sample_weight=sample_weight, n_rows=n_rows)

    def merge_components(self, X: Any, n_clusters: int | None = None, sample_weight: Any = None) -> MergedComponents:
        """Return clusters of the components of the best candidate, as `GaussianMixture.merge_components` does."""
        return self._best().merge_components(X, n_clusters, sample_weight=sample_weight)

    def _best(self) -> MixtureEstimator:
        check_is_fitted(self)
        best: MixtureEstimator = self.best_estimator_
        return best

    def _options(self) -> SelectOptions:
        sizes = tuple(self.n_components)
        types = types_of(
            self.covariance_type if isinstance(self.covariance_type, str) else map(str, self.covariance_type)
        )
        whole = all(isinstance(k, Integral) and not isinstance(k, bool) and k >= 1 for k in sizes)
        if not (sizes and whole and types):
            raise ValueError(
                f"n_components {sizes} must be whole numbers of 1 or more, and covariance_type {types} names or "
                "patterns of covariance types: one of each at least"
            )
        return SelectOptions(
            tuple(map(int, sizes)),
            types,
            self._noises(),
            self.criterion,
            self.folds,
            self.leave_early,
        )

    def _prior(self) -> PriorOptions | None:
        """Return the prior; raise ConfigurationError for one that cannot act."""
        if self.prior is not None and not CRITERIA[self.criterion].of_posterior:
            raise ConfigurationError(f"prior acts with criterion evidence only, not {self.criterion}: leave it out")
        prior = prior_of(self.prior, variational=True)
        return prior if isinstance(prior, PriorOptions) else None

    def _noises(self) -> tuple[bool | float, ...]:
        noises: list[Any] = np.atleast_1d(np.asarray(self.noise, dtype=object)).tolist()
        if not noises or not all(is_noise(one) for one in noises):
            raise ValueError(
                f"noise {self.noise!r:.100} must be True, False, a hypervolume above 0, or a list of these"
            )
        if self.missing == "marginal" and any(not isinstance(noise_option(one), bool) for one in noises):
            raise ConfigurationError(f"missing is marginal: {VOLUME_AND_MISSING}")
        return tuple(map(noise_option, noises))

    def _estimator(self, n_components: int, covariance_type: str, noise: bool | float = False) -> MixtureEstimator:
        shared = {name: getattr(self, name) for name in (*_SHARED_PARAMETERS, "random_state", "verbose")}
        if CRITERIA[self.criterion].of_posterior:
            of_prior = parameters_of_prior(self._prior())
            own = {"n_components": n_components, "covariance_type": covariance_type}
            return BayesianGaussianMixture(**own, **of_prior, **shared)  # type: ignore[arg-type]
        options = {**family_options(covariance_type), "reduce": self.reduce}
        return GaussianMixture(n_components, noise=noise, **options, **shared)

    def _search(self, rows: Rows, select: SelectOptions, checked: MixtureEstimator) -> SelectionResult:
        """Return the result of the sweep, and set the projection of the rows in `checked`."""
        fit = fit_options(self, "variational" if CRITERIA[self.criterion].of_posterior else "em")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        resolution = resolution_option(self.resolution)
        reduce = reduce_option(self.reduce, {})
        model = ModelOptions(reg_covar=self.reg_covar, resolution=resolution, prior=self._prior(), reduce=reduce)
        select.check_inference(fit, model)
        spec = SelectionSpec(select, model, fit, seed)
        reduced = reduce_rows(rows, reduce, seed, self.persist, ignore)
        rows, checked.projection_, checked._fitted_reduce = reduced.rows, reduced.projection, reduce
        check_sweep(spec, rows.n_features, missing=rows.missing)
        size = spec.n_sample(rows.n_features)
        summary = summarise(rows, size, seed, model.resolution_of_rows, identify=rows.may_change)
        rows = rows.name_blocks(summary.fingerprints)
        listen = sweep_listener(self.verbose, len(select.candidates))
        return search(rows, summary.data_summary, summary.sample, spec, listen)

    def _keep(self, found: SelectionResult, checked: MixtureEstimator) -> None:
        """Set the fitted attributes; `checked` has those of the data."""
        best, table = found.best, found.selection
        self.best_estimator_ = self._estimator(best.n_components, best.covariance_type, best.noise)
        self.best_estimator_.projection_ = checked.projection_
        self.best_estimator_._fitted_reduce = checked._fitted_reduce
        kept = keep_statistics(found.trial, found.sweep.data_summary)
        self.best_estimator_._keep(found.trial, found.inference, kept)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(checked, name):
                setattr(self, name, getattr(checked, name))
                setattr(self.best_estimator_, name, getattr(checked, name))
        compared = {"noise": best.noise} if len(self._noises()) > 1 else {}
        asked = family_options(best.covariance_type)
        options = asked if asked["n_factors"] else {"covariance_type": best.covariance_type}
        self.best_params_ = {"n_components": best.n_components, **options, **compared}
        self.best_score_ = table.chosen.criterion
        self.results_ = columns(table)
        self.elbow_ = dict(table.elbow)
