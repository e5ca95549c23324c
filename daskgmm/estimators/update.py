"""Fits that continue with new rows: `update` and `partial_fit`."""

from __future__ import annotations

from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from ..chunked.read_ahead import ready
from ..core.em.fitted_model import FitSummary
from ..core.em.update import KeptStatistics
from ..core.mixture.mixture import Mixture
from ..core.options.fit import FitOptions, ModelOptions
from ..core.scoring.drift import Drift
from ..errors import ConfigurationError, DataError
from ..fitting.update import (
    check_forget,
    check_updatable,
    finish_update,
    measure_drift,
    prepare_update,
    run_update,
    step_update,
)
from .base import MixtureEstimator
from .labels import read_labels
from .messages import names_parameters
from .validation import check_warm_start

_STEPWISE = "stopped after a step of stepwise EM: its figures are those of the last batch, for all rows"


class UpdateMixin(MixtureEstimator):
    """Continues with new rows, by the statistics that a fit leaves."""

    drift_: Drift

    @names_parameters
    def update(self, X: Any, sample_weight: Any = None, *, forget: float = 1.0) -> Self:
        """Continue with new rows X (n, d), which alone are read; return self.

        EM runs on the new rows with the statistics of the rows seen before added, weighted by `forget`: 1 counts them
        in full, 0 forgets them. `drift_` says how the new rows differ, and whether a fit to all rows is advised.
        `lower_bound_` is then a lower bound of the objective of all rows.

        Raises ConfigurationError for a `forget` outside of 0 to 1, DataError if nothing is known of the fit.
        """
        check_forget(forget)
        kept, model, options = self._find_kept()
        old, state = self._mixture(), self._state()
        rows = self._scored_rows(X, sample_weight)
        with ready(rows, keep=True) as held:
            update = prepare_update(held, state, kept, model, options, forget)
            best, kept_of_all = finish_update(update, run_update(held, update, model, options).best, model)
            self._keep(best, update.base, kept_of_all)
            inference = options.em(model, kept.data_summary).inference
            self.drift_ = measure_drift(held, old, self._mixture(), state, kept, inference)
        return self

    @names_parameters
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Take a step of stepwise EM on a batch of rows X (n, d), read once; return self.

        The first batch is fitted as `fit` does, and `converged_` is that fit's. The result depends on the order of the
        calls alone. Bounds and criteria are then those of the last batch, for all rows.

        Raises ConfigurationError if a later batch has labels y, as `fit` takes them.
        """
        if not hasattr(self, "converged_"):
            return self.fit(X, y, sample_weight=sample_weight)
        kept, model, options = self._find_kept()
        rows = self._scored_rows(X, sample_weight)
        if read_labels(y, rows.grid) is not None:
            raise ConfigurationError("labels y are for the first batch alone: leave them out, or fit all rows at once")
        with ready(rows, keep=True) as held:
            state, kept, inference = step_update(held, self._state(), kept, model, options)
        self.n_iter_ += 1
        summary = FitSummary.of_state(state, inference, kept, _STEPWISE, n_iter=self.n_iter_)
        self._set_state(state, inference, summary, kept)
        self.lower_bound_ = summary.lower_bound
        self.lower_bounds_ = [*self.lower_bounds_, self.lower_bound_]
        return self

    def _find_kept(self) -> tuple[KeptStatistics, ModelOptions, FitOptions]:
        """Return the statistics of the rows seen so far, and the options to continue with; raise if there are none."""
        check_is_fitted(self)
        mixture: Mixture = self._mixture()
        check_updatable(mixture)
        kept = self._kept
        if kept is None:
            raise DataError("nothing is known of the rows that this model was fitted to: fit it, then go on")
        self._check_same_reduce("an update", "set it back, or fit again")
        model, options = self._options()
        check_warm_start(
            mixture,
            model.n_components,
            model.family,
            mixture.n_features,
            has_noise=model.noise is not False,
            what="an update",
            remedy="set it back, or fit again",
        )
        return kept, model, options
