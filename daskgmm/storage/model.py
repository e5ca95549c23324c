"""model.zarr: a fitted mixture with what is known of its fit. Plain arrays and JSON attributes; nothing is executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from ..core.coefficients import prepare_prediction
from ..core.mixture import Mixture
from ..core.model import Anomaly, FitSummary, Model
from ..core.structures import STRUCTURES
from ..errors import DataError
from .places import place, writing, written_whole, zarr_store
from .schema import FORMAT_VERSION, MODEL_COVARIANCES, MODEL_MEANS, MODEL_WEIGHTS, ArraySpec, check_version


def save_model(model: Model, path: str | Path) -> None:
    """Write the model to a zarr group at `path`, replacing what is there once the new one is complete."""
    mixture = model.mixture
    attributes = {
        "daskgmm_kind": "model",
        "daskgmm_format": FORMAT_VERSION,
        "daskgmm_version": version("daskgmm"),
        "covariance_type": mixture.covariance_type,
        "feature_names": list(model.feature_names) if model.feature_names else None,
        "summary": asdict(model.summary),
        "anomaly": asdict(model.anomaly) if model.anomaly else None,
    }
    path = place(path)
    with writing(path), written_whole(path) as temporary:
        group = zarr.create_group(**zarr_store(temporary), attributes=attributes)
        for spec, values in (
            (MODEL_WEIGHTS, mixture.weights),
            (MODEL_MEANS, mixture.means),
            (MODEL_COVARIANCES[mixture.covariance_type], mixture.covariances),
        ):
            data = np.ascontiguousarray(values, dtype=spec.dtype)
            group.create_array(spec.name, data=data, chunks=data.shape, dimension_names=spec.dims)


def load_model(path: str | Path, storage_options: Mapping[str, Any] | None = None) -> Model:
    """Return the model at `path`, a model.zarr or a run directory that holds one; raise DataError where it is none.

    The path may be an fsspec URL, opened with `storage_options`.
    """
    path = place(path, storage_options)
    try:
        if (path / "model.zarr").is_dir():
            path = path / "model.zarr"
        if not path.is_dir():
            raise DataError(f"there is no model at {path}")
        group = zarr.open_group(**zarr_store(path), mode="r")
        attributes = dict(group.attrs)
    except DataError:
        raise
    except Exception as error:  # zarr raises errors of many classes for a store that is none
        raise DataError(f"{path} cannot be opened as a model: {error}") from None
    check_version(attributes, path, "model")
    try:
        return _read(group, attributes)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}") from None


def _read(group: zarr.Group, attributes: dict[str, Any]) -> Model:
    structure = STRUCTURES[attributes["covariance_type"]]
    means_spec = _array(group, MODEL_MEANS)
    if means_spec.ndim != 2 or 0 in means_spec.shape:
        raise ValueError(f"means have the shape {means_spec.shape}")
    k, d = means_spec.shape
    weights = _values(group, MODEL_WEIGHTS, (k,))
    covariances = _values(group, MODEL_COVARIANCES[structure.name], structure.shape(k, d))
    mixture = Mixture(structure.name, weights, _values(group, MODEL_MEANS, (k, d)), covariances)
    if (weights < 0).any() or not np.isclose(weights.sum(), 1.0):
        raise ValueError(f"weights must be 0 or more and sum to 1, not to {weights.sum()}")
    prepare_prediction(mixture)  # raises where a covariance is not positive definite
    names = attributes["feature_names"]
    if names is not None and len(names) != d:
        raise ValueError(f"{len(names)} feature names for {d} features")
    summary = dict(attributes["summary"])
    summary["empty_components"] = tuple(summary["empty_components"])
    anomaly = attributes.get("anomaly")
    return Model(
        mixture,
        tuple(str(name) for name in names) if names else None,
        FitSummary(**summary),
        None if anomaly is None else Anomaly(float(anomaly["quantile"]), float(anomaly["threshold"])),
    )


def fingerprint(model: Model) -> str:
    """Return a short name of the mixture's parameters: equal for equal bits."""
    mixture, digest = model.mixture, sha256()
    digest.update(mixture.covariance_type.encode())
    for values in (mixture.weights, mixture.means, mixture.covariances):
        digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return digest.hexdigest()[:16]


def _array(group: zarr.Group, spec: ArraySpec) -> zarr.Array[Any]:
    array = group.get(spec.name)
    if not isinstance(array, zarr.Array):
        raise ValueError(f"the array {spec.name!r} is missing")
    return array


def _values(group: zarr.Group, spec: ArraySpec, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = _array(group, spec)
    if array.shape != shape or array.dtype != np.dtype(spec.dtype):
        raise ValueError(f"{spec.name} is {array.dtype} of shape {array.shape}, expected {spec.dtype} of {shape}")
    values = np.asarray(array[...], dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{spec.name} holds values that are not finite")
    return values
