"""What a fit keeps of its rows, in model.zarr: facts and plain arrays among those of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ...core.arrays.types import Array
from ...core.em.update import KeptStatistics
from ...core.mixture.data_summary import DataSummary
from ...core.mixture.mixture import Mixture
from ...core.mixture.moments import ComponentMoments
from ..schema import (
    CHECKPOINT_SUMMARY,
    KEPT_COUNTS,
    KEPT_MEANS,
    ArraySpec,
    kept_covariances_spec,
    kept_summary_specs,
)


class KeptFacts(BaseModel):
    """The attributes, in addition to the arrays."""

    model_config = ConfigDict(strict=True)

    log_likelihood: float
    entropy: float
    weight_sum: float
    n_batches: int
    n_rows: int
    survey_weight_sum: float
    n_missing: int
    n_gaps: tuple[int, ...]
    value_weights: tuple[float, ...]
    noise_count: float


def facts_of(kept: KeptStatistics) -> dict[str, Any]:
    """Return the facts of what is kept."""
    data_summary = kept.data_summary
    return KeptFacts(
        log_likelihood=float(kept.log_likelihood),
        entropy=float(kept.entropy),
        weight_sum=float(kept.weight_sum),
        n_batches=kept.n_batches,
        n_rows=int(data_summary.n_rows),
        survey_weight_sum=float(data_summary.weight_sum),
        n_missing=int(data_summary.n_missing),
        n_gaps=tuple(map(int, data_summary.n_gaps)),
        value_weights=tuple(map(float, data_summary.value_weights)),
        noise_count=float(kept.moments.noise_count),
    ).model_dump(mode="json")


def arrays_of(kept: KeptStatistics, covariance_type: str) -> dict[ArraySpec, Array]:
    """Return the arrays of what is kept."""
    moments, covariances = kept.moments, kept_covariances_spec(covariance_type)
    arrays = {KEPT_COUNTS: moments.counts, KEPT_MEANS: moments.means, covariances: moments.covariances}
    fields = (getattr(kept.data_summary, spec.name) for spec in CHECKPOINT_SUMMARY)
    return arrays | dict(zip(kept_summary_specs(), fields, strict=True))


def shapes_of(mixture_shape: tuple[int, int], covariance_type: str, shape: tuple[int, ...]) -> dict[ArraySpec, Any]:
    """Return the shapes of the arrays; `shape` is that of the covariances."""
    k, d = mixture_shape
    shapes = {KEPT_COUNTS: (k,), KEPT_MEANS: (k, d), kept_covariances_spec(covariance_type): shape}
    return shapes | {spec: (d,) * len(spec.dims) for spec in kept_summary_specs()}


def read_kept(facts: KeptFacts, arrays: Mapping[ArraySpec, Array], mixture: Mixture) -> KeptStatistics:
    """Return the statistics that a model keeps of its rows; raise ValueError if they cannot be of any rows."""
    values = {spec.name: array for spec, array in arrays.items()}
    counts, means = values[KEPT_COUNTS.name], values[KEPT_MEANS.name]
    covariances = values[kept_covariances_spec(mixture.covariance_type).name]
    bounded = (counts, means, covariances, *(values[spec.name] for spec in kept_summary_specs()))
    if not all(np.isfinite(one).all() for one in bounded) or (counts < 0).any() or facts.survey_weight_sum <= 0:
        raise ValueError("the statistics of the rows hold values that no rows have")
    of_summary: dict[str, Any] = {spec.name.removeprefix("kept_"): values[spec.name] for spec in kept_summary_specs()}
    gaps: dict[str, Any] = {"n_gaps": facts.n_gaps, "value_weights": facts.value_weights}
    if any(one and len(one) != mixture.n_features for one in gaps.values()):
        raise ValueError("the statistics of the rows are of another number of features")
    data_summary = DataSummary(facts.n_rows, facts.survey_weight_sum, n_missing=facts.n_missing, **gaps, **of_summary)
    moments = ComponentMoments(mixture.structure.layout, counts, means, covariances, facts.noise_count)
    level, entropy, weight_sum = facts.log_likelihood, facts.entropy, facts.weight_sum
    return KeptStatistics(data_summary, moments, level, entropy, weight_sum, facts.n_batches)
