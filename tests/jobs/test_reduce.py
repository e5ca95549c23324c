"""Jobs on principal components: fit, predict, resume, sweep, report and exports take the original columns."""

from __future__ import annotations

import io
import json

import joblib
import numpy as np
import pytest

from daskgmm import load_model
from daskgmm.config import parse_config
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.jobs.dry_run import describe_fit
from daskgmm.jobs.fit import fit, predict
from daskgmm.jobs.select import select
from daskgmm.storage.formats.export import FORMATS
from daskgmm.storage.formats.results_zarr import read_result
from daskgmm.storage.run.checkpoint import Checkpoint, from_bytes, to_bytes

D, K, P = 10, 3, 3


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(K, P))[rng.integers(K, size=900)] * 5 + rng.normal(size=(900, P))
    return (points @ rng.normal(size=(P, D)) + 0.2 * rng.normal(size=(900, D))) * np.logspace(-2, 2, D) + 50


@pytest.fixture(scope="module")
def path(rows, tmp_path_factory):
    where = tmp_path_factory.mktemp("data") / "rows.npy"
    np.save(where, rows)
    return where


def config(path, directory, *overrides):
    text = f"data: {{path: {path}}}\nmodel: {{n_components: {K}, reduce: {{features: {P}}}}}\n"
    return parse_config(text, [f"output.directory={directory}", *overrides])


@pytest.fixture(scope="module")
def run(path, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    fit(config(path, directory, "output.log_density=true"))
    return directory


def test_a_job_labels_the_original_columns_as_python_does(rows, run, path, tmp_path):
    model = load_model(run)
    np.testing.assert_array_equal(read_result(run, "labels"), model.predict(rows))
    np.testing.assert_allclose(read_result(run, "log_density"), model.score_samples(rows), rtol=1e-9)
    predict(config(path, tmp_path / "again"), model)
    np.testing.assert_array_equal(read_result(tmp_path / "again", "labels"), read_result(run, "labels"))
    np.testing.assert_allclose(model.mixture.weights @ model.marginals.means, rows.mean(axis=0), rtol=1e-6)


def test_the_report_shows_features_and_says_that_criteria_are_of_the_projection(run):
    text = (run / "report.html").read_text()
    assert "reduced to 3 principal components" in text
    assert "x9" in text
    assert "criteria and separations are of the projection" in text
    assert "mapped back from the principal components" in text
    assert "The principal components, two by two, with" in text


def test_exports_take_the_original_columns(rows, run):
    model = load_model(run)
    document = json.loads(FORMATS["json"].content(model))
    assert np.shape(document["projection"]["axes"]) == (D, P)
    pipeline = joblib.load(io.BytesIO(FORMATS["sklearn"].content(model)))
    np.testing.assert_allclose(pipeline.score_samples(rows), model.score_samples(rows), rtol=1e-9)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(FORMATS["onnx"].content(model))
    label, _, density = session.run(None, {"rows": rows})
    np.testing.assert_array_equal(label.ravel(), model.predict(rows))
    np.testing.assert_allclose(density.ravel(), model.score_samples(rows), rtol=1e-8)


def test_checkpoints_hold_the_projection(run):
    projection = load_model(run).projection
    again = from_bytes(to_bytes(Checkpoint({}, projection=projection)), run).projection
    for name in ("centre", "scale", "axes", "residual"):
        np.testing.assert_array_equal(getattr(again, name), getattr(projection, name))


@pytest.mark.slow
def test_a_fit_that_is_continued_keeps_its_projection(run, path, tmp_path):
    fit(config(path, tmp_path / "run", "fit.max_iter=1", "fit.tol=0", "model.n_components=6"))
    before = load_model(tmp_path / "run").projection
    model = fit(config(path, tmp_path / "run", "fit.max_iter=3", "fit.tol=0", "model.n_components=6"), resume=True)
    assert model.summary.n_iter == 3
    np.testing.assert_array_equal(model.projection.axes, before.axes)
    started = fit(config(path, tmp_path / "other", f"fit.start={run}"))
    np.testing.assert_array_equal(started.projection.axes, load_model(run).projection.axes)
    with pytest.raises(ConfigurationError, match="principal components 3 there and 2 here"):
        fit(config(path, tmp_path / "third", f"fit.start={run}", "model.reduce.features=2"))
    with pytest.raises(ConfigurationError, match="principal components 3 there and None here"):
        fit(config(path, tmp_path / "fourth", f"fit.start={run}", "model.reduce=null"))


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_to_the_same_bits(run, path, tmp_path):
    class StopError(Exception):
        pass

    def stop(event):
        if type(event).__name__ == "Iteration":
            raise StopError

    with pytest.raises(StopError):
        fit(config(path, tmp_path / "run", "output.log_density=true"), stop)
    told = []
    model = fit(config(path, tmp_path / "run", "output.log_density=true"), told.append, resume=True)
    np.testing.assert_array_equal(model.mixture.means, load_model(run).mixture.means)
    assert not [one for one in told if getattr(one, "name", "") == "reduce"]


@pytest.mark.slow
def test_a_sweep_compares_candidates_of_one_projection(path, tmp_path):
    model, table = select(config(path, tmp_path / "sweep", "select.n_components=[2, 3]"))
    assert model.projection.n_features == P
    assert len(table.rows) == 8


def test_masks_and_weights_count_before_the_projection(rows, tmp_path):
    spoilt = np.vstack([rows, np.full((1, D), -999.0), rows[:1]])
    spoilt[-1, 4] = -999.0
    np.save(tmp_path / "rows.npy", spoilt)
    model = fit(config(tmp_path / "rows.npy", tmp_path / "run", "data.mask=-999"))
    assert model.summary.weight_sum == 900
    labels = read_result(tmp_path / "run", "labels")
    assert (labels[-2:] == -2).all()


def test_dry_run_and_refusals(path, run, tmp_path, rows):
    assert "reduced to 3 principal components" in describe_fit(config(path, tmp_path))
    assert "at most 10 principal" in describe_fit(config(path, tmp_path, "model.reduce={variance: 0.9}"))
    for override, message in {
        "data.missing=marginal": "data.missing is marginal: missing values cannot be projected",
        "fit.inference=map": "fit.inference is map, but model.reduce",
        "model.reduce={}": "model.reduce takes one of features and variance",
    }.items():
        with pytest.raises(ConfigurationError, match=message):
            fit(config(path, tmp_path / "refused", override))
    with pytest.raises(ConfigurationError, match="one of principal components"):
        predict(config(path, tmp_path / "given", "data.given=[x0]"), load_model(run))
    np.save(tmp_path / "narrow.npy", rows[:, :4])
    with pytest.raises(DataError, match="the data have 4 features, but the model was fitted on 10"):
        predict(config(tmp_path / "narrow.npy", tmp_path / "narrow"), load_model(run))
