"""Continue with new rows, for jobs and estimators alike: EM on them with the statistics of the old rows added."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import reduce
from operator import add

from ..chunked.data_summary import summarise_and_sample
from ..chunked.drift import density_moments
from ..chunked.e_step import Expectation
from ..chunked.rows import Rows
from ..core.em.drawn_rows import can_be_of_rows, draw_rows
from ..core.em.inference import Inference
from ..core.em.loop import EMOptions, State, Trial, iterate
from ..core.em.m_step import component_moments
from ..core.em.update import KeptStatistics, Update, begin_update, blend
from ..core.mixture.data_summary import DataSummary
from ..core.mixture.mixture import Mixture
from ..core.mixture.moments import expected_log_likelihood
from ..core.options.fit import FitOptions, ModelOptions
from ..core.scoring.drift import Drift, drift
from ..errors import ConfigurationError
from .checks import check_family

SAMPLED_ROWS = 5_000  # new ones, on which steps of columns are found, and correlations if values are missing


def check_forget(forget: float) -> None:
    """Raise ConfigurationError unless old rows can count for that share of their weights."""
    if not 0 <= forget <= 1:
        raise ConfigurationError(f"forget is {forget}, but must be from 0 (forget the old rows) to 1 (keep them)")


def check_updatable(mixture: Mixture) -> None:
    """Raise ConfigurationError if a model cannot continue with new rows."""
    if mixture.structure.layout.n_factors:
        raise ConfigurationError(
            "covariance_type low_rank keeps no sum r x x^T of its rows, which other loadings need, so none can be "
            "added: fit all rows"
        )


def prepare_update(
    rows: Rows, mixture: Mixture, kept: KeptStatistics, model: ModelOptions, options: FitOptions, forget: float
) -> Update:
    """Return the update of a state by new rows, which are read once for their summary; raise DataError for faults."""
    data_summary, _ = summarise_and_sample(rows, SAMPLED_ROWS, 0, model.resolution_of_rows)
    return update_of(data_summary, mixture, kept, model, options, forget)


def update_of(
    data_summary: DataSummary,
    mixture: Mixture,
    kept: KeptStatistics,
    model: ModelOptions,
    options: FitOptions,
    forget: float,
) -> Update:
    """Return the update of a state by new rows of a data summary; the noise is that of the box of old and new rows."""
    check_family(model.family, data_summary)
    update = begin_update(mixture, kept, data_summary, forget, lambda total: options.em(model, total).inference)
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
    expect = Expectation(rows, update.data_summary, options.dtype)
    return iterate(state or initial_update(update), expect, em, keep)


def initial_update(update: Update) -> State:
    """Return the state before the first pass."""
    return State(update.data_summary, (Trial(update.mixture),))


def measure_drift(
    rows: Rows, old: Mixture, new: Mixture, state: Mixture, kept: KeptStatistics, inference: Inference
) -> Drift:
    """Return the drift of new rows from those whose statistics are kept, by a pass over the new ones.

    `state` is that of the old rows' inference, and `old` and `new` are the mixtures before and after the new ones. What
    is kept of the old rows is their log-likelihood in the E-step. Where that is not their log-density under `old`, as
    in variational inference, that of the new rows is compared with it, by another pass.
    """
    density, natural = density_moments(rows, old), inference.natural_parameters(state)
    if natural is not state:
        (statistics,) = Expectation(rows, kept.data_summary)((natural,))
        density = replace(density, mean=statistics.mean_log_likelihood)
    return drift(density, kept.mean_log_likelihood, old, new)


def finish_update(update: Update, best: Trial, model: ModelOptions) -> tuple[Trial, KeptStatistics]:
    """Return the trial of EM on the new rows with the state to which that leads, and what is kept of all rows.

    The old rows' statistics are those under the state before the update, so EM ends where they still hold it. How they
    change from there to the new state is taken from drawn rows, and some steps of EM continue with them. The
    log-likelihood that is kept is that before these steps, a lower bound.
    """
    kept = update.keep(best)
    drawn = draw_rows(update.mixture, update.base, update.total)
    if update.before is None or drawn is None:
        return best, kept
    moments = drawn.change(kept.moments, update.before.weight_sum, update.mixture, best.mixture)
    if not can_be_of_rows(moments, best.mixture):
        return best, kept
    state, moments = drawn.follow(best.mixture, moments, model.floor(update.total))
    return replace(best, mixture=state), replace(kept, moments=moments)


def step_on_all(
    parts: Iterable[tuple[Rows, float]], mixture: Mixture, update: Update, model: ModelOptions, options: FitOptions
) -> tuple[Mixture, KeptStatistics]:
    """Return the state to which the statistics of all rows lead, and what is kept of them, by a pass over them.

    `parts` are the old rows and the new ones, each with the share of its weights that counts. Steps of EM continue from
    the pass with drawn rows; if none can be drawn, it makes a single step. The log-likelihood that is kept is a lower
    bound.
    """
    total, base = update.total, update.base
    natural, floor = base.natural_parameters(mixture), model.floor(total)
    passes = (Expectation(rows, total, options.dtype)((natural,))[0].scale(share) for rows, share in parts)
    statistics = reduce(add, passes)
    moments = component_moments(mixture, statistics, total)
    drawn = draw_rows(mixture, base, total)
    state, after = (
        (base.estimate(mixture, moments, floor), moments) if drawn is None else drawn.follow(mixture, moments, floor)
    )
    here, there = (expected_log_likelihood(base.natural_parameters(one), moments) for one in (mixture, state))
    level = statistics.log_likelihood + there - here
    return state, KeptStatistics(total, after, level, statistics.entropy, statistics.weight_sum)


def step_update(
    rows: Rows, mixture: Mixture, kept: KeptStatistics, model: ModelOptions, options: FitOptions
) -> tuple[Mixture, KeptStatistics, Inference]:
    """Return the state after a step of stepwise EM on a batch, which is read twice, what is kept of all rows, and the
    inference of which it is the state.
    """
    update = prepare_update(rows, mixture, kept, model, options, 1.0)
    expect = Expectation(rows, update.data_summary, options.dtype)
    (statistics,) = expect((update.base.natural_parameters(update.mixture),))
    moments = blend(kept.moments, component_moments(update.mixture, statistics, update.data_summary), kept.n_batches)
    state = update.base.estimate(update.mixture, moments, model.floor(update.total))
    weight_sum = kept.weight_sum + statistics.weight_sum
    of_each = weight_sum / statistics.weight_sum  # what the batch says of a row is taken for all
    level, entropy = of_each * statistics.log_likelihood, of_each * statistics.entropy
    kept = KeptStatistics(update.total, moments, level, entropy, weight_sum, kept.n_batches + 1)
    return state, kept, update.base
