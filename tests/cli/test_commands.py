import json
import subprocess
import sys

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from PIL import Image

from daskgmm.cli.main import main
from daskgmm.storage.formats.model import load_model

RNG = np.random.default_rng(0)


@pytest.fixture
def rows():
    return np.concatenate([RNG.standard_normal((300, 3)), RNG.standard_normal((300, 3)) + 8])


@pytest.fixture
def job(tmp_path, rows, monkeypatch):
    """A directory with rows.npy and job.yaml, as the working directory."""
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", rows)
    (tmp_path / "job.yaml").write_text(
        "data: {path: rows.npy}\nmodel: {n_components: 2}\noutput: {directory: run, report: false}\n"
    )
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result


def refused(*arguments, code):
    """Run what must fail; return its one line of stderr."""
    line = run(*arguments, code=code).stderr.strip()
    assert line.startswith("daskgmm: ")
    assert "\n" not in line
    return line


def test_a_fit_leaves_the_run_directory_of_the_design(job):
    out = run("fit", "job.yaml", "output.probabilities=true", "output.log_density=true", "output.report=true").output
    assert "iteration   1  log-likelihood" in out
    names = {path.name for path in (job / "run").iterdir()}
    assert names == {
        "config.yaml", "model.zarr", "labels.zarr", "probabilities.zarr", "log_density.zarr", "metrics.jsonl",
        "record.zarr", "report.html", "history.json", ".manifest",
    }  # fmt: skip
    labels = zarr.open_array("run/labels.zarr", path="labels")[...]
    assert sorted(np.bincount(labels)) == [300, 300]
    probabilities = zarr.open_array("run/probabilities.zarr", path="probabilities")[...]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), labels)
    density = zarr.open_array("run/log_density.zarr", path="log_density")[...]
    assert density.mean() == pytest.approx(load_model("run").summary.log_likelihood, rel=1e-12)


