"""What jobs write of each row, end to end: kinds of results, interruption and going on, stores that refuse."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
import zarr

from daskgmm.storage.formats.model import fingerprint, load_model
from tests.cli.test_commands import refused, run

RNG = np.random.default_rng(0)
CHUNKED = ("compute.chunk_bytes=2400",)  # 100 rows of 3 float64


def result(path, name=None):
    return zarr.open_array(f"{path}.zarr", path=name or path.rsplit("/", 1)[-1])[...]


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A directory with rows.npy (1,000 x 3 in two clusters) and job.yaml, as the working directory."""
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.concatenate([RNG.standard_normal((500, 3)), RNG.standard_normal((500, 3)) + 8]))
    (tmp_path / "job.yaml").write_text(
        "data: {path: rows.npy}\nmodel: {n_components: 2}\noutput: {directory: run, report: false}\n"
    )
    return tmp_path


def test_the_rows_of_lowest_density_are_flagged(job):
    run("fit", "job.yaml", "output.anomaly_quantile=0.02", "output.log_density=true", *CHUNKED)
    anomaly, density = result("run/anomaly"), result("run/log_density")
    assert anomaly.dtype == bool
    assert anomaly.sum() == 20
    assert density[anomaly].max() < density[~anomaly].min()
    assert load_model("run").anomaly.quantile == 0.02


def test_new_rows_are_judged_by_the_threshold_of_the_fit(job):
    run("fit", "job.yaml", "output.anomaly_quantile=0.02")
    np.save("far.npy", np.full((10, 3), 50.0))
    run("predict", "run", "data.path=far.npy")
    assert result("run/predictions/anomaly").all()
    out = run("predict", "run", "data.path=far.npy", "output.anomaly_quantile=0.1", "output.directory=other").output
    assert "the 0.1 quantile of the log-density of 10 rows" in out


def test_the_most_probable_components_only(job):
    run("fit", "job.yaml", "model.n_components=5", "output.top_m=2")
    group = zarr.open_group("run/probabilities.zarr")
    assert group["probabilities"].shape == (1000, 2)
    assert group["probabilities"].dtype == np.float32
    np.testing.assert_array_equal(group["components"][:, 0], result("run/labels"))
    assert (np.diff(group["probabilities"][...], axis=1) <= 0).all()


def test_results_name_their_model_configuration_and_version(job):
    run("fit", "job.yaml", "data.weights=null")
    attributes = dict(zarr.open_group("run/labels.zarr").attrs)
    assert attributes["model"] == fingerprint(load_model("run"))
    assert yaml.safe_load(attributes["configuration"])["model"]["n_components"] == 2
    assert attributes["daskgmm_version"]
    assert attributes["source"] == "rows.npy"


def interrupted_prediction(job, bad_row=650):
    """Fit, then predict rows of which one chunk cannot be scored, one chunk after the other."""
    run("fit", "job.yaml", *CHUNKED)
    rows = np.load("rows.npy")
    spoilt = rows.copy()
    spoilt[bad_row, 1] = np.nan
    np.save("new.npy", spoilt)
    one_by_one = ("predict", "run", "data.path=new.npy", "cluster.n_workers=1", "output.log_density=true")
    assert f"row {bad_row}, column 1 of new.npy is nan" in refused(*one_by_one, code=3)
    np.save("new.npy", rows)
    return one_by_one


def test_an_interrupted_prediction_goes_on_with_what_is_missing(job):
    again = interrupted_prediction(job)
    done = sorted((job / "run/predictions/.unfinished/done").iterdir())
    assert done
    before = {one: one.stat().st_mtime_ns for one in (job / "run/predictions/.unfinished/labels.zarr").rglob("c/*")}
    out = run(*again, "--resume").output
    assert f"{len(done)} chunks of results were finished before" in out
    np.testing.assert_array_equal(result("run/predictions/labels"), result("run/labels"))
    assert np.isfinite(result("run/predictions/log_density")).all()
    kept = [
        one for one, stamp in before.items()
        if (job / "run/predictions/labels.zarr" / one.relative_to(job / "run/predictions/.unfinished/labels.zarr"))
        .stat().st_mtime_ns == stamp
    ]  # fmt: skip
    assert len(kept) >= len(done)
    assert not (job / "run/predictions/.unfinished").exists()


def test_unfinished_results_are_neither_dropped_nor_mixed_unasked(job):
    again = interrupted_prediction(job)
    assert "holds unfinished results: give --resume" in refused(*again, code=2)
    assert "its results was" in refused(*again, "--resume", "output.probabilities=true", code=2)
    run("fit", "job.yaml", "--overwrite", "fit.random_state=5", "model.n_components=3", *CHUNKED)
    assert "its model was" in refused(*again, "--resume", code=2)
    run(*again, "--overwrite")
    assert result("run/predictions/labels").max() == 2


def test_a_prediction_that_is_another_one_starts_anew_with_overwrite(job):
    again = interrupted_prediction(job)
    run(*again, "output.probabilities=true", "--resume", "--overwrite")
    assert result("run/predictions/probabilities").shape[1] == 2
    np.testing.assert_array_equal(result("run/predictions/labels"), result("run/labels"))


def test_nothing_to_resume_is_a_fresh_start(job):
    run("fit", "job.yaml")
    run("predict", "run", "--resume")
    np.testing.assert_array_equal(result("run/predictions/labels"), result("run/labels"))
    assert "already holds a run" in refused("predict", "run", "--resume", code=2)


