"""How parameters are inferred from statistics: what the loop knows of a model.

An inference says in which mixture the E-step computes, what the M-step makes of the statistics, and what both raise.
Maximum likelihood is here; priors and variational posteriors are in the modules next to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..mixture.data_summary import DataSummary
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..mixture.moments import ComponentMoments
from ..mixture.statistics import Statistics
from .m_step import component_moments, estimate


class Inference(Protocol):
    """One way to infer a mixture; a mixture on its way is the state of a fit."""

    @property
    def regularised(self) -> bool:
        """Whether components of few rows keep a meaning, so that none is ruled out for having few."""

    @property
    def moves_components(self) -> bool:
        """Whether starts split and merge components; a posterior empties those that it has no use for."""

    def natural_parameters(self, mixture: Mixture) -> Mixture:
        """Return the mixture in whose natural parameters the E-step computes; its weights need not sum to 1."""

    def estimate(self, mixture: Mixture, moments: ComponentMoments, floor: Floor | None) -> Mixture:
        """Return the mixture after `mixture` from the moments of its components."""

    def maximize(
        self, mixture: Mixture, statistics: Statistics, data_summary: DataSummary, floor: Floor | None = None
    ) -> Mixture:
        """Return the mixture after `mixture`, from the statistics of rows under it: the M-step."""

    def objective(self, mixture: Mixture, statistics: Statistics) -> float:
        """Return the objective of EM in nats per unit of row weight, from the statistics of a pass."""

    def penalty(self, mixture: Mixture) -> float:
        """Return the objective of all rows less their log-likelihood, in nats."""

    def plug_in(self, mixture: Mixture) -> Mixture:
        """Return the mixture that predicts: of a posterior, the one with its mean parameters."""


@dataclass(frozen=True, eq=False)
class MaximumLikelihood:
    """The mixture that makes the rows most likely (Dempster, Laird and Rubin 1977)."""

    regularised = False
    moves_components = True

    def natural_parameters(self, mixture: Mixture) -> Mixture:
        return mixture

    def estimate(self, mixture: Mixture, moments: ComponentMoments, floor: Floor | None) -> Mixture:
        return estimate(mixture, moments, floor)

    def maximize(
        self, mixture: Mixture, statistics: Statistics, data_summary: DataSummary, floor: Floor | None = None
    ) -> Mixture:
        return self.estimate(mixture, component_moments(mixture, statistics, data_summary), floor)

    def objective(self, mixture: Mixture, statistics: Statistics) -> float:
        return statistics.mean_log_likelihood

    def penalty(self, mixture: Mixture) -> float:
        return 0.0

    def plug_in(self, mixture: Mixture) -> Mixture:
        return mixture


MAXIMUM_LIKELIHOOD = MaximumLikelihood()
