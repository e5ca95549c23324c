"""What a report tells of, as values: the model, the record of its fit, and what is worked out from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...core.arrays.types import Array
from ...core.em.fitted_model import Model
from ...core.kernels.natural_parameters import Coefficients, prepare_prediction
from ...core.mixture.frame import Frame
from ...core.mixture.mixture import Mixture
from ...core.scoring.bhattacharyya import bhattacharyya_distances
from ...core.scoring.discriminant import View, discriminant_view, feature_separation
from ...core.scoring.drift import Drift
from ...core.scoring.imputation import impute
from ...core.scoring.merging import Clusters
from ...core.scoring.prediction import Prediction, PredictionOutputs, predict
from ...core.selection.table import Selection
from ...provenance import Record
from ...text import harmless, shorten_apart
from .colours import LEFT_OUT, component_colours

_MAX_NAME_LENGTH = 48  # characters of a name along an axis
_DISCRIMINANT_AXES = ("first discriminant axis", "second discriminant axis")
_MAX_MULTIPLICATIONS = 2e10  # multiplications for the distances of all pairs: a few seconds
_VIEW_SHARE = 0.95  # of the rows: components beyond may lie outside of a map
_SQUEEZE_FACTOR = 5  # times as wide as that of nearly all rows: a map that hides what most of it is of
_FENCE_RANGES = 8  # interquartile ranges: values further from the quartiles do not widen a figure
_TABLE_ROWS, _TABLE_FEATURES, _MARGINALS = 50, 8, 12


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that a report is drawn from."""

    model: Model
    record: Record
    configuration: str  # YAML
    seed: int | None  # None if it was none that can be given again
    picture: bytes | None = None  # PNG: an image next to its segmentation
    labels: NDArray[np.integer] | None = None  # (height, width) of an image or of a slice of a grid, thinned out
    labels_of: str = ""  # what of the grid they are
    selection: Selection | None = None  # of a sweep
    clusters: Clusters | None = None  # of components that were merged
    of_run: bool = True  # of a run directory, and not of an estimator in memory
    history: tuple[tuple[str, int, Drift], ...] = ()  # path, number and drift of the new rows of each update

    @property
    def mixture(self) -> Mixture:
        return self.model.mixture

    @property
    def n_rows(self) -> int:
        """The number of all rows that the model has seen and not forgotten."""
        updated = self.model.kept if self.history else None
        return self.record.beginning.n_rows if updated is None else updated.data_summary.n_rows

    @property
    def sampled(self) -> str:
        """What the rows are called that the figures show: after an update they are of the new ones alone."""
        return "sampled new rows" if self.history else "sampled rows"

    @property
    def passed(self) -> str:
        """What the rows are called that the passes of EM were over."""
        return "the new rows" if self.history else "all rows"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all features of the mixture: those of the rows, or principal components."""
        return self.model.mixture_names

    @cached_property
    def colours(self) -> tuple[str, ...]:
        """The colour of each component."""
        return component_colours(self.mixture.n_components)

    @cached_property
    def by_weight(self) -> NDArray[np.intp]:
        """Numbers of the components, the heaviest first."""
        return np.argsort(-self.mixture.weights, kind="stable")

    @cached_property
    def compared(self) -> NDArray[np.intp]:
        """Numbers of the components that are compared with each other: all but the lightest of very many."""
        most = max(int((_MAX_MULTIPLICATIONS / self.mixture.matrices().pair_work) ** 0.5), 2)
        return np.sort(self.filled[:most])

    @cached_property
    def overlap(self) -> Array:
        """Bhattacharyya coefficients exp(-D) of the compared components, (m, m); 1 where they are the same Gaussian."""
        some = self.mixture.take(self.compared)
        coefficients: Array = np.exp(-bhattacharyya_distances(some, some))
        return coefficients

    @cached_property
    def nearest(self) -> Mapping[int, tuple[int, float]]:
        """The compared component that each overlaps most, and their Bhattacharyya distance."""
        if len(self.compared) < 2:
            return {}
        others = np.where(np.eye(len(self.compared), dtype=bool), -1.0, self.overlap)
        best = others.argmax(axis=1)
        distances = -np.log(np.maximum(others.max(axis=1), 1e-300))
        return {
            int(own): (int(self.compared[other]), float(distance))
            for own, other, distance in zip(self.compared, best, distances, strict=True)
        }

    @cached_property
    def separating(self) -> NDArray[np.intp]:
        """Numbers of the features, those first in which components differ most."""
        return np.argsort(-feature_separation(self.mixture), kind="stable")

    @property
    def shown_features(self) -> NDArray[np.intp]:
        """Features of the rows that the table shows, in their order."""
        separating = np.argsort(-feature_separation(self.model.marginals), kind="stable")
        return np.sort(separating[:_TABLE_FEATURES])

    @cached_property
    def feature_deviations(self) -> Array:
        """Standard deviation of each feature of the rows in each component, (k, d)."""
        return np.sqrt(self.model.marginals.variances)

    @property
    def drawn_features(self) -> NDArray[np.intp]:
        """Features that are drawn one by one, in their order."""
        return np.sort(self.separating[:_MARGINALS])

    @property
    def shown_components(self) -> NDArray[np.intp]:
        """Components of the table, the heaviest first."""
        return self.by_weight[:_TABLE_ROWS]

    @cached_property
    def deviations(self) -> Array:
        """Standard deviation of each feature in each component, (k, d)."""
        return np.sqrt(self.mixture.variances)

    @cached_property
    def filled(self) -> NDArray[np.intp]:
        """Numbers of the components that have rows, of a posterior one row at least, the heaviest first."""
        posterior = self.model.posterior
        weights = self.mixture.weights if posterior is None else posterior.shares
        least = 0.0 if posterior is None else 1 / self.model.summary.weight_sum
        return self.by_weight[(weights[self.by_weight] > 0) & (weights[self.by_weight] >= least)]

    def choose_mapped(self, means: Array, variances: Array) -> NDArray[np.intp]:
        """Return the components that a map (k, q) is laid around: not light ones so far off that they hide others."""
        held = np.cumsum(self.mixture.shares[self.filled])
        core = self.filled[: int(np.searchsorted(held, _VIEW_SHARE)) + 1]
        reach = 2.2 * np.sqrt(variances)
        low, high = means - reach, means + reach
        extent, of_core = (high[some].max(axis=0) - low[some].min(axis=0) for some in (self.filled, core))
        return core if (extent > _SQUEEZE_FACTOR * of_core).any() else self.filled

    @cached_property
    def viewed(self) -> Mixture:
        """The components among which the view shows the differences."""
        means, covariances = discriminant_view(self.mixture).gaussians(self.mixture)
        mapped = self.choose_mapped(means, np.diagonal(covariances, axis1=1, axis2=2))
        return self.mixture if len(mapped) == len(self.filled) else self.mixture.take(mapped)

    @cached_property
    def view(self) -> View:
        """The axes of the map of the components: two features are the axes themselves, of more those that tell most."""
        if self.mixture.n_features == 2:
            return View(Frame(np.zeros(2), np.ones(2)), np.eye(2), np.zeros(2))
        return discriminant_view(self.viewed)

    @property
    def view_names(self) -> tuple[str, str]:
        """What the axes of the map are called."""
        if self.mixture.n_features > 2:
            return _DISCRIMINANT_AXES
        first, second = shorten_apart([harmless(name) for name in self.names], _MAX_NAME_LENGTH)
        return first, second

    @cached_property
    def stored_rows(self) -> Array:
        """The sample of the rows, (m, d), NaN where values are missing."""
        return np.asarray(self.record.beginning.rows, dtype=np.float64)

    @cached_property
    def rows(self) -> Array:
        """The sample of the rows, (m, d), with the means of missing values given the others."""
        filled = impute(self.stored_rows, self._coefficients, self.mixture.n_components).values
        return np.asarray(filled, dtype=np.float64)

    @cached_property
    def _coefficients(self) -> Coefficients:
        return prepare_prediction(self.mixture, missing=bool(np.isnan(self.stored_rows).any()))

    @cached_property
    def row_weights(self) -> Array:
        """Weights of the sampled rows, (m,)."""
        weights = self.record.beginning.row_weights
        return np.ones(len(self.rows)) if weights is None else np.asarray(weights, dtype=np.float64)

    @cached_property
    def scored(self) -> Prediction:
        """Labels and responsibilities of the sample."""
        outputs = PredictionOutputs(probabilities=True, log_density=False)
        return predict(self.stored_rows, None, self._coefficients, self.mixture.n_components, outputs)

    @property
    def resp(self) -> Array:
        """Responsibilities of the sampled rows, (m, k); with noise (m, k + 1)."""
        assert self.scored.probabilities is not None
        return np.asarray(self.scored.probabilities, dtype=np.float64)

    @cached_property
    def entropies(self) -> Array:
        """Mean of -sum_k r_k log r_k, in nats, over the sampled rows that are labelled each component; NaN if none."""
        resp = self.resp
        entropy = -np.sum(resp * np.log(np.maximum(resp, 1e-300)), axis=1)
        labels, k = self.drawn_labels, self.mixture.n_components
        total = np.bincount(labels, self.row_weights * entropy, minlength=k)[:k]
        counts = np.bincount(labels, self.row_weights, minlength=k)[:k]
        means: Array = np.divide(total, counts, out=np.full(k, np.nan), where=counts > 0)
        return means

    @property
    def drawn_labels(self) -> NDArray[np.int32]:
        """Labels of the sampled rows, (m,), with k for the noise: numbers of `label_colours`."""
        labels = self.scored.labels
        return np.where(labels < 0, np.int32(self.mixture.n_components), labels)

    @property
    def label_colours(self) -> tuple[str, ...]:
        """The colour of each component, and last that of the noise."""
        return (*self.colours, LEFT_OUT)

    @cached_property
    def certainties(self) -> Array:
        """Probability of the most probable component of each sampled row, (m,)."""
        largest: Array = self.resp.max(axis=1, initial=0.0)
        return largest


def spread_of_most(values: Array, share: float) -> Array:
    """Return the least and the greatest (2, q) of columns (m, q) but for outlying values.

    These are a share of the values at either end, and what is beyond some interquartile ranges from the quartiles.
    """
    low, first, third, high = np.quantile(values, [share, 0.25, 0.75, 1 - share], axis=0)
    fence = np.where(third > first, _FENCE_RANGES * (third - first), np.inf)
    return np.stack([np.maximum(low, first - fence), np.minimum(high, third + fence)])
