"""What fitted estimators say of rows: labels, probabilities, log-densities, criteria and clusters of components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..chunked.merging import merge_components
from ..chunked.prediction import Likelihood, Result, likelihood, predict_lazily
from ..chunked.projection import project_lazily, project_rows
from ..chunked.rows import Rows
from ..core.em.information_criteria import Criteria, criteria
from ..core.mixture.mixture import Mixture
from ..core.mixture.projection import Projection
from ..core.scoring.merging import check_n_clusters
from .constraints import Missing
from .inputs import Input, Wrap
from .merged_components import MergedComponents


class ScoringMixin:
    """Methods of an estimator that holds a mixture, for rows."""

    missing: Missing
    random_state: Any
    _mixture: Callable[[], Mixture]
    _input: Callable[..., Input]

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
        tree = merge_components(self._scored_rows(X, sample_weight), self._mixture())
        return MergedComponents(self, tree, tree.elbow if n_clusters is None else n_clusters)

    def sample(self, n_samples: int = 1) -> tuple[Any, Any]:
        """Return rows (n_samples, d) drawn from the mixture, in order of component, and their components.

        Rows of the noise come last, with the label -1; they can be drawn from the box that `noise=True` takes. With
        `reduce`, rows are drawn in the projection and have nothing of what it leaves out.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.")
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        drawn, components = self._mixture().sample(n_samples, np.random.default_rng(seed))
        return drawn if self._projection is None else self._projection.restore(drawn), components

    def _score(self, X: Any, result: Result, clusters: tuple[int, ...] | None = None) -> Any:
        lazy, wrap = self._result(X, result, clusters)
        return wrap(lazy)

    def _result(self, X: Any, result: Result, clusters: tuple[int, ...] | None = None) -> tuple[da.Array, Wrap]:
        """Return a result as a lazy array, and the way to what the user gets."""
        check_is_fitted(self)
        data = self._input(X, reset=False)
        array = data.array if self._projection is None else project_lazily(data.array, self._projection)
        return predict_lazily(array, self._mixture(), result, clusters, missing=self._fills_gaps), data.wrap

    def _scored_rows(self, X: Any, sample_weight: Any = None) -> Rows:
        """Return X as rows of what the mixture is of: its columns, or principal components."""
        rows = self._input(X, reset=False).rows(sample_weight, missing=self._fills_gaps)
        return rows if self._projection is None else project_rows(rows, self._projection)

    @property
    def _projection(self) -> Projection | None:
        return getattr(self, "projection_", None)

    @property
    def _fills_gaps(self) -> bool:
        return self.missing == "marginal"

    def _n_parameters(self) -> int:
        """Return the number of free parameters, under the name that scikit-learn's users know."""
        return self._mixture().n_parameters

    def _likelihood(self, X: Any, sample_weight: Any, *, entropy: bool = False) -> Likelihood:
        check_is_fitted(self)
        return likelihood(self._scored_rows(X, sample_weight), self._mixture(), entropy=entropy)

    def _criteria(self, X: Any, sample_weight: Any, *, entropy: bool = False) -> Criteria:
        sums = self._likelihood(X, sample_weight, entropy=entropy)
        return criteria(sums.log_likelihood, sums.entropy, self._n_parameters(), sums.weight_sum)
