"""Go on with new rows, for jobs and estimators alike: EM on them with the statistics of the old rows added."""

from __future__ import annotations

from collections.abc import Callable

from ..chunked.data_summary import survey_and_sample
from ..chunked.drift import density_moments
from ..chunked.e_step import Expectation
from ..chunked.rows import Rows
from ..core.em.loop import EMOptions, State, Trial, iterate
from ..core.em.m_step import component_moments
from ..core.em.update import KeptStatistics, Update, begin_update, blend
from ..core.mixture.data_summary import Survey
from ..core.mixture.mixture import Mixture
from ..core.options.fit import FitOptions, ModelOptions
from ..core.scoring.drift import Drift, drift
from ..errors import ConfigurationError
from .checks import check_family

_ROWS_WITH_GAPS = 5_000  # from which their correlations are taken


def check_forget(forget: float) -> None:
    """Raise ConfigurationError unless old rows can count for that share of their weights."""
    if not 0 <= forget <= 1:
        raise ConfigurationError(f"forget is {forget}, but must be from 0 (forget the old rows) to 1 (keep them)")


def check_updatable(mixture: Mixture) -> None:
    """Raise ConfigurationError if a model cannot go on with new rows."""
    if mixture.noise is not None or mixture.frozen:
        raise ConfigurationError("a model with noise or frozen components cannot go on with new rows: fit all rows")


def prepare_update(
    rows: Rows, mixture: Mixture, kept: KeptStatistics, model: ModelOptions, options: FitOptions, forget: float
) -> Update:
    """Return the update of a state by new rows, which are read once for their summary; raise DataError for faults."""
    survey = survey_new(rows, model)
    check_family(model.family, survey)
    return begin_update(mixture, kept, survey, forget, lambda total: options.em(model, total).inference)


def survey_new(rows: Rows, model: ModelOptions) -> Survey:
    """Return the survey of new rows; of rows with gaps, correlations take a sample of more than a row."""
    survey, _ = survey_and_sample(rows, _ROWS_WITH_GAPS if rows.missing else 1, 0, model.resolution)
    return survey


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
    expect = Expectation(rows, update.survey, options.compute_dtype)
    return iterate(state or initial_update(update), expect, em, keep)


def initial_update(update: Update) -> State:
    """Return the state before the first pass."""
    return State(update.survey, (Trial(update.mixture),))


def measure_drift(rows: Rows, old: Mixture, new: Mixture, level: float) -> Drift:
    """Return how new rows differ from old ones of the mean log-density level, by a pass over the new ones."""
    return drift(density_moments(rows, old), level, old, new)


def step_update(
    rows: Rows, mixture: Mixture, kept: KeptStatistics, model: ModelOptions, options: FitOptions
) -> tuple[Mixture, KeptStatistics]:
    """Return the state after a step of stepwise EM on a batch, which is read twice, and what is kept of all rows."""
    update = prepare_update(rows, mixture, kept, model, options, 1.0)
    expect = Expectation(rows, update.survey, options.compute_dtype)
    (statistics,) = expect((update.base.natural_parameters(mixture),))
    moments = blend(kept.moments, component_moments(mixture, statistics, update.survey), kept.n_batches)
    state = update.base.estimate(mixture, moments, model.floor(update.total))
    weight_sum = kept.weight_sum + statistics.weight_sum
    of_each = weight_sum / statistics.weight_sum  # what the batch says of a row is taken for all
    level, entropy = of_each * statistics.log_likelihood, of_each * statistics.entropy
    return state, KeptStatistics(update.total, moments, level, entropy, weight_sum, kept.n_batches + 1)
