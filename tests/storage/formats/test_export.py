"""daskgmm export: the model for other programs, which predict the same with it."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from click.testing import CliRunner

import daskgmm
from daskgmm.cli.main import main
from daskgmm.core.em.fitted_model import Anomaly, FitSummary, Model
from daskgmm.core.kernels.natural_parameters import prepare_prediction
from daskgmm.core.mixture.low_rank import LowRankMatrices, low_rank_name
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.scoring.prediction import PredictionOutputs, predict
from daskgmm.errors import ConfigurationError
from daskgmm.storage.formats.export import FORMATS, as_json, as_onnx, as_sklearn, export_model
from daskgmm.storage.formats.model import save_model
from daskgmm.storage.run.directory import EXPORTS
from tests import oracles

SUMMARY = FitSummary(-1.0, 10.0, 1.0, 2.0, 3.0, 4, True, "converged")
NAMES = ("length", "width", "height")


def model_of(covariance_type, offset=0.0, empty=False):
    mixture = Mixture(*oracles.random_parameters(covariance_type, 4, 3, seed=3, spread=1.0))
    weights = mixture.weights.copy()
    if empty:
        weights[2] = 0
    mixture = Mixture(covariance_type, weights / weights.sum(), mixture.means + offset, mixture.covariances)
    return Model(mixture, NAMES, SUMMARY, Anomaly(0.01, -7.5))


def rows_and_prediction(model):
    rows, _ = model.mixture.sample(500, np.random.default_rng(0))
    return rows, predict(rows, None, prepare_prediction(model.mixture), 4, PredictionOutputs(probabilities=True))


def of_onnx(content, rows):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["label", "probabilities"], {"rows": rows})
    return labels[:, 0], probabilities


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_onnxruntime_predicts_the_same(covariance_type, offset):
    pytest.importorskip("skl2onnx")
    model = model_of(covariance_type, offset)
    rows, ours = rows_and_prediction(model)
    labels, probabilities = of_onnx(as_onnx(model), rows)
    np.testing.assert_array_equal(labels, ours.labels)
    np.testing.assert_allclose(probabilities, ours.probabilities, atol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_onnxruntime_gives_log_densities_in_units_of_the_rows_and_anomalies(covariance_type, offset):
    pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = model_of(covariance_type, offset)
    scaled = Mixture(covariance_type, model.mixture.weights, 3 * model.mixture.means, 9 * model.mixture.covariances)
    model = replace(model, mixture=scaled)
    rows, _ = scaled.sample(300, np.random.default_rng(0))
    outputs = PredictionOutputs(log_density=True)
    ours = predict(rows, None, prepare_prediction(scaled), 4, outputs).log_density
    model = replace(model, anomaly=Anomaly(0.1, float(np.quantile(ours, 0.1))))
    session = onnxruntime.InferenceSession(as_onnx(model), providers=["CPUExecutionProvider"])
    density, anomaly = session.run(["log_density", "anomaly"], {"rows": rows})
    np.testing.assert_allclose(density[:, 0], ours, atol=1e-5)
    far = abs(ours - model.anomaly.threshold) > 1e-4
    np.testing.assert_array_equal(anomaly[far, 0], (ours < model.anomaly.threshold)[far])
    without = onnxruntime.InferenceSession(as_onnx(replace(model, anomaly=None)), providers=["CPUExecutionProvider"])
    assert [one.name for one in without.get_outputs()] == ["label", "probabilities", "log_density"]


def test_an_empty_component_stays_empty_in_onnx():
    pytest.importorskip("skl2onnx")
    model = model_of("full", empty=True)
    rows, ours = rows_and_prediction(model)
    labels, probabilities = of_onnx(as_onnx(model), rows)
    np.testing.assert_array_equal(labels, ours.labels)
    np.testing.assert_array_equal(probabilities[:, 2], 0)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_scikit_learn_predicts_the_same(covariance_type, tmp_path):
    model = model_of(covariance_type)
    rows, ours = rows_and_prediction(model)
    (tmp_path / "model.joblib").write_bytes(as_sklearn(model))
    estimator = joblib.load(tmp_path / "model.joblib")
    del estimator.feature_names_in_  # else it warns of rows without names
    np.testing.assert_array_equal(estimator.predict(rows), ours.labels)
    np.testing.assert_allclose(estimator.predict_proba(rows), ours.probabilities, atol=1e-9)
    assert (estimator.n_iter_, estimator.converged_, estimator.lower_bound_) == (4, True, -1.0)


@pytest.mark.parametrize("form", ["onnx", "sklearn"])
def test_covariances_of_low_rank_are_whole_matrices_elsewhere(form, tmp_path):
    rng = np.random.default_rng(0)
    matrices = LowRankMatrices(rng.uniform(0.1, 1, (4, 3)), rng.normal(size=(4, 3, 1)))
    mixture = Mixture(low_rank_name(1, "own"), np.full(4, 0.25), 9 * rng.normal(size=(4, 3)), matrices.values)
    model = replace(model_of("full"), mixture=mixture)
    rows, ours = rows_and_prediction(model)
    if form == "onnx":
        pytest.importorskip("skl2onnx")
        labels, probabilities = of_onnx(as_onnx(model), rows)
    else:
        (tmp_path / "model.joblib").write_bytes(as_sklearn(model))
        estimator = joblib.load(tmp_path / "model.joblib")
        del estimator.feature_names_in_
        labels, probabilities = estimator.predict(rows), estimator.predict_proba(rows)
    np.testing.assert_array_equal(labels, ours.labels)
    np.testing.assert_allclose(probabilities, ours.probabilities, atol=1e-5)


def test_the_scikit_learn_estimator_knows_the_names_of_its_features(tmp_path):
    (tmp_path / "model.joblib").write_bytes(as_sklearn(model_of("diag")))
    assert tuple(joblib.load(tmp_path / "model.joblib").feature_names_in_) == NAMES


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_json_holds_the_parameters_to_the_last_bit(covariance_type):
    model = model_of(covariance_type)
    document = json.loads(as_json(model))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(np.array(document[name]), getattr(model.mixture, name))
    assert document["feature_names"] == list(NAMES)
    assert (document["n_components"], document["n_features"], document["n_parameters"]) == (
        4,
        3,
        model.mixture.n_parameters,
    )
    assert document["summary"]["bic"] == 2.0
    assert document["anomaly"] == {"quantile": 0.01, "threshold": -7.5}


def test_json_documents_each_of_its_keys():
    words = set(re.findall(r"\w+", as_json.__doc__))
    document = json.loads(as_json(model_of("full")))
    assert {*document, *document["summary"], *document["anomaly"]} <= words


@pytest.mark.parametrize("name", FORMATS)
def test_the_command_writes_beside_the_model_and_replaces_nothing_unasked(tmp_path, name):
    if name == "onnx":
        pytest.importorskip("skl2onnx")
    save_model(model_of("diag"), tmp_path / "run" / "model.zarr")
    command = ["export", str(tmp_path / "run"), "--format", name]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    path = Path(done.output.strip())
    assert path.parent == tmp_path / "run"
    assert path.name in EXPORTS  # so that a later fit there removes it
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    assert CliRunner().invoke(main, [*command, "--overwrite"]).exit_code == 0
    assert CliRunner().invoke(main, [*command, "--output", str(tmp_path / "new" / "file")]).exit_code == 0
    assert (tmp_path / "new" / "file").stat().st_size == path.stat().st_size


def test_a_model_and_a_url_are_exported_too(tmp_path):
    save_model(model_of("diag"), tmp_path / "run" / "model.zarr")
    beside = export_model(model_of("diag"), str(tmp_path / "run" / "model.zarr"), "json", None)
    assert beside == tmp_path / "run" / "model.json"
    there = export_model(model_of("diag"), tmp_path, "json", "memory://exports/model.json")
    assert there.read_bytes() == beside.read_bytes()


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'daskgmm\[onnx\]'"):
        as_onnx(model_of("full"))


def test_nothing_of_the_package_unpickles_but_its_own_compiled_code():
    loading = re.compile(r"joblib\.load|pickle\.loads?\(|allow_pickle=True")
    sources = Path(daskgmm.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if loading.search(_code(path.read_text()))] == ["numba_internals.py"]


def _code(source):
    return re.sub(r'"""[\s\S]*?"""', "", source)


def test_the_scikit_learn_file_opens_without_this_package(tmp_path):
    (tmp_path / "model.joblib").write_bytes(as_sklearn(model_of("full")))
    program = "import joblib, sys; print(joblib.load(sys.argv[1]).means_.shape, 'daskgmm' in sys.modules)"
    command = [sys.executable, "-c", program, str(tmp_path / "model.joblib")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "(4, 3) False"
