"""A finished fit goes on with new rows: their statistics are added to those of the rows that were seen before.

With T the statistics of the old rows, which are not read again, and rho what they still count for, EM on the new rows
raises

    sum_n log p(x_n) + rho <Theta, T>,

the free energy of all rows with the responsibilities of the old ones held fixed (Neal and Hinton 1998, A view of the EM
algorithm that justifies incremental, sparse, and other variants). Stepwise EM instead blends the statistics of each
batch into a running mean with the steps (t + 2)^-0.7 (Cappe and Moulines 2009, Online EM algorithm for latent data
models, Journal of the Royal Statistical Society B 71).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..mixture.data_summary import Survey
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..mixture.moments import ComponentMoments, expected_log_joint
from ..mixture.statistics import Statistics
from .inference import Inference
from .m_step import component_moments

_STEP_POWER = 0.7  # between 1/2 and 1: the steps add up without end, and their squares do not


@dataclass(frozen=True, eq=False)
class Continued:
    """An inference from new rows together with the moments of rows that were seen before."""

    base: Inference
    before: ComponentMoments  # of the old rows, weighted by what they still count for

    regularised = True  # by the old rows: a component without a new row keeps its meaning
    moves_components = False

    def natural_parameters(self, mixture: Mixture) -> Mixture:
        return self.base.natural_parameters(mixture)

    def estimate(self, mixture: Mixture, moments: ComponentMoments, floor: Floor | None) -> Mixture:
        return self.base.estimate(mixture, moments + self.before, floor)

    def maximize(self, mixture: Mixture, statistics: Statistics, survey: Survey, floor: Floor | None = None) -> Mixture:
        return self.estimate(mixture, component_moments(mixture, statistics, survey), floor)

    def objective(self, mixture: Mixture, statistics: Statistics) -> float:
        """Return the free energy of all rows, old ones by their weight, in nats per unit of row weight."""
        before = float(expected_log_joint(self.natural_parameters(mixture), self.before).sum())
        penalty = self.penalty(mixture)
        return (statistics.log_likelihood + before + penalty) / (statistics.weight_sum + self.before.weight_sum)

    def penalty(self, mixture: Mixture) -> float:
        return self.base.penalty(mixture)

    def plug_in(self, mixture: Mixture) -> Mixture:
        return self.base.plug_in(mixture)


def blend(before: ComponentMoments, batch: ComponentMoments, n_batches: int) -> ComponentMoments:
    """Return the moments after a further batch, `n_batches` of which were seen before: a step of stepwise EM.

    They have the weight of all rows so far; the batch has a share of (n_batches + 2)^-0.7 in them.
    """
    step = (n_batches + 2) ** -_STEP_POWER
    total = before.weight_sum + batch.weight_sum
    old = before.scale((1 - step) * total / before.weight_sum)
    return old + batch.scale(step * total / batch.weight_sum)