def test_metrics_have_one_record_for_each_iteration(job):
    run("fit", "job.yaml")
    records = [json.loads(line) for line in (job / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [one["iteration"] for one in records] == list(range(1, len(records) + 1))
    assert records[0]["gain"] is None
    assert all(one["seconds"] > 0 and one["rows_per_second"] > 0 for one in records)
    assert records[-1]["log_likelihood"] == load_model("run").summary.log_likelihood


def test_the_resolved_configuration_repeats_the_run(job):
    run("fit", "job.yaml", "fit.random_state=3")
    run("fit", "run/config.yaml", "output.directory=again")
    first, again = load_model("run").mixture, load_model("again").mixture
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


@pytest.mark.slow
def test_threads_and_local_processes_give_the_same_bits(job):
    run("fit", "job.yaml")
    run("fit", "job.yaml", "cluster.kind=local", "cluster.n_workers=2", "output.directory=local")
    threads, local = load_model("run").mixture, load_model("local").mixture
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(threads, name), getattr(local, name))


def test_an_image_comes_back_as_an_image(job):
    pixels = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("picture.png")
    run("fit", "job.yaml", "data.path=picture.png")
    assert zarr.open_array("run/labels.zarr", path="labels").shape == (20, 30)
    with Image.open("run/segmentation.png") as picture:
        assert picture.size == (72, 20)


def test_a_dry_run_writes_nothing_and_says_what_it_would_take(job):
    before = sorted(job.iterdir())
    out = run("fit", "job.yaml", "--dry-run").output
    assert sorted(job.iterdir()) == before
    for shown in (
        "n_components: 2",
        "covariance_type: full",
        "rows:           600 = 600",
        "chunks:",
        "tasks:",
        "memory:",
    ):
        assert shown in out


def test_a_dry_run_counts_the_probabilities(job):
    def memory(*overrides):
        out = run(
            "fit", "job.yaml", "--dry-run", "compute.chunk_bytes=1048576", "model.n_components=200", *overrides
        ).output
        return float(next(line for line in out.splitlines() if line.startswith("memory:")).split()[1])

    probabilities = 600 * 200 * (8 + 2 * 4) / 2**20  # as computed; in float32, and as that is written
    assert memory("output.probabilities=true") - memory() == pytest.approx(probabilities, abs=0.1)


def test_predict_scores_other_data(job, rows):
    run("fit", "job.yaml")
    np.save("other.npy", rows[::2])
    run("predict", "run", "data.path=other.npy")
    labels = zarr.open_array("run/labels.zarr", path="labels")[...]
    predicted = zarr.open_array("run/predictions/labels.zarr", path="labels")[...]
    np.testing.assert_array_equal(predicted, labels[::2])


def test_inspect_prints_the_components(job):
    run("fit", "job.yaml")
    out = run("inspect", "run").output
    assert "2 components, full covariance, 3 features, 19 parameters" in out
    assert "converged" in out


def test_config_show_fills_in_the_defaults_and_schema_is_json(job):
    assert "reg_covar: 1.0e-12" in run("config", "show", "job.yaml").output
    assert "properties" in json.loads(run("config", "schema").output)


def test_a_run_is_not_overwritten_unasked(job):
    run("fit", "job.yaml")
    assert "already holds a run" in refused("fit", "job.yaml", code=2)
    run("fit", "job.yaml", "--overwrite", "model.n_components=3")
    assert load_model("run").mixture.n_components == 3


def test_max_iter_is_said_on_stderr_and_fails_under_strict(job):
    too_short = ("fit", "job.yaml", "model.n_components=4", "fit.sample_size=50", "fit.max_iter=1")
    assert "stopped at max_iter" in run(*too_short).stderr
    run(*too_short, "--overwrite", "--strict", code=4)


def test_quiet_prints_nothing(job):
    assert run("fit", "job.yaml", "--quiet").output == ""


def spoil_nan(rows):
    rows[412, 1] = np.nan
    rows[500, 2] = np.inf


def spoil_weights(rows):
    np.save("w.npy", np.where(np.arange(len(rows)) == 7, -1.0, 1.0))


def spoil_text_weights(rows):
    np.save("w.npy", np.full(len(rows), "a"))


def spoil_huge(rows):
    rows *= 1e300


def spoil_constant(rows):
    rows[:, 2] = 5.0


def spoil_copy(rows):
    rows[:, 2] = 3 * rows[:, 0] - 1


@pytest.mark.parametrize(
    ("spoil", "overrides", "message"),
    [
        (spoil_nan, (), "2 values are not finite, the first in row 412, column 1"),
        (spoil_weights, ("data.weights=w.npy",), "1 row weights are negative or not finite, the first (-1.0) of row 7"),
        (spoil_constant, ("model.reg_covar=0",), "column 2 is constant and model.reg_covar is 0"),
        (spoil_copy, ("model.reg_covar=0",), "is not positive definite"),
        (spoil_huge, (), "deviations must be 1e-140 to 1e+140 for their squares to be numbers, so rescale the column"),
        (spoil_text_weights, ("data.weights=w.npy",), "'w.npy' holds <U1, not numbers"),
        (None, ("model.n_components=601",), "600 rows of positive weight cannot be split into 601 components"),
        (None, ("data.path=nowhere.npy",), "'nowhere.npy' does not exist"),
    ],
)
def test_bad_data_exit_with_3_and_leave_nothing(job, rows, spoil, overrides, message):
    if spoil:
        spoil(rows)
        np.save("rows.npy", rows)
    assert message in refused("fit", "job.yaml", *overrides, code=3)
    assert not (job / "run").exists()


@pytest.mark.parametrize("spoil", [spoil_constant, spoil_copy])
def test_degenerate_columns_work_with_reg_covar_and_are_told(job, rows, spoil):
    spoil(rows)
    np.save("rows.npy", rows)
    assert "note: column 2 is" in run("fit", "job.yaml").output
    assert np.isfinite(load_model("run").summary.log_likelihood)


def test_bad_rows_at_predict_leave_nothing(job, rows):
    run("fit", "job.yaml")
    np.save("narrow.npy", rows[:, :2])
    assert "the data have 2 features, but the model was fitted on 3" in refused(
        "predict", "run", "data.path=narrow.npy", code=3
    )
    spoil_nan(rows)
    np.save("nan.npy", rows)
    assert "row 412, column 1 of nan.npy is nan" in refused("predict", "run", "data.path=nan.npy", code=3)
    assert not (job / "run" / "predictions").exists()


def test_bad_configuration_exits_with_2(job):
    assert "did you mean n_components?" in refused("fit", "job.yaml", "model.n_compnents=3", code=2)
    assert "cannot read the configuration" in refused("fit", "nowhere.yaml", code=2)
    (job / "file").write_text("")
    assert "cannot be written to" in refused("fit", "job.yaml", "output.directory=file/run", code=2)


def test_an_unexpected_error_is_one_line_and_debug_shows_where(job, monkeypatch):
    monkeypatch.setattr("daskgmm.jobs.fit.open_source", lambda options: 1 / 0)
    assert "unexpected ZeroDivisionError" in refused("fit", "job.yaml", code=1)
    assert "Traceback" in run("fit", "job.yaml", "--debug", code=1).stderr


def test_the_console_script_runs_in_a_process_of_its_own(job):
    command = [sys.executable, "-m", "daskgmm", "fit", "job.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "results in run" in done.stdout
    assert done.stderr == ""


def test_a_failed_run_brings_the_earlier_one_back(job, rows):
    run("fit", "job.yaml")
    before = load_model("run").summary
    bad = rows.copy()
    bad[:, 2] = 2 * bad[:, 0]
    np.save("bad.npy", bad)
    refused("fit", "job.yaml", "--overwrite", "data.path=bad.npy", "model.reg_covar=0", code=3)
    run("predict", "run")
    np.save("nan.npy", np.full_like(rows, np.nan))
    refused("predict", "run", "--overwrite", "data.path=nan.npy", code=3)
    assert load_model("run").summary == before
    assert zarr.open_array("run/predictions/labels.zarr", path="labels").shape == (600,)
    assert not [one for one in (job / "run").rglob("*") if one.name.startswith(".before")]


def test_predictions_do_not_go_where_a_model_is(job):
    run("fit", "job.yaml")
    assert "holds a fitted model" in refused("predict", "run", "output.directory=run", "--overwrite", code=2)
    assert load_model("run").summary.converged


def test_a_prediction_refuses_what_it_would_ignore(job):
    run("fit", "job.yaml")
    assert "takes data, cluster, compute and output only" in refused("predict", "run", "model.n_components=7", code=2)
    assert "nothing is to be written" in refused("predict", "run", "output.labels=false", code=2)
    assert "takes no labels and no weights" in refused("predict", "run", "data.labels=known.npy", code=2)


def test_rows_without_weights_are_scored_by_a_weighted_fit(job, rows):
    np.save("w.npy", np.ones(len(rows)))
    run("fit", "job.yaml", "data.weights=w.npy")
    np.save("other.npy", rows[:100])
    run("predict", "run", "data.path=other.npy")
    assert zarr.open_array("run/predictions/labels.zarr", path="labels").shape == (100,)


def test_a_worker_memory_that_is_too_small_is_refused(job):
    local = ("cluster.kind=local", "cluster.n_workers=1")
    assert "less than the 400" in refused("fit", "job.yaml", *local, "cluster.memory_limit=50MiB", code=2)
    assert "is not a size" in refused("fit", "job.yaml", *local, "cluster.memory_limit=abc", code=2)


LONG = "x" * 5000


@pytest.mark.parametrize(
    "arguments",
    [
        *(("fit", "job.yaml", f"data.path=/tmp/{LONG}{end}") for end in ("", ".npy", ".parquet", ".h5", ".zarr")),
        ("fit", "job.yaml", f"output.directory=/tmp/{LONG}"),
        ("fit", LONG),
        *((command, LONG) for command in ("inspect", "predict", "report", "status")),
        ("compare", LONG, LONG),
        ("export", LONG, "--format", "json"),
    ],
    ids=lambda arguments: " ".join(one.replace(LONG, "LONG") for one in arguments),
)
def test_a_path_that_is_too_long_is_refused_in_a_short_line(job, arguments):
    line = CliRunner().invoke(main, arguments)
    assert line.exit_code in {2, 3}
    assert "unexpected" not in line.stderr
    assert line.stderr.count("\n") == 1
    assert len(line.stderr) < 1000
