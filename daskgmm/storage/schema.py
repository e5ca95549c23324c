"""Every array that is written: name, dimensions, type, fill value; one format version for all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.mixture.covariance import STRUCTURES
from ..core.mixture.noise import NOISE
from ..core.scoring.prediction import LEFT_OUT
from ..errors import DataError

FORMAT_VERSION = 2
_LEFT_OUT_FLAG = (LEFT_OUT, "left_out")
_NOISE_FLAG = (NOISE, "noise")


@dataclass(frozen=True)
class ArraySpec:
    """How one array is written; `grid` among its dimensions stands for the axes of the data's grid."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    fill_value: float = float("nan")
    flags: tuple[tuple[int, str], ...] = ()  # values that have a meaning of their own, as CF's flag_meanings

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the array, after the CF conventions (section 3.5)."""
        values, meanings = zip(*self.flags, strict=True) if self.flags else ((), ())
        return {"flag_values": list(values), "flag_meanings": " ".join(meanings)} if values else {}


MODEL_WEIGHTS = ArraySpec("weights", ("component",), "float64")
MODEL_MEANS = ArraySpec("means", ("component", "feature"), "float64")
POSTERIOR = (
    ArraySpec("posterior_shares", ("component",), "float64"),
    ArraySpec("posterior_weight_concentration", ("parameter", "component"), "float64"),
    ArraySpec("posterior_mean_precision", ("component",), "float64"),
    ArraySpec("posterior_degrees_of_freedom", ("component",), "float64"),
)
KEPT_COUNTS = ArraySpec("kept_counts", ("component",), "float64")
KEPT_MEANS = ArraySpec("kept_means", ("component", "feature"), "float64")
PROJECTION = (
    ArraySpec("centre", ("column",), "float64"),
    ArraySpec("scale", ("column",), "float64"),
    ArraySpec("axes", ("column", "feature"), "float64"),
    ArraySpec("residual", ("column",), "float64"),
)
CHECKPOINT_SUMMARY = (
    ArraySpec("origin", ("feature",), "float64"),
    ArraySpec("lead", ("feature",), "float64"),
    ArraySpec("scatter", ("feature", "feature_2"), "float64"),
    ArraySpec("minimum", ("feature",), "float64"),
    ArraySpec("maximum", ("feature",), "float64"),
    ArraySpec("steps", ("feature",), "float64"),
)
CHECKPOINT_HISTORY = ArraySpec("history", ("pass",), "float64")
CHECKPOINT_SUMS = ArraySpec("sums", ("component_or_noise", "column"), "float64")
PROBABILITIES = ArraySpec("probabilities", ("grid", "component"), "float32")
TOP_PROBABILITIES = ArraySpec("probabilities", ("grid", "rank"), "float32")
LOG_DENSITY = ArraySpec("log_density", ("grid",), "float64")
IMPUTED = ArraySpec("imputed", ("grid", "feature"), "float64")
IMPUTED_ERROR = ArraySpec("imputed_error", ("grid", "feature"), "float64")
ANOMALY = ArraySpec("anomaly", ("grid",), "bool", False)
AS_STORED = "as stored"  # the type that the source has
RECORD_ROWS = ArraySpec("rows", ("sampled_row", "feature"), AS_STORED)
RECORD_WEIGHTS = ArraySpec("row_weights", ("sampled_row",), AS_STORED)
RECORD_RANGE = ArraySpec("range", ("bound", "feature"), "float64")


def covariances_spec(covariance_type: str) -> ArraySpec:
    """Return the array of the covariances of a type; raise KeyError if there is no such type."""
    return ArraySpec("covariances", STRUCTURES[covariance_type].layout.axes, "float64")


def kept_covariances_spec(covariance_type: str) -> ArraySpec:
    """Return the array of the covariances of rows that a fit keeps."""
    return replace(covariances_spec(covariance_type), name="kept_covariances")


def kept_summary_specs() -> tuple[ArraySpec, ...]:
    """Return the arrays of the data summary of rows that a fit keeps, in the order of those of a checkpoint."""
    return tuple(replace(spec, name=f"kept_{spec.name}") for spec in CHECKPOINT_SUMMARY)


def labels_spec(n_components: int, *, has_noise: bool = False) -> ArraySpec:
    """Return the array of labels in the smallest signed integer type that holds them.

    LEFT_OUT flags a row left out, and NOISE one of the noise if there is any.
    """
    return ArraySpec("labels", ("grid",), _smallest(n_components), LEFT_OUT, _flags(has_noise))


def components_spec(n_components: int, *, has_noise: bool = False) -> ArraySpec:
    """Return the array of the components, or NOISE, that the largest probabilities belong to."""
    return ArraySpec("components", ("grid", "rank"), _smallest(n_components), LEFT_OUT, _flags(has_noise))


def _flags(has_noise: bool) -> tuple[tuple[int, str], ...]:
    return (_LEFT_OUT_FLAG, _NOISE_FLAG) if has_noise else (_LEFT_OUT_FLAG,)


def clusters_spec(n_components: int, *, has_noise: bool = False) -> ArraySpec:
    """Return the array of clusters of components, as that of labels."""
    return replace(labels_spec(n_components, has_noise=has_noise), name="clusters")


TABLE = "results.parquet"
_ROW_RESULTS = ("labels", "clusters", "probabilities", "log_density", "anomaly", "imputed")
RESULTS = (*(f"{name}.zarr" for name in _ROW_RESULTS), TABLE)
_RESULT_ARRAYS = "|".join((*_ROW_RESULTS, "components", "imputed_error"))
_CHUNK_OF_RESULTS = re.compile(rf"results\.parquet/.*|({_RESULT_ARRAYS})\.zarr/({_RESULT_ARRAYS})/c/.*")


def is_chunk_of_results(file: str) -> bool:
    """Return whether a file of a run directory holds results of some rows, rather than what is written once."""
    return _CHUNK_OF_RESULTS.fullmatch(file) is not None


_TABLE_COLUMNS = {"labels": "label", "clusters": "cluster", "probabilities": "probability", "components": "component"}


def column_stem(spec: ArraySpec) -> str:
    """Return the name of a column of results; with _0, _1, ... if there is one for each component."""
    return _TABLE_COLUMNS.get(spec.name, spec.name)


def _smallest(n_components: int) -> str:
    return next(t for t in ("int8", "int16", "int32") if n_components - 1 <= np.iinfo(t).max)


def check_version(attributes: dict[str, Any], path: Path, kind: str) -> None:
    """Raise DataError unless the attributes are those of a `kind` in the format that is read here."""
    version = attributes.get("daskgmm_format")
    if attributes.get("daskgmm_kind") != kind or not isinstance(version, int):
        raise DataError(f"{path} is not a daskgmm {kind}: it lacks the attributes of one")
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path} has format version {version}, and this daskgmm reads version {FORMAT_VERSION}: "
            "use the daskgmm that wrote it, or a newer one"
        )
