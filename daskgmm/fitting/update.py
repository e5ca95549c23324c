"""Go on with new rows, for jobs and estimators alike: EM on them with the statistics of the old rows added."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from ..chunked.data_summary import survey_and_sample
from ..chunked.drift import density_moments
from ..chunked.e_step import Expectation
from ..chunked.rows import Rows
from ..core.em.inference import Inference
from ..core.em.loop import EMOptions, State, Trial, iterate
from ..core.em.m_step import component_moments
from ..core.em.surrogate import propose_surrogate_step
from ..core.em.update import KeptStatistics, Update, begin_update, blend
from ..core.init.starts import in_memory
from ..core.mixture.data_summary import Survey
from ..core.mixture.mixture import Mixture
from ..core.mixture.moments import expected_log_likelihood
from ..core.mixture.statistics import Statistics
from ..core.options.fit import FitOptions, ModelOptions
from ..core.scoring.drift import Drift, drift
from ..errors import ConfigurationError
from .checks import check_family

_DRAWN_ROWS = 16_384  # in place of all rows, between two passes over them
SAMPLED_ROWS = 5_000  # new ones, on which steps of columns are found, and correlations if values are missing


def check_forget(forget: float) -> None:
    """Raise ConfigurationError unless old rows can count for that share of their weights."""
    if not 0 <= forget <= 1:
        raise ConfigurationError(f"forget is {forget}, but must be from 0 (forget the old rows) to 1 (keep them)")


def check_updatable(mixture: Mixture) -> None:
    """Raise ConfigurationError if a model cannot go on with new rows."""
    if mixture.structure.layout.n_factors:
        raise ConfigurationError(
            "covariance_type low_rank keeps no statistics of its rows, so it cannot go on with new ones: fit all rows"
        )


def prepare_update(
    rows: Rows, mixture: Mixture, kept: KeptStatistics, model: ModelOptions, options: FitOptions, forget: float
) -> Update:
    """Return the update of a state by new rows, which are read once for their summary; raise DataError for faults."""
    survey, _ = survey_and_sample(rows, SAMPLED_ROWS, 0, model.resolution_of_rows)
    return update_of(survey, mixture, kept, model, options, forget)


def update_of(
    survey: Survey, mixture: Mixture, kept: KeptStatistics, model: ModelOptions, options: FitOptions, forget: float
) -> Update:
    """Return the update of a state by new rows of a survey; the noise is that of the box of old and new rows."""
    check_family(model.family, survey)
    update = begin_update(mixture, kept, survey, forget, lambda total: options.em(model, total).inference)
    return replace(update, mixture=model.with_noise(mixture, update.total))


def run_update(
    rows: Rows,
    update: Update,
    model: ModelOptions,
    options: FitOptions,
    state: State | None = None,
    keep: Callable[[State], None] = lambda state: None,
) -> State:
    """Run EM on the new rows until it has converged, from a state on the way if one is given."""
    floor = model.floor(update.total)
    em = EMOptions(options.tol, options.max_iter, floor, accelerate=True, inference=update.inference)
    expect = Expectation(rows, update.survey, options.dtype)
    return iterate(state or initial_update(update), expect, em, keep)


def initial_update(update: Update) -> State:
    """Return the state before the first pass."""
    return State(update.survey, (Trial(update.mixture),))


def measure_drift(rows: Rows, old: Mixture, new: Mixture, level: float) -> Drift:
    """Return how new rows differ from old ones of the mean log-density level, by a pass over the new ones."""
    return drift(density_moments(rows, old), level, old, new)


def step_on_all(
    parts: Iterable[tuple[Rows, float]], mixture: Mixture, update: Update, model: ModelOptions, options: FitOptions
) -> tuple[Mixture, KeptStatistics]:
    """Return the state to which the statistics of all rows lead, and what is kept of them, by a pass over them.

    `parts` are the old rows and the new ones, each with the share of its weights that counts. EM goes on from the pass
    on rows that are drawn from the mixture, corrected by the difference of their statistics; if values are missing it
    makes a single step. The log-likelihood that is kept is a lower bound.
    """
    total, base = update.total, update.base
    natural = base.natural_parameters(mixture)
    passes = (Expectation(rows, total, options.dtype)((natural,))[0].scale(share) for rows, share in parts)
    statistics = reduce(add, passes)
    em = EMOptions(options.tol, options.max_iter, model.floor(total), inference=base)
    state = _follow(mixture, statistics, total, em)
    moments = component_moments(mixture, statistics, total)
    before, after = (expected_log_likelihood(one, moments) for one in (natural, base.natural_parameters(state)))
    level = statistics.log_likelihood + after - before
    return state, KeptStatistics(total, moments, level, statistics.entropy, statistics.weight_sum)


def _follow(mixture: Mixture, statistics: Statistics, survey: Survey, em: EMOptions) -> Mixture:
    """Return the state to which the statistics of all rows under a state lead."""
    step = em.inference.maximize(mixture, statistics, survey, em.floor)
    if survey.has_gaps or (mixture.noise is not None and mixture.noise.box is None):
        return step
    drawn, _ = em.inference.plug_in(mixture).sample(_DRAWN_ROWS, np.random.default_rng(0))
    found = propose_surrogate_step(in_memory(drawn, None), survey, Trial(mixture, statistics=statistics), em, far=True)
    return step if found is None or found.gain <= 0 else found.mixture


def step_update(
    rows: Rows, mixture: Mixture, kept: KeptStatistics, model: ModelOptions, options: FitOptions
) -> tuple[Mixture, KeptStatistics, Inference]:
    """Return the state after a step of stepwise EM on a batch, which is read twice, what is kept of all rows, and the
    inference of which it is the state.
    """
    update = prepare_update(rows, mixture, kept, model, options, 1.0)
    expect = Expectation(rows, update.survey, options.dtype)
    (statistics,) = expect((update.base.natural_parameters(update.mixture),))
    moments = blend(kept.moments, component_moments(update.mixture, statistics, update.survey), kept.n_batches)
    state = update.base.estimate(update.mixture, moments, model.floor(update.total))
    weight_sum = kept.weight_sum + statistics.weight_sum
    of_each = weight_sum / statistics.weight_sum  # what the batch says of a row is taken for all
    level, entropy = of_each * statistics.log_likelihood, of_each * statistics.entropy
    kept = KeptStatistics(update.total, moments, level, entropy, weight_sum, kept.n_batches + 1)
    return state, kept, update.base
