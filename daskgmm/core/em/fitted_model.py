"""A fitted model: the mixture, the names of its features, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np

from ..mixture.conditional import condition, feature_numbers, marginal
from ..mixture.mixture import Mixture
from ..mixture.projection import Projection, check_not_reduced
from .inference import MAXIMUM_LIKELIHOOD, Inference
from .information_criteria import criteria, small_sample
from .loop import StopReason, Trial
from .update import KeptStatistics
from .variational import Posterior, Variational


@dataclass(frozen=True)
class FitSummary:
    """How a model came about."""

    log_likelihood: float  # mean, nats per row
    weight_sum: float  # of the rows; their number without row weights
    aic: float
    bic: float
    icl: float
    n_iter: int
    converged: bool
    stop_reason: str
    empty_components: tuple[int, ...] = ()
    objective: float | None = None  # of a prior or a posterior, nats per row: what was maximised
    evidence_lower_bound: float | None = None  # of a posterior, total, in nats

    @property
    def lower_bound(self) -> float:
        """What was maximised, nats per row: the objective of a prior or a posterior, or else the log-likelihood."""
        return self.log_likelihood if self.objective is None else self.objective

    @property
    def aicc(self) -> float:
        """AIC for few rows; infinite where there are no more rows than parameters."""
        n_parameters = round(self.aic / 2 + self.log_likelihood * self.weight_sum)
        return self.aic + small_sample(n_parameters, self.weight_sum)

    @property
    def figures(self) -> dict[str, float]:
        """What fits are compared by, by name."""
        known = {"log_likelihood": self.log_likelihood, "aic": self.aic, "bic": self.bic, "icl": self.icl}
        bound = {} if self.evidence_lower_bound is None else {"evidence_lower_bound": self.evidence_lower_bound}
        return known | ({"aicc": self.aicc} if isfinite(self.aicc) else {}) | bound

    @classmethod
    def of(
        cls, trial: Trial, inference: Inference = MAXIMUM_LIKELIHOOD, kept: KeptStatistics | None = None
    ) -> FitSummary:
        """Return the summary of a trial that has stopped, and of all rows that `kept` is of.

        Of a posterior the log-likelihood is that of the E-step, which is below that of the mixture of its means.
        """
        assert trial.statistics is not None, "the trial has not been evaluated"
        assert trial.stop is not None, "the trial has not stopped"
        rows = trial.statistics if kept is None else kept
        log_likelihood, weight_sum = rows.log_likelihood, rows.weight_sum
        found = criteria(log_likelihood, rows.entropy, trial.mixture.n_parameters, weight_sum)
        return cls(
            log_likelihood=rows.mean_log_likelihood,
            weight_sum=weight_sum,
            aic=found.aic,
            bic=found.bic,
            icl=found.icl,
            n_iter=trial.n_iter,
            converged=trial.stop is StopReason.CONVERGED,
            stop_reason=trial.stop.value,
            empty_components=trial.mixture.empty,
            objective=trial.history[-1] if inference.regularised else None,
            evidence_lower_bound=(trial.history[-1] * weight_sum if isinstance(inference, Variational) else None),
        )

    @classmethod
    def of_state(
        cls, state: Mixture, inference: Inference, kept: KeptStatistics, stop_reason: str, *, n_iter: int
    ) -> FitSummary:
        """Return the summary of a state of rows that are known by their statistics alone, which has not converged."""
        found = criteria(kept.log_likelihood, kept.entropy, state.n_parameters, kept.weight_sum)
        objective = (kept.log_likelihood + inference.penalty(state)) / kept.weight_sum
        return cls(
            log_likelihood=kept.mean_log_likelihood,
            weight_sum=kept.weight_sum,
            aic=found.aic,
            bic=found.bic,
            icl=found.icl,
            n_iter=n_iter,
            converged=False,
            stop_reason=stop_reason,
            empty_components=state.empty,
            objective=objective if inference.regularised else None,
            evidence_lower_bound=objective * kept.weight_sum if isinstance(inference, Variational) else None,
        )


@dataclass(frozen=True)
class Anomaly:
    """Which rows are anomalies: those of a log-density below the threshold."""

    quantile: float  # share of the rows that the threshold was taken from
    threshold: float  # log p(x), nats


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A fitted mixture with its context."""

    mixture: Mixture  # of the features, or of their projection
    feature_names: tuple[str, ...] | None
    summary: FitSummary
    anomaly: Anomaly | None = None  # of the fitted rows, where it was asked for
    posterior: Posterior | None = None  # of the parameters, of which the mixture has the means
    kept: KeptStatistics | None = None  # of the fitted rows, by which the fit can continue with new ones
    options: Mapping[str, Any] | None = None  # of the fit, as JSON has them
    projection: Projection | None = None  # of the features, on principal components that the mixture is of

    @classmethod
    def of(
        cls,
        trial: Trial,
        inference: Inference,
        feature_names: tuple[str, ...] | None,
        kept: KeptStatistics | None,
        options: Mapping[str, Any],
        projection: Projection | None = None,
    ) -> Model:
        """Return the model to which a fit has led."""
        posterior = inference.posterior(trial.mixture) if isinstance(inference, Variational) else None
        summary, mixture = FitSummary.of(trial, inference, kept), inference.plug_in(trial.mixture)
        known = {"posterior": posterior, "kept": kept, "options": options, "projection": projection}
        return cls(mixture, feature_names, summary, **known)  # type: ignore[arg-type]

    @property
    def n_features(self) -> int:
        """Number of features of rows, d."""
        return self.mixture.n_features if self.projection is None else self.projection.n_columns

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features; x0, x1, ... if they have none."""
        return self.feature_names or tuple(f"x{i}" for i in range(self.n_features))

    @property
    def mixture_names(self) -> tuple[str, ...]:
        """The names of what the mixture is of: the features, or principal components."""
        return self.names if self.projection is None else self.projection.names

    @cached_property
    def marginals(self) -> Mixture:
        """A mixture whose means and variances are those of the features; of a projection it has no covariances."""
        return self.mixture if self.projection is None else self.projection.marginals(self.mixture)

    @property
    def state(self) -> Mixture:
        """The mixture from which a fit goes on: the plug-in one, but for a posterior."""
        return self.mixture if self.posterior is None else self.posterior.state(self.mixture)

    def __repr__(self) -> str:
        k, d = self.mixture.n_components, self.n_features
        of = "" if self.projection is None else f" reduced to {self.projection.n_features}"
        state = "converged" if self.summary.converged else "not converged"
        return (
            f"{type(self).__name__}({k} {self.mixture.covariance_type} components, {d} features{of}, "
            f"{self.summary.log_likelihood:.6g} nats/row, BIC {self.summary.bic:,.1f}, {state})"
        )

    def marginal(self, features: Sequence[object]) -> Mixture:
        """Return the mixture of some of the features, by name or number, in their order."""
        return marginal(self.mixture, self._numbers(features))

    def condition(self, features: Sequence[object], values: Sequence[float]) -> Mixture:
        """Return the mixture of all other features given values of these, by name or number."""
        return condition(self.mixture, self._numbers(features), np.asarray(values, dtype=np.float64))

    def _numbers(self, features: Sequence[object]) -> list[int]:
        check_not_reduced(self.projection)
        return feature_numbers(features, self.feature_names, self.mixture.n_features)
