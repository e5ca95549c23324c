"""Fits that go on with new rows: `update` and `partial_fit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import dask
import dask.array as da
import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..chunked.data_summary import survey_and_sample
from ..chunked.e_step import Expectation
from ..chunked.prediction import predict_lazily
from ..chunked.read_ahead import ready
from ..chunked.rows import Rows
from ..core.em.inference import Inference
from ..core.em.loop import EMOptions, State, StopReason, Trial, iterate
from ..core.em.m_step import component_moments
from ..core.em.update import Continued, blend
from ..core.mixture.data_summary import Survey
from ..core.mixture.mixture import Mixture
from ..core.mixture.moments import ComponentMoments
from ..errors import ConfigurationError, DataError
from .labels import known_labels
from .validation import check_warm_start

_CLEAR = 5.0  # standard errors: a drift beyond them is no chance
_MOVED = 0.1  # of its weight, by which a component has moved
_ROWS_WITH_GAPS = 5_000  # from which their correlations are taken


@dataclass(frozen=True)
class Drift:
    """How new rows differ from those that a model was fitted to."""

    mean_log_density: float  # of the new rows under the old model less that of the old rows, nats per row
    standard_errors: float  # the same in standard errors of the mean of the new rows
    weights_moved: tuple[int, ...]  # components whose weight changed by more than a tenth
    emptied: tuple[int, ...]  # components that have no rows any more

    @property
    def refit_advised(self) -> bool:
        """Whether the new rows are of another source: the old rows should be read again."""
        return abs(self.standard_errors) > _CLEAR or bool(self.emptied)


@dataclass(frozen=True, eq=False)
class Memory:
    """What an estimator keeps of the rows that it has seen."""

    inference: Inference
    survey: Survey  # of all of them
    moments: ComponentMoments  # of all of them, under the fitted mixture
    log_likelihood: float  # mean, nats per row
    n_batches: int = 0  # calls of partial_fit since the fit


class UpdateMixin:
    """Goes on with new rows, by the statistics that a fit leaves."""

    _updates = True  # whether the statistics of old rows can be added to those of new ones
    _memory: Memory

    @available_if(lambda self: self._updates)  # type: ignore[untyped-decorator] # scikit-learn is not typed
    def update(self, X: Any, sample_weight: Any = None, *, forget: float = 1.0) -> Any:
        """Go on with new rows X (n, d), which alone are read; return self.

        EM runs on the new rows with the statistics of the rows seen before added, weighted by `forget`: 1 counts them
        in full, 0 forgets them. `drift_` says how the new rows differ, and whether a fit to all rows is advised.

        Raises ConfigurationError for a `forget` outside of 0 to 1, DataError if nothing is known of the fit.
        """
        if not 0 <= forget <= 1:
            raise ConfigurationError(f"forget is {forget}, but must be from 0 (forget the old rows) to 1 (keep them)")
        memory, old = self._known(), self._mixture()  # type: ignore[attr-defined]
        rows = self._input(X, reset=False).rows(sample_weight, missing=self._fills_gaps)  # type: ignore[attr-defined]
        with ready(rows, keep=True) as kept:
            survey = self._survey(kept, memory)
            gap, errors = _log_density_gap(kept, old, memory)
            inference = Continued(memory.inference, memory.moments.scale(forget)) if forget else memory.inference
            floor = self._model_options()[0].floor(memory.survey + survey)  # type: ignore[attr-defined]
            em = EMOptions(self.tol, self.max_iter, floor, accelerate=True, inference=inference)  # type: ignore[attr-defined]
            best = iterate(State(survey, (Trial(old),)), Expectation(kept, survey), em).best
        assert best.statistics is not None, "EM has made a pass"
        moments = component_moments(best.mixture, best.statistics, survey) + memory.moments.scale(forget)
        level = (best.statistics.mean_log_likelihood * survey.weight_sum) + forget * memory.log_likelihood * (
            memory.survey.weight_sum
        )
        level /= survey.weight_sum + forget * memory.survey.weight_sum
        self._remember(best.mixture, Memory(memory.inference, memory.survey + survey, moments, level))
        self.converged_, self.n_iter_ = best.stop is StopReason.CONVERGED, best.n_iter
        self.lower_bounds_, self.lower_bound_ = list(best.history), best.history[-1]
        moved = np.abs(best.mixture.weights - old.weights) > _MOVED * old.weights
        self.drift_ = Drift(gap, errors, tuple(np.flatnonzero(moved).tolist()), best.mixture.empty)
        return self

    @available_if(lambda self: self._updates)  # type: ignore[untyped-decorator] # scikit-learn is not typed
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Take a step of stepwise EM on a batch of rows X (n, d), read once; return self.

        The first batch is fitted as `fit` does. The result depends on the order of the calls alone.

        Raises ConfigurationError if a later batch has labels y, as `fit` takes them.
        """
        if not hasattr(self, "converged_"):
            return self.fit(X, y, sample_weight=sample_weight)  # type: ignore[attr-defined]
        memory, old = self._known(), self._mixture()  # type: ignore[attr-defined]
        rows = self._input(X, reset=False).rows(sample_weight, missing=self._fills_gaps)  # type: ignore[attr-defined]
        if known_labels(y, rows.grid) is not None:
            raise ConfigurationError("labels y are for the first batch alone: leave them out, or fit all rows at once")
        with ready(rows, keep=True) as kept:
            survey = self._survey(kept, memory)
            (statistics,) = Expectation(kept, survey)((memory.inference.natural_parameters(old),))
        seen = memory.survey + survey
        moments = blend(memory.moments, component_moments(old, statistics, survey), memory.n_batches)
        floor = self._model_options()[0].floor(seen)  # type: ignore[attr-defined]
        mixture = memory.inference.estimate(old, moments, floor)
        level = statistics.mean_log_likelihood
        self._remember(mixture, Memory(memory.inference, seen, moments, level, memory.n_batches + 1))
        self.n_iter_ += 1
        self.lower_bound_ = level
        self.lower_bounds_ = [*self.lower_bounds_, level]
        return self

    n_iter_: int
    lower_bounds_: list[float]

    def _known(self) -> Memory:
        check_is_fitted(self)
        if not hasattr(self, "_memory"):
            raise DataError("nothing is known of the rows that this model was fitted to: fit it, then go on")
        mixture = self._mixture()  # type: ignore[attr-defined]
        if mixture.noise is not None or mixture.frozen:
            raise ConfigurationError("a model with noise or frozen components cannot go on with new rows: fit all rows")
        options, _ = self._model_options()  # type: ignore[attr-defined]
        check_warm_start(
            mixture,
            options.n_components,
            options.family,
            mixture.n_features,
            has_noise=options.noise is not False,
            what="an update",
            remedy="set it back, or fit again",
        )
        return self._memory

    def _remember(self, mixture: Mixture, memory: Memory) -> None:
        self._set_mixture(memory.inference.plug_in(mixture))  # type: ignore[attr-defined]
        self._memory = memory

    def _survey(self, rows: Rows, memory: Memory) -> Survey:
        """Return the survey of new rows; of rows with gaps, correlations take a sample of more than a row.

        Steps of the old rows are no larger for new ones that are whole numbers by chance.
        """
        size = _ROWS_WITH_GAPS if rows.missing else 1
        survey, _ = survey_and_sample(rows, size, 0, self.resolution)  # type: ignore[attr-defined]
        return replace(survey, steps=np.minimum(survey.steps, memory.survey.steps))


def _log_density_gap(rows: Rows, old: Mixture, memory: Memory) -> tuple[float, float]:
    """Return by how much new rows are more likely than the old ones, nats per row, and in standard errors."""
    weights = da.ones(rows.grid, chunks=rows.array.chunks[:-1]) if rows.weights is None else rows.weights
    counted = weights > 0
    array = rows.array if rows.weights is None else da.where(counted[..., None], rows.array, np.nan)
    density = da.where(counted, predict_lazily(array, old, "log_density", missing=rows.missing), 0.0)
    total, mean_sum, n = dask.compute(weights.sum(), (weights * density).sum(), counted.sum())
    mean = float(mean_sum / total)
    variance = float((weights * (density - mean) ** 2).sum().compute() / total)
    gap, error = mean - memory.log_likelihood, float(np.sqrt(variance / max(int(n), 1)))
    return gap, gap / error if error > 0 else 0.0
