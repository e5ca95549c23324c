"""model.zarr: a fitted mixture with what is known of its fit: plain arrays and JSON, with a checksum; no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ...core.arrays.types import Array
from ...core.em.fitted_model import Anomaly, FitSummary, Model
from ...core.em.variational import Posterior
from ...core.mixture.covariance import STRUCTURES
from ...core.mixture.low_rank import is_low_rank
from ...core.mixture.mixture import Mixture, check_parts
from ...core.mixture.noise import Noise
from ...core.mixture.projection import Projection
from ...errors import DataError
from ...filesystem.location import public, resolve_location
from ...filesystem.retry import denial, is_denied, reason
from ..run.directory import MODEL
from ..run.staging import waits_for_its_place
from ..schema import MODEL_MEANS, MODEL_WEIGHTS, POSTERIOR, PROJECTION, check_version, covariances_spec
from .kept_statistics import KeptFacts, arrays_of, facts_of, read_kept, shapes_of
from .untrusted_zarr import check_whole, declared_shape, header, header_text, read_values, save_plain


def save_model(model: Model, path: str | Path) -> None:
    """Write the model to a zarr group at `path`, replacing what is there once the new one is complete."""
    mixture = model.mixture
    facts: dict[str, Any] = {
        "covariance_type": mixture.covariance_type,
        "feature_names": list(model.feature_names) if model.feature_names else None,
        "summary": asdict(model.summary),
        "anomaly": asdict(model.anomaly) if model.anomaly else None,
        **({"noise": asdict(mixture.noise)} if mixture.noise else {}),
        **({"frozen": list(mixture.frozen)} if mixture.frozen else {}),
        **({"options": dict(model.options)} if model.options else {}),
    }
    arrays = {
        MODEL_WEIGHTS: mixture.weights,
        MODEL_MEANS: mixture.means,
        covariances_spec(mixture.covariance_type): mixture.covariances,
    }
    if model.posterior is not None:
        arrays |= dict(zip(POSTERIOR, _posterior_arrays(model.posterior), strict=True))
    if model.projection is not None:
        arrays |= {spec: getattr(model.projection, spec.name) for spec in PROJECTION}
        facts["has_projection"] = True
    facts["has_posterior"] = model.posterior is not None
    if model.kept is not None:
        facts["kept"] = facts_of(model.kept)
        arrays |= arrays_of(model.kept, mixture.covariance_type)
    save_plain(resolve_location(path), "model", facts, arrays)


def _posterior_arrays(posterior: Posterior) -> tuple[Array, ...]:
    concentration = np.stack(posterior.weight_concentration)
    return posterior.shares, concentration, posterior.mean_precision, posterior.degrees_of_freedom


def load_model(path: str | Path, storage_options: Mapping[str, Any] | None = None) -> Model:
    """Return the model in a run directory or a model.zarr; raise DataError if none is there that can be read."""
    path = resolve_location(path, storage_options)
    try:
        if waits_for_its_place(path):
            raise DataError(
                f"{public(str(path))} holds a finished job that has not all taken its place: if no job runs there, "
                "the same daskgmm fit with --resume puts it there"
            )
        if (path / MODEL).is_dir():
            path = path / MODEL
        if not path.is_dir():
            raise DataError(f"there is no model at {public(str(path))}")
        attributes = header(path).get("attributes")
    except DataError:
        raise
    except Exception as error:  # stores raise errors of many classes
        if is_denied(error):
            raise DataError(denial(str(path), "read", error, "output")) from error
        raise DataError(f"{public(str(path))} cannot be opened as a model: {reason(error)}") from None
    check_version(attributes if isinstance(attributes, dict) else {}, path, "model")
    try:
        with np.errstate(all="ignore"):  # what comes out is looked at
            return _read(path)
    except (ArithmeticError, MemoryError, OSError, RuntimeError, ValueError) as error:
        raise DataError(f"{public(str(path))} is damaged: {reason(error)}") from None


class _Attributes(BaseModel):
    """The attributes of a model, in addition to its arrays."""

    model_config = ConfigDict(strict=True)

    covariance_type: str
    feature_names: tuple[str, ...] | None
    summary: FitSummary
    anomaly: Anomaly | None = None
    noise: Noise | None = None
    frozen: tuple[int, ...] = ()
    has_posterior: bool = False
    has_projection: bool = False
    options: dict[str, Any] | None = None
    kept: KeptFacts | None = None


class _Group(BaseModel):
    """The zarr.json of a model."""

    attributes: _Attributes


def _read(path: Path) -> Model:
    kept = _Group.model_validate_json(header_text(path)).attributes
    if kept.covariance_type not in STRUCTURES and not is_low_rank(kept.covariance_type):
        raise ValueError(f"{kept.covariance_type!r} is not a covariance type")
    structure = STRUCTURES[kept.covariance_type]
    k, d = declared_shape(path, MODEL_MEANS)
    shapes = {
        MODEL_WEIGHTS: (k,),
        MODEL_MEANS: (k, d),
        covariances_spec(structure.name): structure.layout.shape(k, d),
    }
    if kept.has_posterior:
        n_parameters = declared_shape(path, POSTERIOR[1])[0]
        shapes |= dict(zip(POSTERIOR, ((k,), (min(n_parameters, 2), k), (k,), (k,)), strict=True))
    n_columns = d
    if kept.has_projection:
        n_columns = declared_shape(path, PROJECTION[0])[0]
        columns = (n_columns,)
        shapes |= dict(zip(PROJECTION, (columns, columns, (n_columns, d), columns), strict=True))
    if kept.kept is not None:
        shapes |= shapes_of((k, d), structure.name, structure.layout.shape(k, d))
    for spec, shape in shapes.items():  # of all, before any is read
        if (declared := declared_shape(path, spec)) != shape:
            raise ValueError(f"{spec.name} has the shape {declared}, expected {shape}")
    arrays = {spec: read_values(path, spec, shape) for spec, shape in shapes.items()}
    if kept.feature_names is not None and len(kept.feature_names) != n_columns:
        raise ValueError(f"{len(kept.feature_names)} feature names for {n_columns} features")
    weights, means, covariances = list(arrays.values())[:3]
    mixture = Mixture(structure.name, weights, means, covariances, kept.noise, kept.frozen)
    _check_mixture(mixture)
    check_whole(path, arrays)
    posterior = _posterior(*(arrays[spec] for spec in POSTERIOR)) if kept.has_posterior else None
    projection = _projection(*(arrays[spec] for spec in PROJECTION)) if kept.has_projection else None
    statistics = None if kept.kept is None else read_kept(kept.kept, arrays, mixture)
    names = kept.feature_names or None
    return Model(mixture, names, kept.summary, kept.anomaly, posterior, statistics, kept.options, projection)


def _projection(centre: Array, scale: Array, axes: Array, residual: Array) -> Projection:
    """Return the projection of its arrays; raise ValueError unless rows can be projected with it."""
    if not all(np.isfinite(one).all() for one in (centre, scale, axes, residual)):
        raise ValueError("the projection holds values that are not finite")
    if not (scale > 0).all() or (residual < 0).any():
        raise ValueError("the projection has scales of 0 or less, or negative variances")
    if not np.allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-6):
        raise ValueError("the axes of the projection are not orthonormal")
    return Projection(centre, scale, axes, residual)


def _posterior(shares: Array, concentration: Array, mean_precision: Array, degrees_of_freedom: Array) -> Posterior:
    """Return the posterior of its arrays; raise ValueError unless they can be one."""
    for values in (shares, concentration, mean_precision, degrees_of_freedom):
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError("the posterior holds values that are negative or not finite")
    if not np.isclose(shares.sum(), 1.0):
        raise ValueError(f"the posterior's shares of rows sum to {shares.sum()}, not to 1")
    return Posterior(shares, tuple(concentration), mean_precision, degrees_of_freedom)


def _check_mixture(mixture: Mixture) -> None:
    """Raise ValueError unless rows can be scored with the mixture."""
    for name in ("weights", "means", "covariances"):
        if not np.isfinite(getattr(mixture, name)).all():
            raise ValueError(f"{name} holds values that are not finite")
    weights, covariances = mixture.all_weights, mixture.covariances
    check_parts(mixture)
    if (weights < 0).any() or not np.isclose(weights.sum(), 1.0):
        raise ValueError(f"weights must be 0 or more and sum to 1, not to {weights.sum()}")
    if mixture.structure.layout.dense and not np.allclose(covariances, np.swapaxes(covariances, -1, -2)):
        raise ValueError("covariances are not symmetric")
    frame = mixture.frame
    if not (np.isfinite(frame.centre).all() and np.isfinite(frame.scale).all() and (frame.scale > 0).all()):
        raise ValueError("means or covariances are too large or too small for their squares")
    mixture.matrices(frame).log_det()  # raises where a covariance is not positive definite


def fingerprint(model: Model) -> str:
    """Return a short name of the mixture's parameters: equal for equal bits."""
    mixture, digest = model.mixture, sha256()
    digest.update(mixture.covariance_type.encode())
    for values in (mixture.weights, mixture.means, mixture.covariances):
        digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    if mixture.noise:
        digest.update(repr((mixture.noise.weight, mixture.noise.log_volume)).encode())
    if model.projection is not None:
        for spec in PROJECTION:
            digest.update(np.ascontiguousarray(getattr(model.projection, spec.name)).tobytes())
    return digest.hexdigest()[:16]