@pytest.mark.slow
def test_a_prediction_that_is_killed_goes_on(job):
    rows = np.tile(np.load("rows.npy"), (1000, 1))
    np.save("many.npy", rows)
    run("fit", "job.yaml")
    command = ["predict", "run", "data.path=many.npy", "compute.chunk_bytes=120000", "output.top_m=2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "daskgmm", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    manifest = job / "run/predictions/.unfinished/done"
    try:
        while process.poll() is None and not (manifest.exists() and len(list(manifest.iterdir())) > 5):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert len(list(manifest.iterdir())) < 200
    run(*command, "--resume")
    np.testing.assert_array_equal(result("run/predictions/labels"), np.tile(result("run/labels"), 1000))


def test_rows_of_weight_0_are_left_out_of_fit_and_labels(job):
    rows = np.load("rows.npy")
    rows[7] = np.nan
    np.save("rows.npy", rows)
    np.save("w.npy", np.where(np.arange(1000) == 7, 0.0, 1.0))
    run("fit", "job.yaml", "data.weights=w.npy", "output.log_density=true")
    assert result("run/labels")[7] == -2
    assert np.flatnonzero(np.isnan(result("run/log_density"))).tolist() == [7]


def test_a_full_disk_is_said_in_a_line_and_the_earlier_run_is_untouched(job, small_disk):
    run("fit", "job.yaml", "output.directory=disk/run")
    before = {one: one.read_bytes() for one in (small_disk / "run").rglob("*") if one.is_file()}
    np.save("big.npy", np.random.default_rng(1).standard_normal((400_000, 3)))
    message = refused(
        "fit", "job.yaml", "--overwrite", "output.directory=disk/run", "data.path=big.npy", "output.log_density=true",
        code=3,
    )  # fmt: skip
    assert "No space left on device" in message
    assert "earlier results are untouched" in message
    left = [one for one in (small_disk / "run").rglob("*") if ".unfinished" not in one.parts]
    assert {one: one.read_bytes() for one in left if one.is_file()} == before


@pytest.mark.slow
def test_a_run_may_live_in_an_object_store(job):
    run("fit", "job.yaml", "output.directory=memory://bucket/run", "output.anomaly_quantile=0.1", *CHUNKED)
    model = load_model("memory://bucket/run")
    assert model.summary.converged
    run("predict", "memory://bucket/run")
    labels = zarr.open_array("memory://bucket/run/predictions/labels.zarr", path="labels")[...]
    assert sorted(np.bincount(labels)) == [500, 500]
    assert "already holds a run" in refused("fit", "job.yaml", "output.directory=memory://bucket/run", code=2)
    run("fit", "job.yaml", "output.directory=memory://bucket/run", "--overwrite", "model.n_components=3")
    assert load_model("memory://bucket/run").mixture.n_components == 3


def test_no_secret_of_the_storage_options_is_written(job):
    secrets = (
        "output.directory=memory://secrets/run",
        "output.storage_options.key=AKIA-VERY",
        "output.storage_options.client_kwargs={endpoint_url: 'http://127.0.0.1:1', aws_secret: HIDDEN}",
    )
    shown = run("config", "show", "job.yaml", *secrets).output
    assert "AKIA" not in shown
    assert "HIDDEN" not in shown
    assert yaml.safe_load(shown)["output"]["storage_options"] == {
        "client_kwargs": {"endpoint_url": "http://127.0.0.1:1"}
    }


@pytest.mark.parametrize("change", ["data.mask=nan", "data.path=other.npy"])
def test_another_prediction_is_not_gone_on_with(job, change):
    again = interrupted_prediction(job)
    np.save("other.npy", np.load("rows.npy"))
    key = change.partition("=")[0]
    assert f"its {key} was" in refused(*again, change, "--resume", code=2)
    run(*again, "--resume")
    assert not (job / "run/predictions/.unfinished").exists()


@pytest.mark.slow
def test_an_earlier_run_stays_until_the_new_one_is_whole(job):
    """A fit that is killed leaves the earlier run as it was, and the next fit is not disturbed by what it left."""
    run("fit", "job.yaml")
    before = load_model("run").summary
    slow = ("data.path=sample:synthetic", "data.synthetic.n_samples=5e6", "compute.persist=false")
    command = [sys.executable, "-m", "daskgmm", "fit", "job.yaml", "--overwrite", "fit.sample_size=1000", *slow]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if line.startswith("fit:"):
                break
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert load_model("run").summary == before
    assert "already holds a run" in refused("fit", "job.yaml", code=2)
    run("fit", "job.yaml", "--overwrite", "model.n_components=3")
    assert load_model("run").mixture.n_components == 3
    assert [one.name for one in (job / "run").iterdir() if one.name.startswith(".")] == [".manifest"]


def test_a_prediction_over_an_earlier_one_goes_on_with_resume_alone(job):
    run("fit", "job.yaml", *CHUNKED)
    run("predict", "run", "output.log_density=true")
    rows = np.load("rows.npy")
    rows[650, 1] = np.nan
    np.save("new.npy", rows)
    again = ("predict", "run", "data.path=new.npy", "cluster.n_workers=1")
    refused(*again, "--overwrite", code=3)
    np.save("new.npy", np.load("rows.npy"))
    run(*again, "--resume")
    assert not (job / "run/predictions/log_density.zarr").exists()
