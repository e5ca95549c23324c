"""A fitted model: the mixture, the names of its features, and how it came about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from ..mixture.conditional import condition, feature_numbers, marginal
from ..mixture.mixture import Mixture
from .information_criteria import small_sample
from .loop import StopReason, Trial


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

    @property
    def aicc(self) -> float:
        """AIC for few rows; infinite where there are no more rows than parameters."""
        n_parameters = round(self.aic / 2 + self.log_likelihood * self.weight_sum)
        return self.aic + small_sample(n_parameters, self.weight_sum)

    @property
    def figures(self) -> dict[str, float]:
        """What fits are compared by, by name."""
        known = {"log_likelihood": self.log_likelihood, "aic": self.aic, "bic": self.bic, "icl": self.icl}
        return known | ({"aicc": self.aicc} if isfinite(self.aicc) else {})

    @classmethod
    def of(cls, trial: Trial) -> FitSummary:
        """Return the summary of a trial that has stopped."""
        assert trial.statistics is not None, "the trial has not been evaluated"
        assert trial.stop is not None, "the trial has not stopped"
        criteria = trial.criteria
        return cls(
            log_likelihood=trial.history[-1],
            weight_sum=trial.statistics.weight_sum,
            aic=criteria.aic,
            bic=criteria.bic,
            icl=criteria.icl,
            n_iter=trial.n_iter,
            converged=trial.stop is StopReason.CONVERGED,
            stop_reason=trial.stop.value,
            empty_components=trial.mixture.empty,
        )


@dataclass(frozen=True)
class Anomaly:
    """Which rows are anomalies: those of a log-density below the threshold."""

    quantile: float  # share of the rows that the threshold was taken from
    threshold: float  # log p(x), nats


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A fitted mixture with its context."""

    mixture: Mixture
    feature_names: tuple[str, ...] | None
    summary: FitSummary
    anomaly: Anomaly | None = None  # of the fitted rows, where it was asked for

    def __repr__(self) -> str:
        k, d = self.mixture.means.shape
        state = "converged" if self.summary.converged else "not converged"
        return (
            f"{type(self).__name__}({k} {self.mixture.covariance_type} components, {d} features, "
            f"{self.summary.log_likelihood:.6g} nats/row, BIC {self.summary.bic:,.1f}, {state})"
        )

    def marginal(self, features: Sequence[object]) -> Mixture:
        """Return the mixture of some of the features, by name or number, in their order."""
        return marginal(self.mixture, self._numbers(features))

    def condition(self, features: Sequence[object], values: Sequence[float]) -> Mixture:
        """Return the mixture of all other features given values of these, by name or number."""
        return condition(self.mixture, self._numbers(features), np.asarray(values, dtype=np.float64))

    def _numbers(self, features: Sequence[object]) -> list[int]:
        return feature_numbers(features, self.feature_names, self.mixture.n_features)
