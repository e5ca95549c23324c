"""daskgmm status: what a run is doing, from its directory alone."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from daskgmm.cli.main import main
from daskgmm.jobs.status import status_of
from daskgmm.storage.formats.model import load_model
from daskgmm.storage.run.lock import LOCK, Owner
from tests.cli.test_commands import refused

ENDLESS = (
    "data.path=sample:synthetic",
    "data.synthetic.n_samples=300000",
    "fit.sample_size=1000",
    "fit.n_init=1",
    "model.n_components=12",
    "fit.tol=1e-15",
    "fit.max_iter=1000000",
)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A directory with rows.npy and job.yaml, as the working directory."""
    monkeypatch.chdir(tmp_path)
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


@pytest.fixture
def endless_fit(job):
    """A fit in a process of its own, whose second iteration is kept."""
    process = subprocess.Popen(
        [sys.executable, "-m", "daskgmm", "fit", "job.yaml", *ENDLESS],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert any(line.startswith("iteration   3") for line in process.stdout)
    yield process
    process.kill()
    process.communicate()


def interrupted_prediction(directory, n_done=2):
    """Have a prediction that was killed after some of its chunks were done, as far as its files tell."""
    folder = directory / "run" / "predictions" / ".unfinished"
    run("fit", "job.yaml", "compute.chunk_bytes=4096")
    run("predict", "run", "compute.chunk_bytes=4096")
    finished = directory / "run" / "predictions"
    (folder / "done").mkdir(parents=True)
    for name in ("labels.zarr", "config.yaml"):
        (finished / name).rename(folder / name)
    (folder / "plan.json").write_text(json.dumps({"job": "prediction"}))
    for number in range(n_done):
        (folder / "done" / str(number)).write_bytes(b"")
    return finished


def lock(directory, pid, host=None):
    mine = Owner.this_process()
    started = psutil.Process(pid).create_time() if psutil.pid_exists(pid) else 0.0
    entry = asdict(replace(mine, pid=pid, started=started, host=host or mine.host))
    (directory / LOCK).write_text(json.dumps(entry))


def test_nothing_is_said_of_an_empty_place(tmp_path):
    assert status_of(tmp_path / "nowhere").state == "nothing"
    assert "no run is in" in refused("status", str(tmp_path), code=3)
    assert json.loads(run("status", str(tmp_path), "--json", code=3).stdout)["state"] == "nothing"


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to(path.name)])
def test_a_plan_that_is_no_file_is_none(tmp_path, make):
    (tmp_path / ".unfinished").mkdir()
    make(tmp_path / ".unfinished/plan.json")
    assert status_of(tmp_path).state == "nothing"


def test_a_finished_fit_tells_its_outcome(job):
    run("fit", "job.yaml")
    status, summary = status_of("run"), load_model("run").summary
    assert (status.state, status.job, status.iteration) == ("finished", "fit", summary.n_iter)
    assert status.log_likelihood == summary.log_likelihood
    assert "converged" in run("status", "run").output


def test_a_finished_prediction_is_one(job):
    run("fit", "job.yaml")
    run("predict", "run")
    assert (status_of("run/predictions").state, status_of("run/predictions").job) == ("finished", "prediction")


def test_a_fit_that_runs_tells_where_it_is(endless_fit):
    status = status_of("run")
    assert (status.state, status.job, status.phase) == ("running", "fit", "fit")
    assert status.iteration >= 2
    assert status.gain is not None
    assert status.seconds_since_write < 60
    assert not status.earlier_run


def test_of_a_lock_the_process_is_asked(endless_fit, job):
    lock(job / "run", endless_fit.pid)
    assert status_of("run").state == "running"
    assert status_of("run").go_on is None
    endless_fit.send_signal(signal.SIGKILL)
    endless_fit.wait()
    status = status_of("run")
    assert (status.state, status.owner.pid) == ("interrupted", endless_fit.pid)
    assert "daskgmm fit" in status.go_on


def test_a_lock_without_anything_written_is_a_job_that_reads(tmp_path):
    lock(tmp_path, os.getpid())
    assert (status_of(tmp_path).state, status_of(tmp_path).phase) == ("running", "read")


def test_a_model_of_a_job_that_runs_is_not_there_yet(tmp_path):
    lock(tmp_path, os.getpid())
    for command in ("inspect", "predict"):
        assert "has no model yet: its job is running" in refused(command, str(tmp_path), code=3)


def test_what_is_drawn_and_exported_waits_for_the_job_that_writes_there(job):
    run("fit", "job.yaml")
    lock(job / "run", os.getpid())
    assert "is in use by" in refused("report", "run", code=5)
    assert "is in use by" in refused("export", "run", "--format", "json", code=5)
    run("export", "run", "--format", "json", "--output", "elsewhere.json")


