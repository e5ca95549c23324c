"""A finished fit continues with new rows: their statistics are added to those of the rows that were seen before.

With T the statistics of the old rows, which are not read again, and rho what they still count for, EM on the new rows
raises

    sum_n log p(x_n) + rho <Theta, T>,

the free energy of all rows with the responsibilities of the old ones held fixed (Neal and Hinton 1998, A view of the EM
algorithm that justifies incremental, sparse, and other variants). Stepwise EM instead blends the statistics of each
batch into a running mean with the steps (t + 2)^-0.7 (Cappe and Moulines 2009, Online EM algorithm for latent data
models, Journal of the Royal Statistical Society B 71).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array
from ..mixture.data_summary import DataSummary
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..mixture.moments import ComponentMoments, expected_log_likelihood
from ..mixture.statistics import Statistics
from .inference import MAXIMUM_LIKELIHOOD, Inference
from .loop import Trial
from .m_step import component_moments

_STEP_POWER = 0.7  # between 1/2 and 1: the steps add up without end, and their squares do not


@dataclass(frozen=True, eq=False)
class KeptStatistics:
    """What a fit keeps of its rows, so that it can continue with new ones without reading them again."""

    data_summary: DataSummary  # of all of them, by what they count for
    moments: ComponentMoments  # of all of them
    log_likelihood: float  # of all of them, in nats: after an update a lower bound of it
    entropy: float  # of the responsibilities, in nats
    weight_sum: float
    n_batches: int = 0  # steps of stepwise EM since the fit

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit of row weight, in nats."""
        return self.log_likelihood / self.weight_sum

    def scale(self, factor: float) -> KeptStatistics:
        """Return the statistics of rows of `factor` times the weights."""
        if factor == 1:
            return self
        return KeptStatistics(
            self.data_summary.scale(factor),
            self.moments.scale(factor),
            factor * self.log_likelihood,
            factor * self.entropy,
            factor * self.weight_sum,
            self.n_batches,
        )

    def take(self, components: NDArray[np.intp]) -> KeptStatistics:
        """Return the statistics with the components in another order."""
        return replace(self, moments=self.moments.take(components))


def keep_statistics(trial: Trial, data_summary: DataSummary) -> KeptStatistics | None:
    """Return the statistics of an evaluated trial that are kept; None for low rank, which has no moments."""
    statistics = trial.statistics
    assert statistics is not None, "the trial has been evaluated"
    if trial.mixture.structure.layout.n_factors:
        return None
    moments = component_moments(trial.mixture, statistics, data_summary)
    return KeptStatistics(data_summary, moments, statistics.log_likelihood, statistics.entropy, statistics.weight_sum)


def free_energy_gap(mixture: Mixture, kept: KeptStatistics, inference: Inference) -> float:
    """Return the log-likelihood of the kept rows less <Theta, T>, in nats: what is left of it as Theta moves.

    It is the entropy of the responsibilities, and of the missing values if there are any.
    """
    return kept.log_likelihood - expected_log_likelihood(inference.natural_parameters(mixture), kept.moments)


@dataclass(frozen=True, eq=False)
class Continued:
    """An inference from new rows together with the moments of rows that were seen before."""

    base: Inference
    before: ComponentMoments  # of the old rows, weighted by what they still count for
    gap: float = 0.0  # log-likelihood of the old rows less <Theta, T> by the old parameters, nats

    regularised = True  # by the old rows: a component without a new row keeps its meaning
    moves_components = False

    def natural_parameters(self, mixture: Mixture) -> Mixture:
        return self.base.natural_parameters(mixture)

    def estimate(self, mixture: Mixture, moments: ComponentMoments, floor: Floor | None) -> Mixture:
        return self.base.estimate(mixture, moments + self.before, floor)

    def maximize(
        self, mixture: Mixture, statistics: Statistics, data_summary: DataSummary, floor: Floor | None = None
    ) -> Mixture:
        return self.estimate(mixture, component_moments(mixture, statistics, data_summary), floor)

    def objective(self, mixture: Mixture, statistics: Statistics) -> float:
        """Return the free energy of all rows, old ones by their weight, in nats per unit of row weight.

        It is a lower bound of the objective of all rows.
        """
        level = self.log_likelihood(mixture, statistics) + self.penalty(mixture)
        return level / (statistics.weight_sum + self.before.weight_sum)

    def log_likelihood(self, mixture: Mixture, statistics: Statistics) -> float:
        """Return a lower bound of the log-likelihood of all rows, in nats."""
        before = expected_log_likelihood(self.natural_parameters(mixture), self.before)
        return statistics.log_likelihood + before + self.gap

    def penalty(self, mixture: Mixture) -> float:
        return self.base.penalty(mixture)

    def plug_in(self, mixture: Mixture) -> Mixture:
        return self.base.plug_in(mixture)


