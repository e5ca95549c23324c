"""output.mlflow and output.performance_report: what others keep of a job."""

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from daskgmm import load_model
from daskgmm.cli.main import main
from daskgmm.config import load_config
from daskgmm.errors import ConfigurationError
from daskgmm.events import Notice
from daskgmm.jobs.fit import fit
from daskgmm.observers import mlflow
from daskgmm.storage.formats.provenance import load_record

needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow-skinny is not installed")
needs_bokeh = pytest.mark.skipif(importlib.util.find_spec("bokeh") is None, reason="bokeh is not installed")


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A directory with rows.npy and job.yaml, as the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    rng = np.random.default_rng(0)
    np.save("rows.npy", np.concatenate([rng.standard_normal((300, 3)), rng.standard_normal((300, 3)) + 8]))
    (tmp_path / "job.yaml").write_text(
        "data: {path: rows.npy}\nmodel: {n_components: 2}\noutput: {directory: run, report: false}\n"
    )
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result


def kept(store):
    """Return the client of a store and the runs in it, the newest first."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=store if ":" in store else Path(store).absolute().as_uri())
    experiment = client.get_experiment_by_name("daskgmm")
    return client, client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])


@pytest.fixture
def no_database(monkeypatch):
    """MLflow's skinny package, as if alone."""
    find = importlib.util.find_spec
    monkeypatch.setattr(mlflow, "find_spec", lambda name: None if name == "alembic" else find(name))


@needs_mlflow
@pytest.mark.skipif(importlib.util.find_spec("alembic") is None, reason="mlflow is not installed, mlflow-skinny is")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of MLflow's use of SQLAlchemy
def test_a_run_is_kept_where_mlflow_ui_looks_for_it(job):
    run("fit", "job.yaml", "output.mlflow=true", "output.report=true")
    client, (found,) = kept("sqlite:///mlflow.db")
    assert found.data.metrics["converged"] == 1.0
    assert found.inputs.dataset_inputs[0].dataset.name == "rows.npy"
    assert "report.html" in {one.path for one in client.list_artifacts(found.info.run_id)}


@pytest.mark.slow
@needs_mlflow
def test_a_file_store_holds_parameters_iterations_criteria_data_and_the_model(job, no_database):
    before = {name for name in os.environ if name.startswith("MLFLOW")}
    assert "mlflow ui --backend-store-uri" in run("fit", "job.yaml", "output.mlflow=true", "output.report=true").output
    assert {name for name in os.environ if name.startswith("MLFLOW")} == before
    client, (found,) = kept("mlruns")
    summary = load_model("run").summary
    assert found.info.status == "FINISHED"
    assert found.data.params["model.n_components"] == "2"
    assert found.data.params["fit.tol"] == "0.0001"
    assert found.data.metrics["bic"] == summary.bic
    history = client.get_metric_history(found.info.run_id, "mean_log_likelihood")
    records = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [(one.step, one.value) for one in history] == [(one["iteration"], one["log_likelihood"]) for one in records]
    assert {one.path for one in client.list_artifacts(found.info.run_id)} == {
        "config.yaml",
        "model.json",
        "report.html",
    }
    assert found.data.metrics["n_iter"] == summary.n_iter
    assert found.data.metrics["converged"] == summary.converged
    assert found.data.tags["daskgmm.data"] == "rows.npy"
    (data,) = found.inputs.dataset_inputs
    record = load_record(Path("run/record.zarr"))
    assert (data.dataset.name, data.dataset.digest) == ("rows.npy", record.beginning.fingerprint)
    assert json.loads(data.dataset.profile)["num_rows"] == 600
    document = json.loads(Path(client.download_artifacts(found.info.run_id, "model.json", str(job))).read_text())
    np.testing.assert_array_equal(document["means"], load_model("run").mixture.means)


@needs_mlflow
def test_a_prediction_is_kept_as_one(job, no_database):
    run("fit", "job.yaml")
    run("predict", "run", "output.mlflow=true")
    _, (found,) = kept("mlruns")
    assert found.data.tags["daskgmm.job"] == "prediction"
    assert found.info.status == "FINISHED"


@needs_mlflow
def test_the_environment_says_where(job, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (job / "elsewhere").as_uri())
    run("fit", "job.yaml", "output.mlflow=true")
    assert len(kept("elsewhere")[1]) == 1
    assert not (job / "mlruns").exists()


@needs_mlflow
def test_a_fit_that_fails_is_kept_as_failed(job, no_database):
    np.save("weights.npy", np.ones(600))  # of which it is known later how many are positive
    run("fit", "job.yaml", "output.mlflow=true", "model.n_components=601", "data.weights=weights.npy", code=3)
    _, (found,) = kept("mlruns")
    assert found.info.status == "FAILED"


@needs_mlflow
def test_a_server_that_does_not_answer_costs_a_notice_and_not_the_fit(job, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://someone:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    heard = []
    fit(load_config("job.yaml", ["output.mlflow=true"]), heard.append)
    notices = [event.message for event in heard if isinstance(event, Notice)]
    assert len([one for one in notices if one.startswith("MLflow records nothing more of this job")]) == 1
    assert "secret" not in " ".join(notices)
    assert load_model("run").summary.converged


def test_a_missing_mlflow_is_named_with_the_remedy(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'daskgmm\[mlflow\]'"):
        fit(load_config("job.yaml", ["output.mlflow=true"]))
    assert not (job / "run").exists()


def test_threads_have_no_performance_report(job):
    refused = run("fit", "job.yaml", "output.performance_report=true", code=2)
    assert "cluster.kind is threads" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


LOCAL = ("cluster.kind=local", "cluster.n_workers=1", "output.performance_report=true")


@pytest.mark.slow
@needs_bokeh
def test_the_performance_report_lies_in_the_run_directory_and_goes_with_it(job):
    run("fit", "job.yaml", *LOCAL)
    page = (job / "run" / "performance.html").read_text()
    assert "Dask Performance Report" in page
    assert not re.findall(r"""<(?:script|link rel="stylesheet")[^>]*(?:src|href)=["']https?:""", page)
    run("fit", "job.yaml", "--overwrite")
    assert not (job / "run" / "performance.html").exists()


@needs_bokeh
def test_a_fit_that_fails_leaves_no_performance_report(job):
    run("fit", "job.yaml", *LOCAL, "model.n_components=601", code=3)
    assert not (job / "run").exists()


def test_a_scheduler_without_bokeh_is_refused_before_any_work(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh", None)  # the scheduler of a local cluster is in this process
    refused = run("fit", "job.yaml", *LOCAL, code=2)
    assert "pip install 'daskgmm[dashboard]'" in refused.stderr
    assert not (job / "run").exists()