@pytest.mark.parametrize("command", ["status", "inspect", "report"])
def test_a_store_that_does_not_answer_is_a_line(command):
    line = refused(command, "http://127.0.0.1:9/run", code=3)
    assert "http://127.0.0.1:9/run" in line


def test_a_process_of_another_host_cannot_be_asked(job):
    finished = interrupted_prediction(job)
    lock(finished, os.getpid(), "elsewhere")
    assert status_of(finished).state == "unfinished"
    assert "on elsewhere" in run("status", str(finished)).output


def test_an_interrupted_prediction_counts_its_chunks_and_says_how_to_go_on(job):
    finished = interrupted_prediction(job)
    status = status_of(finished)
    assert (status.state, status.owner) == ("interrupted", None)  # in good order: its lock is gone
    assert (status.job, status.phase, status.chunks_done) == ("prediction", "predict", 2)
    assert status.chunks == -(-600 // (4096 // (3 * 8)))
    assert "--resume" in status.go_on
    assert f"2 of {status.chunks} are done" in run("status", str(finished)).output


def write_metrics(folder, *records, half=""):
    (folder / "done").mkdir(parents=True)
    (folder / "plan.json").write_text('{"job": "fit"}')
    (folder / "config.yaml").write_text("fit: {tol: 0.001, max_iter: 20}\n")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records) + half)


def record(iteration, gain, remaining):
    return {"iteration": iteration, "log_likelihood": -1.0, "gain": gain, "remaining_gain": remaining}


def test_passes_left_follow_from_the_last_whole_record(tmp_path):
    write_metrics(tmp_path / ".unfinished", record(5, 0.25, 0.25), half='{"iteration": 6, "log_')
    status = status_of(tmp_path)
    assert (status.iteration, status.passes_left) == (5, 8)  # 0.25 / 2^8 is the first below 0.001
    assert status.phase == "fit"


@pytest.mark.parametrize("half", ["[1, 2]", '{"iteration": "x", "log_likelihood": "y"}', "\x00", "é", "7"])
def test_records_that_are_none_are_left_out(tmp_path, half):
    folder = tmp_path / ".unfinished"
    folder.mkdir()
    (folder / "plan.json").write_text("{}")
    write_metrics(folder, record(3, 1e-3, 2e-3))
    with (folder / "metrics.jsonl").open("a", encoding="latin1") as file:
        file.write(half)
    assert status_of(tmp_path).iteration == 3
    assert "iteration:      3" in str(status_of(tmp_path))


def test_passes_left_end_at_max_iter(tmp_path):
    write_metrics(tmp_path / ".unfinished", record(19, 0.01, 1.0))
    assert status_of(tmp_path).passes_left == 2


def test_a_fit_without_a_pass_yet_has_no_iteration(tmp_path):
    write_metrics(tmp_path / ".unfinished")
    assert (status_of(tmp_path).iteration, status_of(tmp_path).passes_left) == (None, None)


def test_a_fit_with_a_checkpoint_can_go_on(tmp_path):
    write_metrics(tmp_path / ".unfinished", record(5, 0.25, 0.25))
    assert "--resume" not in status_of(tmp_path).go_on
    (tmp_path / ".unfinished" / "checkpoint").mkdir()
    assert "--resume" in status_of(tmp_path).go_on


def test_a_process_that_took_the_number_of_another_one_is_not_the_owner(tmp_path):
    write_metrics(tmp_path / ".unfinished", record(5, 0.25, 0.25))
    lock(tmp_path, os.getpid())
    assert status_of(tmp_path).state == "running"
    (tmp_path / LOCK).write_text(json.dumps(asdict(replace(Owner.this_process(), started=1.0))))
    assert status_of(tmp_path).state == "interrupted"


def test_an_earlier_run_is_said_to_be_there(job):
    run("fit", "job.yaml")
    write_metrics(job / "run" / ".unfinished", record(1, None, None))
    status = status_of("run")
    assert status.earlier_run
    assert status.state == "interrupted"


def test_looking_changes_nothing(job):
    finished = interrupted_prediction(job)
    (finished / ".unfinished" / "complete.json").write_text('{"placed": ["labels.zarr"], "removed": []}')
    before = sorted(finished.rglob("*"))
    assert status_of(finished).phase == "place"
    assert sorted(finished.rglob("*")) == before


def test_a_url_is_looked_at_too(job):
    url = f"memory://status-{time.time_ns()}"
    assert status_of(url).state == "nothing"
    run("fit", "job.yaml", f"output.directory={url}")
    assert (status_of(url).state, status_of(url).job) == ("finished", "fit")
    assert load_model(url).summary == status_of(url).summary


def test_programs_get_json(job):
    run("fit", "job.yaml")
    status = json.loads(CliRunner().invoke(main, ["status", "run", "--json"]).output)
    assert status["state"] == "finished"
    assert status["summary"]["converged"] is True
