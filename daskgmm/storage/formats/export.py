"""A fitted model for other programs: plain JSON, a scikit-learn estimator, an ONNX graph."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...core.em.fitted_model import Anomaly, Model
from ...core.mixture.frame import Frame
from ...core.mixture.mixture import Mixture
from ...core.mixture.precisions import precisions, precisions_cholesky
from ...errors import ConfigurationError
from ...filesystem.location import make_directory, place, writing, written_whole
from ..run.directory import MODEL, RunDirectory
from .model import fingerprint

JSON_FORMAT = 1


def export_model(model: Model, run_dir: str | Path, name: str, output: str | None, *, overwrite: bool = False) -> Path:
    """Write the model in the format of that name to `output`, or else beside the model; return where that is.

    Raises ConfigurationError where the file is there already (without `overwrite`) or a package is missing, and
    RunInUseError where a job writes to the run's directory.
    """
    chosen, directory = FORMATS[name], place(run_dir)
    directory = directory.parent if directory.name == MODEL else directory
    path = directory / chosen.file if output is None else place(output)
    if path.exists() and not overwrite:
        raise ConfigurationError(f"{path} is there already: give another --output, or --overwrite")
    content = chosen.content(model)
    lock = RunDirectory(directory).locked() if output is None else nullcontext()
    with lock, writing(path):
        make_directory(path.parent)
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
    return path


def as_json(model: Model) -> bytes:
    """Return the model as a JSON object, numbers to the last bit.

    daskgmm_kind "mixture", daskgmm_format (1), daskgmm_version, model (a fingerprint of the parameters);
    covariance_type, n_components k, n_features d, n_parameters, feature_names (d texts, or null);
    weights (k), means (k x d), covariances (tied and EEE d x d, diag and families ..I k x d, spherical, EII and VII k,
    others k x d x d), in the units of the features; noise, if there is any (weight, log_volume, and box: its lowest and
    highest corner, or null); frozen, if any are (numbers of components); summary (log_likelihood in nats per row,
    weight_sum, aic, bic, icl, n_iter, converged, stop_reason, empty_components; objective and evidence_lower_bound of
    fits with a prior, else null); anomaly (quantile and threshold of the
    log-density, or null).
    """
    mixture = model.mixture
    document = {
        "daskgmm_kind": "mixture",
        "daskgmm_format": JSON_FORMAT,
        "daskgmm_version": version("daskgmm"),
        "model": fingerprint(model),
        "covariance_type": mixture.covariance_type,
        "n_components": mixture.n_components,
        "n_features": mixture.n_features,
        "n_parameters": mixture.n_parameters,
        "feature_names": list(model.feature_names) if model.feature_names else None,
        "weights": mixture.weights.tolist(),
        "means": mixture.means.tolist(),
        "covariances": mixture.covariances.tolist(),
        **({"noise": asdict(mixture.noise)} if mixture.noise else {}),
        **({"frozen": list(mixture.frozen)} if mixture.frozen else {}),
        "summary": asdict(model.summary),
        "anomaly": asdict(model.anomaly) if model.anomaly else None,
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def as_sklearn(model: Model) -> bytes:
    """Return a fitted sklearn.mixture.GaussianMixture as joblib writes it, of the type whose array is of that form.

    joblib.load reads it with the same scikit-learn. As with each pickle, who loads it runs what is in it: load none
    that others could have changed. daskgmm itself loads none.
    """
    import joblib  # as below

    estimator = _estimator(model.mixture)
    summary = model.summary
    estimator.converged_, estimator.n_iter_, estimator.lower_bound_ = (
        summary.converged,
        summary.n_iter,
        summary.log_likelihood,
    )
    if model.feature_names:
        estimator.feature_names_in_ = np.array(model.feature_names, dtype=object)
    file = io.BytesIO()
    joblib.dump(estimator, file)
    return file.getvalue()


def as_onnx(model: Model) -> bytes:
    """Return an ONNX graph: rows in; labels, probabilities, log-densities and anomalies out.

    `rows` (n, d) float64; `label` (n, 1) int64, `probabilities` (n, k) float64, `log_density` (n, 1) float64 in nats,
    and `anomaly` (n, 1) bool if the model has a threshold of anomalies. The graph standardises the rows by the
    mixture's own mean and deviations first, so that large offsets cost no digits.
    """
    try:
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import DoubleTensorType
    except ImportError:
        raise ConfigurationError("ONNX needs skl2onnx: pip install 'daskgmm[onnx]'") from None
    frame = model.mixture.frame
    from sklearn.pipeline import make_pipeline  # takes a second, for which other jobs have no need

    estimator = _estimator(model.mixture.scale(frame))
    steps = make_pipeline(_scaler(frame), estimator)
    rows = ("rows", DoubleTensorType([None, model.mixture.n_features]))
    with np.errstate(divide="ignore"):  # the logarithm of an empty component's weight
        graph = to_onnx(steps, initial_types=[rows], options={type(estimator): {"score_samples": True}})
    _add_log_density(graph.graph, float(np.log(frame.scale).sum()), model.anomaly)
    for key, value in {"daskgmm_version": version("daskgmm"), "model": fingerprint(model)}.items():
        graph.metadata_props.add(key=key, value=value)
    content: bytes = graph.SerializeToString()
    return content


def _add_log_density(graph: Any, log_volume: float, anomaly: Anomaly | None) -> None:
    """Replace the output of the log-density in standardised units by that in units of the rows, with its anomalies.

    `log_volume` is the logarithm of the volume of a standardised unit, by which densities are smaller.
    """
    from onnx import TensorProto, helper, numpy_helper  # skl2onnx depends on it

    standardised = graph.output.pop()
    added = [("log_density", "Sub", standardised.name, log_volume, TensorProto.DOUBLE)]
    if anomaly is not None:
        added.append(("anomaly", "Less", "log_density", anomaly.threshold, TensorProto.BOOL))
    for name, operation, before, value, kind in added:
        constant = numpy_helper.from_array(np.array(value), f"{name}_constant")
        graph.initializer.append(constant)
        graph.node.append(helper.make_node(operation, [before, constant.name], [name]))
        graph.output.append(helper.make_tensor_value_info(name, kind, [None, 1]))


@dataclass(frozen=True)
class Format:
    """What a model is exported as."""

    file: str  # its name in a run directory
    content: Callable[[Model], bytes]


FORMATS = {
    "sklearn": Format("model.joblib", as_sklearn),
    "json": Format("model.json", as_json),
    "onnx": Format("model.onnx", as_onnx),
}


def _estimator(mixture: Mixture) -> Any:
    if mixture.noise is not None:
        raise ConfigurationError("scikit-learn and ONNX have no mixture with a noise component: export it as json")
    from sklearn.mixture import GaussianMixture  # as above

    if mixture.structure.layout.n_factors:
        raise ConfigurationError(
            f"scikit-learn and ONNX know no covariance_type {mixture.covariance_type}: export to json, whose "
            "covariances are noise and loadings"
        )

    estimator = GaussianMixture(mixture.n_components, covariance_type=mixture.structure.layout.name)
    estimator.weights_, estimator.means_, estimator.covariances_ = mixture.weights, mixture.means, mixture.covariances
    estimator.precisions_cholesky_ = precisions_cholesky(mixture)
    estimator.precisions_ = precisions(mixture.covariance_type, estimator.precisions_cholesky_)
    estimator.n_features_in_ = mixture.n_features
    return estimator


def _scaler(frame: Frame) -> Any:
    from sklearn.preprocessing import StandardScaler  # as above

    scaler = StandardScaler()
    scaler.mean_, scaler.scale_, scaler.var_ = frame.centre, frame.scale, frame.scale**2
    scaler.n_features_in_ = frame.n_features
    return scaler
