"""A fitted model for other programs: plain JSON, a scikit-learn estimator, an ONNX graph."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ...core.em.fitted_model import Anomaly, Model
from ...core.mixture.frame import Frame
from ...core.mixture.mixture import Mixture
from ...core.mixture.noise import Noise
from ...core.mixture.precisions import precisions, precisions_cholesky
from ...core.mixture.projection import Projection
from ...errors import ConfigurationError
from ...filesystem.location import guard_write, make_directory, resolve_location, write_whole
from ...provenance import installed_version
from ..run.directory import MODEL, RunDirectory
from .model import fingerprint

JSON_FORMAT = 1


def export_model(model: Model, run_dir: str | Path, name: str, output: str | None, *, overwrite: bool = False) -> Path:
    """Write the model in the format of that name to `output`, or else next to the model; return its path.

    Raises ConfigurationError where the file is there already (without `overwrite`) or a package is missing, and
    RunInUseError where a job writes to the run's directory.
    """
    chosen, directory = FORMATS[name], resolve_location(run_dir)
    directory = directory.parent if directory.name == MODEL else directory
    path = directory / chosen.file if output is None else resolve_location(output)
    if path.exists() and not overwrite:
        raise ConfigurationError(f"{path} is there already: give another --output, or --overwrite")
    content = chosen.content(model)
    lock = RunDirectory(directory).hold_lock() if output is None else nullcontext()
    with lock, guard_write(path):
        make_directory(path.parent)
        with write_whole(path) as temporary:
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
    log-density, or null). If the features were reduced, n_features and the parameters are those of principal components
    y = axes^T (x - centre) / scale of d columns, and there is projection (centre, scale and residual d, axes d x p).
    """
    mixture = model.mixture
    document = {
        "daskgmm_kind": "mixture",
        "daskgmm_format": JSON_FORMAT,
        "daskgmm_version": installed_version("daskgmm"),
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
        **({"projection": _lists(model.projection)} if model.projection else {}),
        "summary": asdict(model.summary),
        "anomaly": asdict(model.anomaly) if model.anomaly else None,
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _lists(projection: Projection) -> dict[str, Any]:
    return {one.name: getattr(projection, one.name).tolist() for one in fields(projection)}


def as_sklearn(model: Model) -> bytes:
    """Return a fitted sklearn.mixture.GaussianMixture as joblib writes it, of the type whose array is of that form.

    Covariances of low rank are whole matrices there.
    If the features were reduced, it is the last step of a Pipeline.

    joblib.load reads it with the same scikit-learn. As with each pickle, who loads it runs what is in it: load none
    that others could have changed. daskgmm itself loads none.
    """
    import joblib  # as below

    if model.mixture.noise is not None:
        raise ConfigurationError("scikit-learn has no mixture with a noise component: export it as json or onnx")
    estimator = _estimator(model.mixture.with_whole_matrices())
    summary = model.summary
    estimator.converged_, estimator.n_iter_, estimator.lower_bound_ = (
        summary.converged,
        summary.n_iter,
        summary.log_likelihood,
    )
    steps = [] if model.projection is None else projection_steps(model.projection, model.mixture)
    if model.feature_names:
        first = [*steps, estimator][0]
        first.feature_names_in_ = np.array(model.feature_names, dtype=object)
    from sklearn.pipeline import make_pipeline  # takes a second, for which other jobs have no need

    file = io.BytesIO()
    joblib.dump(make_pipeline(*steps, estimator) if steps else estimator, file)
    return file.getvalue()


def as_onnx(model: Model) -> bytes:
    """Return an ONNX graph: rows in; labels, probabilities, log-densities and anomalies out.

    `rows` (n, d) float64; `label` (n, 1) int64, `probabilities` (n, k) float64, `log_density` (n, 1) float64 in nats,
    and `anomaly` (n, 1) bool if the model has a threshold of anomalies. With noise its label is -1, and its probability
    comes last, (n, k + 1). The graph standardises the rows by the mixture's own mean and deviations first, so that
    large offsets cost no digits.
    """
    try:
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import DoubleTensorType
    except ImportError:
        raise ConfigurationError("ONNX needs skl2onnx: pip install 'daskgmm[onnx]'") from None
    frame = model.mixture.frame
    from sklearn.pipeline import make_pipeline  # takes a second, for which other jobs have no need

    mixture = model.mixture.with_whole_matrices().scale(frame)
    estimator = _estimator(mixture)
    before = [] if model.projection is None else projection_steps(model.projection, model.mixture)
    steps = make_pipeline(*before, _scaler(frame), estimator)
    rows = ("rows", DoubleTensorType([None, model.n_features]))
    with np.errstate(divide="ignore"):  # the logarithm of an empty component's weight
        graph = to_onnx(steps, initial_types=[rows], options={type(estimator): {"score_samples": True}})
    if mixture.noise is not None:
        _add_noise(graph.graph, mixture.noise, mixture.n_components)
    _add_log_density(graph.graph, float(np.log(frame.scale).sum()), model.anomaly)
    for key, value in {"daskgmm_version": installed_version("daskgmm"), "model": fingerprint(model)}.items():
        graph.metadata_props.add(key=key, value=value)
    content: bytes = graph.SerializeToString()
    return content


def _add_noise(graph: Any, noise: Noise, n_components: int) -> None:
    """Replace the outputs of the Gaussians, label, probabilities r and log-density l, by those of a mixture with noise.

    With the weight w of the noise and its volume V

        p = (1 - w) exp(l) + w / V        r_k (1 - w) exp(l) / p        (w / V) / p
    """
    from onnx import TensorProto, helper, numpy_helper  # skl2onnx depends on it

    label, probabilities, density = (one.name for one in graph.output)
    for name in (label, probabilities, density):
        _rename(graph, name, f"gaussian_{name}")
    with np.errstate(divide="ignore"):
        values = {"log_share": np.log1p(-noise.weight), "log_noise": max(noise.log_constant, -1e300), "noise": -1}
    for name, value in {**values, "n_gaussians": n_components}.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Add", [f"gaussian_{density}", "log_share"], "log_gaussians", {}),
        ("Max", ["log_gaussians", "log_noise"], "log_larger", {}),
        ("Sub", ["log_gaussians", "log_larger"], "gaussians_of_larger", {}),
        ("Exp", ["gaussians_of_larger"], "gaussians", {}),
        ("Sub", ["log_noise", "log_larger"], "noise_of_larger", {}),
        ("Exp", ["noise_of_larger"], "noise_part", {}),
        ("Add", ["gaussians", "noise_part"], "total", {}),
        ("Log", ["total"], "log_total", {}),
        ("Add", ["log_larger", "log_total"], density, {}),
        ("Div", ["gaussians", "total"], "share_of_gaussians", {}),
        ("Div", ["noise_part", "total"], "share_of_noise", {}),
        ("Mul", [f"gaussian_{probabilities}", "share_of_gaussians"], "shares_of_gaussians", {}),
        ("Concat", ["shares_of_gaussians", "share_of_noise"], probabilities, {"axis": 1}),
        ("ArgMax", [probabilities], "most_probable", {"axis": 1, "keepdims": 1}),
        ("Equal", ["most_probable", "n_gaussians"], "is_noise", {}),
        ("Where", ["is_noise", "noise", "most_probable"], label, {}),
    ]
    graph.node.extend(helper.make_node(kind, inputs, [name], **options) for kind, inputs, name, options in steps)
    del graph.output[:]
    for name, kind, width in (
        (label, TensorProto.INT64, 1),
        (probabilities, TensorProto.DOUBLE, n_components + 1),
        (density, TensorProto.DOUBLE, 1),
    ):
        graph.output.append(helper.make_tensor_value_info(name, kind, [None, width]))