@dataclass(frozen=True, eq=False)
class Update:
    """EM on new rows that continues from a mixture, before its first pass."""

    mixture: Mixture  # the state that the old rows have led to
    before: KeptStatistics | None  # of the old rows, by what they still count for; None: they are forgotten
    data_summary: DataSummary  # of the new rows
    base: Inference  # from old and new rows together
    gap: float = 0.0  # as that of `Continued`

    @property
    def total(self) -> DataSummary:
        """The data summary of all rows that count."""
        return self.data_summary if self.before is None else self.before.data_summary + self.data_summary

    @property
    def inference(self) -> Inference:
        """What EM on the new rows infers."""
        return self.base if self.before is None else Continued(self.base, self.before.moments, self.gap)

    def keep(self, trial: Trial) -> KeptStatistics:
        """Return the statistics of all rows, kept and new, by a trial on the new ones."""
        new = keep_statistics(trial, self.data_summary)
        assert new is not None, "low rank keeps nothing that an update could begin with"
        if self.before is None:
            return new
        inference = Continued(self.base, self.before.moments, self.gap)
        assert trial.statistics is not None, "the trial has been evaluated"
        return KeptStatistics(
            self.total,
            self.before.moments + new.moments,
            inference.log_likelihood(trial.mixture, trial.statistics),
            self.before.entropy + new.entropy,
            self.before.weight_sum + new.weight_sum,
        )


def merge_kept(
    parts: Sequence[tuple[Mixture, KeptStatistics]],
    adopt: Callable[[Mixture, DataSummary], Mixture],
    infer: Callable[[DataSummary], Inference],
    floor_of: Callable[[DataSummary], Floor],
) -> tuple[Mixture, KeptStatistics]:
    """Return the state of the rows of several states together, an M-step on their statistics, and what is kept of them.

    Components are those of the same number; `adopt` gives a mixture the noise of the rows of a data summary. The
    log-likelihood that is kept is a lower bound, as that of an update.
    """
    steps = np.minimum.reduce([kept.data_summary.steps for _, kept in parts])
    data_summary = reduce(add, (replace(kept.data_summary, steps=steps) for _, kept in parts))
    moments = reduce(add, (kept.moments for _, kept in parts))
    inference = infer(data_summary)
    state = inference.estimate(adopt(parts[0][0], data_summary), moments, floor_of(data_summary))
    gaps = (free_energy_gap(mixture, kept, infer(kept.data_summary)) for mixture, kept in parts)
    level = expected_log_likelihood(inference.natural_parameters(state), moments) + sum(gaps)
    entropy, weight_sum = (sum(getattr(kept, name) for _, kept in parts) for name in ("entropy", "weight_sum"))
    return state, KeptStatistics(data_summary, moments, level, entropy, weight_sum)


def begin_update(
    mixture: Mixture,
    kept: KeptStatistics,
    data_summary: DataSummary,
    forget: float,
    infer: Callable[[DataSummary], Inference] = lambda data_summary: MAXIMUM_LIKELIHOOD,
) -> Update:
    """Return the update of a state by summarised new rows, the old ones counting for `forget` of their weights.

    `infer` gives the inference from rows of a data summary.
    """
    steps = finer_steps(data_summary, kept.data_summary)
    data_summary = replace(data_summary, steps=steps)
    if forget == 0:
        return Update(mixture, None, data_summary, infer(data_summary))
    gap = forget * free_energy_gap(mixture, kept, infer(kept.data_summary))
    before = kept.scale(forget)
    before = replace(before, data_summary=replace(before.data_summary, steps=steps))
    return Update(mixture, before, data_summary, infer(before.data_summary + data_summary), gap)


def finer_steps(new: DataSummary, old: DataSummary) -> Array:
    """Return the finer step of each column, (d,): new rows that are whole numbers by chance coarsen nothing.

    A column that is constant in the new rows tells of no step.
    """
    return np.where(new.minimum == new.maximum, old.steps, np.minimum(new.steps, old.steps))


def blend(before: ComponentMoments, batch: ComponentMoments, n_batches: int) -> ComponentMoments:
    """Return the moments after a further batch, `n_batches` of which were seen before: a step of stepwise EM.

    They have the weight of all rows so far; the batch has a share of (n_batches + 2)^-0.7 in them.
    """
    step = (n_batches + 2) ** -_STEP_POWER
    total = before.weight_sum + batch.weight_sum
    old = before.scale((1 - step) * total / before.weight_sum)
    return old + batch.scale(step * total / batch.weight_sum)