def _rename(graph: Any, name: str, new: str) -> None:
    """Give a value of an ONNX graph another name."""
    for node in graph.node:
        for names in (node.input, node.output):
            renamed = [new if one == name else one for one in names]
            del names[:]
            names.extend(renamed)


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
    """Return scikit-learn's estimator of the Gaussians, whose weights sum to 1."""
    from sklearn.mixture import GaussianMixture  # as above

    estimator = GaussianMixture(mixture.n_components, covariance_type=mixture.structure.layout.name)
    estimator.weights_, estimator.means_, estimator.covariances_ = mixture.shares, mixture.means, mixture.covariances
    estimator.precisions_cholesky_ = precisions_cholesky(mixture)
    estimator.precisions_ = precisions(mixture.covariance_type, estimator.precisions_cholesky_)
    estimator.n_features_in_ = mixture.n_features
    return estimator


def projection_steps(projection: Projection, mixture: Mixture) -> list[Any]:
    """Return the steps of scikit-learn that project rows as a projection does: a StandardScaler and a PCA."""
    from sklearn.decomposition import PCA  # as above

    pca = PCA(projection.n_features)
    pca.components_, pca.mean_ = projection.axes.T, np.zeros(projection.n_columns)
    pca.explained_variance_ = mixture.frame.scale**2
    pca.n_components_, pca.n_features_in_ = projection.n_features, projection.n_columns
    return [_scaler(Frame(projection.centre, projection.scale)), pca]


def _scaler(frame: Frame) -> Any:
    from sklearn.preprocessing import StandardScaler  # as above

    scaler = StandardScaler()
    scaler.mean_, scaler.scale_, scaler.var_ = frame.centre, frame.scale, frame.scale**2
    scaler.n_features_in_ = frame.n_features
    return scaler
