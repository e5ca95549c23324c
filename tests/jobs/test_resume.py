"""Fits that are interrupted go on to the same bits: at every iteration, after signals, full disks and damage."""

import json
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, replace

import numpy as np
import pytest
import zarr

from daskgmm.config import load_config
from daskgmm.errors import DataError, LostLockError
from daskgmm.events import Iteration, Notice, Opened, Phase
from daskgmm.filesystem.location import remove, replace_path, resolve_location
from daskgmm.jobs.fit import fit
from daskgmm.storage.formats.model import load_model
from daskgmm.storage.formats.provenance import load_record
from daskgmm.storage.run.finished_parts import whole_regions
from daskgmm.storage.run.lock import LOCK, Owner, hold_lock, owner
from tests.cli.test_commands import refused, run
from tests.clusters.processes import assert_same_bits

SLOWLY = ("fit.sample_size=30", "fit.n_init=3", "fit.tol=1e-12", "fit.max_iter=4")
CHUNKED = ("compute.chunk_bytes=2400",)  # 100 rows of 3 float64


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A directory with rows.npy (600 x 3, overlapping), weights.npy and job.yaml, as the working directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("rows.npy", np.concatenate([rng.standard_normal((300, 3)), rng.standard_normal((300, 3)) + 1.5]))
    np.save("weights.npy", rng.integers(0, 3, 600).astype(float))
    (tmp_path / "job.yaml").write_text(
        "data: {path: rows.npy}\nmodel: {n_components: 3}\noutput: {directory: run, report: false}\n"
    )
    return tmp_path


def settings(*overrides):
    return load_config("job.yaml", (*SLOWLY, *CHUNKED, *overrides))


def interrupt_at(event_there):
    """Return a listener that is interrupted at an event."""

    def listen(event):
        if event_there(event):
            raise KeyboardInterrupt

    return listen


def at_iteration(number):
    """At that pass, or the first one after it that was not in vain."""
    return interrupt_at(lambda event: isinstance(event, Iteration) and event.iteration >= number)


def at_phase(name):
    return interrupt_at(lambda event: isinstance(event, Phase) and event.name == name)


def stop(config, listen, **options):
    with pytest.raises(KeyboardInterrupt) as interruption:
        fit(config, listen, **options)
    return interruption.value


def metrics(directory):
    """Return the lines of metrics.jsonl, without what a clock says."""
    lines = (resolve_location(directory) / "metrics.jsonl").read_text().splitlines()
    timed = {"seconds", "rows_per_second"}
    return [{key: value for key, value in json.loads(line).items() if key not in timed} for line in lines]


def labels(directory):
    return zarr.open_array(f"{directory}/labels.zarr", path="labels")[...]


def assert_as_uninterrupted(directory, whole="whole"):
    assert_same_bits(load_model(directory), load_model(whole))
    assert metrics(directory) == metrics(whole)
    np.testing.assert_array_equal(labels(directory), labels(whole))
    assert not (resolve_location(directory) / ".unfinished").exists()


def notices(config, **options):
    heard = []
    fit(config, heard.append, **options)
    return [event.message for event in heard if isinstance(event, Notice)]


VARIANTS = {
    "full, finalists, weights": ("fit.n_finalists=2", "data.weights=weights.npy"),
    "full": (),
    "tied": ("model.covariance_type=tied",),
    "diag, weights": ("model.covariance_type=diag", "data.weights=weights.npy"),
    "spherical, finalists": ("model.covariance_type=spherical", "fit.n_finalists=3"),
    "gaps, noise": ("data.path=gappy.npy", "data.missing=marginal", "model.noise=true", "output.imputed=true"),
    "low rank": ("model.covariance_type=low_rank", "model.n_factors=1"),
    "far from the origin": ("data.path=far.npy",),
    "gaps, labels": ("data.path=gappy.npy", "data.missing=marginal", "data.labels=known.npy"),
}


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_fit_interrupted_at_any_iteration_ends_in_the_same_bits(job, variant):
    rows, rng = np.load("rows.npy"), np.random.default_rng(1)
    np.save("far.npy", rows + 1e7)  # for the kernels about each component's mean
    np.save("gappy.npy", np.where(rng.random(rows.shape) < 0.1, np.nan, rows))
    np.save("known.npy", np.where(rng.random(len(rows)) < 0.1, rng.integers(0, 3, len(rows)), -1))
    fit(settings(*variant, "output.directory=whole"))
    numbers = [line["iteration"] for line in metrics("whole")]
    assert len(numbers) >= 3
    for number in numbers if variant == () else {numbers[0], numbers[len(numbers) // 2], numbers[-1]}:
        config = settings(*variant, f"output.directory=stopped-{number}")
        stop(config, at_iteration(number))
        told = notices(config, resume=True)
        assert f"going on after iteration {number}" in told
        assert_as_uninterrupted(f"stopped-{number}")


def test_a_fit_interrupted_again_and_again_ends_in_the_same_bits(job):
    fit(settings("output.directory=whole"))
    for number in [line["iteration"] for line in metrics("whole")][1:]:
        stop(settings(), at_iteration(number), resume=True)
    stop(settings(), at_phase("predict"), resume=True)
    assert "going on after the fit: its model is there" in notices(settings(), resume=True)
    assert_as_uninterrupted("run")


@pytest.mark.slow
def test_a_fit_goes_on_on_another_cluster_with_the_same_bits(job):
    local = ("cluster.kind=local", "cluster.n_workers=2")
    fit(settings("output.directory=whole"))
    stop(settings("compute.persist=false"), at_iteration(2))
    stop(settings(*local), at_iteration(3), resume=True)
    fit(settings(), resume=True)
    assert_as_uninterrupted("run")


def test_a_fit_that_is_interrupted_before_its_first_pass_leaves_nothing(job):
    interruption = stop(settings(), at_phase("seed"))
    assert not hasattr(interruption, "__notes__")
    assert not (job / "run").exists()
    fit(settings("output.directory=whole"))
    fit(settings(), resume=True)
    assert_as_uninterrupted("run")


def test_the_starts_are_not_sought_twice(job):
    stop(settings(), at_iteration(1))
    heard = []
    fit(settings(), heard.append, resume=True)
    assert "seed" not in [event.name for event in heard if isinstance(event, Phase)]


def add_to_row(number, value):
    rows = np.load("rows.npy", mmap_mode="r+")
    rows[number] += value
    rows.flush()


def in_second_pass(event):
    return isinstance(event, Iteration) and event.iteration == 2


def in_results(event):
    return isinstance(event, Phase) and event.name == "predict"


@pytest.mark.parametrize("when", [in_second_pass, in_results])
def test_rows_that_change_while_a_job_reads_them_end_it(job, when):
    streamed = settings("compute.persist=false")
    with pytest.raises(DataError, match=r"^rows \[400:500\] of the data are not what they were"):
        fit(streamed, lambda event: add_to_row(450, 0.5) if when(event) else None)
    with pytest.raises(DataError, match=r"\[400:500\] of the data|rows.npy does not hold the rows with which the job"):
        fit(streamed, resume=True)
    add_to_row(450, -0.5)  # in a chunk that the plan of the job has no digest of
    fit(settings("output.directory=whole"))
    fit(streamed, resume=True)
    assert_as_uninterrupted("run")


def test_rows_that_changed_before_a_job_is_resumed_end_it_though_it_keeps_them_in_memory(job):
    kept = settings("compute.persist=true")
    stop(kept, interrupt_at(in_results))
    add_to_row(450, 0.5)  # as above
    with pytest.raises(DataError, match=r"^rows \[400:500\] of the data are not what they were"):
        fit(kept, resume=True)
    add_to_row(450, -0.5)
    fit(settings("output.directory=whole"))
    fit(kept, resume=True)
    assert_as_uninterrupted("run")


def test_an_interruption_says_how_to_go_on(job):
    (note,) = stop(settings(), at_iteration(2)).__notes__
    assert note == f"what is finished is kept in {job}/run/.unfinished: --resume continues from it"
    assert "holds unfinished results: give --resume to go on" in refused("fit", "job.yaml", code=2)


CHANGES = {
    "model.n_components": "model.n_components=2",
    "model.reg_covar": "model.reg_covar=1e-3",
    "fit.tol": "fit.tol=1e-3",
    "fit.random_state": "fit.random_state=1",
    "data.path": "data.path=other.npy",
    "data.weights": "data.weights=weights.npy",
    "data.mask": "data.mask=nan",
    "chunks": "compute.chunk_bytes=4800",
}


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(("what", "change"), CHANGES.items(), ids=CHANGES)
def test_another_fit_is_not_gone_on_with(job, what, change):
    np.save("other.npy", np.load("rows.npy"))
    stop(settings(), at_iteration(2))
    message = refused("fit", "job.yaml", *SLOWLY, *CHUNKED, change, "--resume", code=2)
    assert message.partition("cannot be resumed: ")[2].startswith(f"its {what} was")
    run("fit", "job.yaml", *SLOWLY, *CHUNKED, change, "--resume", "--overwrite")
    assert load_model("run").summary.n_iter > 0


@pytest.mark.parametrize(
    ("what", "change"),
    [("shape", lambda rows: rows[:500]), ("dtype", np.float32), ("content", lambda rows: rows + 1e-9)],
)
def test_other_data_under_the_same_name_are_not_gone_on_with(job, what, change):
    stop(settings(), at_iteration(2))
    np.save("rows.npy", change(np.load("rows.npy")))
    message = refused("fit", "job.yaml", *SLOWLY, *CHUNKED, "--resume", code=2)
    assert f"its {what} was" in message


def test_other_weights_under_the_same_name_are_not_gone_on_with(job):
    stop(settings("data.weights=weights.npy"), at_iteration(2))
    np.save("weights.npy", np.ones(600))
    weighted = (*SLOWLY, *CHUNKED, "data.weights=weights.npy", "--resume")
    assert "its content was" in refused("fit", "job.yaml", *weighted, code=2)


def test_what_changes_no_result_may_change(job):
    fit(settings("output.directory=whole", "output.log_density=true", "output.anomaly_quantile=0.1"))
    stop(settings(), at_phase("predict"))
    more = ("output.log_density=true", "output.anomaly_quantile=0.1", "output.checkpoint_every=3")
    fit(settings("cluster.n_workers=1", "compute.persist=false", "compute.read_ahead=0", *more), resume=True)
    assert_as_uninterrupted("run")
    for name in ("log_density", "anomaly"):
        ours, theirs = (zarr.open_array(f"{one}/{name}.zarr", path=name)[...] for one in ("run", "whole"))
        np.testing.assert_array_equal(ours, theirs)


def test_a_run_that_is_finished_is_left_as_it_is(job):
    fit(settings())
    before = (job / "run" / "config.yaml").stat().st_mtime_ns
    arguments = ("fit", "job.yaml", *SLOWLY, *CHUNKED, "--resume")
    assert "the run is finished already" in run(*arguments, "cluster.kind=local").output
    assert "the run is finished already" in run(*arguments, "--overwrite").output
    assert (job / "run" / "config.yaml").stat().st_mtime_ns == before
    assert "already holds a run" in refused(*arguments, "model.n_components=2", code=2)
    assert "already holds a run" in refused(*arguments, "output.log_density=true", code=2)
    run(*arguments, "model.n_components=2", "--overwrite")
    assert load_model("run").mixture.n_components == 2


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("n_damaged", [1, 2])
def test_a_damaged_checkpoint_costs_no_more_than_what_came_after_the_one_before(job, n_damaged):
    fit(settings("output.directory=whole"))
    stop(settings(), at_iteration(3))
    for path in sorted((job / "run/.unfinished/checkpoint").iterdir())[-n_damaged:]:
        damage(path)
    *damaged, told = notices(settings(), resume=True)[: n_damaged + 1]
    assert all("is damaged" in one for one in damaged)
    assert told.startswith("going on after iteration" if n_damaged == 1 else "there is no checkpoint to continue from")
    assert told != "going on after iteration 3"
    assert_as_uninterrupted("run")


def test_a_damaged_model_is_made_again_from_a_checkpoint(job):
    fit(settings("output.directory=whole"))
    stop(settings(), at_phase("predict"))
    (job / "run/.unfinished/model.zarr/zarr.json").write_text("{")
    told = notices(settings(), resume=True)
    assert any("the fit continues from a checkpoint" in one for one in told)
    assert_as_uninterrupted("run")


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("what", ["zarr.json", "rows/c/0/0", "range/c/0/0"])
@pytest.mark.parametrize("when", [at_iteration(3), at_phase("predict")], ids=["in the fit", "after it"])
def test_a_damaged_record_costs_the_report_its_starts_and_not_the_run(job, when, what):
    fit(settings("output.directory=whole"))
    stop(settings("output.report=true"), when)
    (job / "run/.unfinished/record.zarr" / what).write_bytes(b"")
    told = notices(settings("output.report=true"), resume=True)
    assert any(
        "record.zarr is missing or damaged: the report will lack what it had of the starts" in one for one in told
    )
    assert_as_uninterrupted("run")
    assert (job / "run/report.html").exists()
    assert load_record(job / "run/record.zarr").beginning.rows.shape == (600, 3)


def test_a_fit_without_checkpoints_starts_anew(job):
    fit(settings("output.directory=whole"))
    stop(settings("output.checkpoint_every=0"), at_iteration(3))
    assert not (job / "run").exists()
    fit(settings(), resume=True)
    assert_as_uninterrupted("run")


@pytest.mark.parametrize("store", ["memory", pytest.param("s3", marks=pytest.mark.slow)])
def test_a_run_in_an_object_store_goes_on(job, request, store):
    fit(settings("output.directory=whole"))
    where = {"output.directory": f"memory://{job.name}/run"}
    if store == "s3":
        bucket = request.getfixturevalue("s3")
        where = {
            "output.directory": f"{bucket.url}/resumed",
            "output.storage_options": json.dumps(bucket.storage_options),
        }
    config = settings(*(f"{key}={value}" for key, value in where.items()))
    directory = resolve_location(config.output.directory, config.output.storage_options)
    stop(config, at_iteration(3))
    stop(config, at_phase("predict"), resume=True)
    fit(config, resume=True)
    assert_same_bits(load_model(directory), load_model("whole"))
    assert metrics(directory) == metrics("whole")
    assert not (directory / ".unfinished").exists()
    assert not (directory / LOCK).exists()


def fill(disk):
    """Take all the room that is left."""
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(512)):
            pass


def test_a_disk_that_is_full_at_a_checkpoint_is_told_and_the_fit_goes_on(job, small_disk):
    fit(settings("output.directory=whole"))
    config, heard = settings("output.directory=disk/run"), []

    def listen(event):
        heard.append(event)
        if isinstance(event, Iteration) and event.iteration == 2:
            fill(small_disk)
        if isinstance(event, Iteration) and event.iteration > 2:
            raise KeyboardInterrupt

    stop(config, listen)
    (told,) = [event.message for event in heard if isinstance(event, Notice)]
    assert told == "no checkpoint could be written (No space left on device): the one before it is kept"
    (small_disk / "filler").unlink()
    assert notices(config, resume=True)[0] in {f"going on after iteration {at}" for at in (0, 1, 2)}
    assert_as_uninterrupted("disk/run")


def test_a_disk_that_is_full_at_the_model_can_be_gone_on_with(job, small_disk):
    fit(settings("output.directory=whole"))
    fit(settings("output.directory=disk/run", "fit.max_iter=1"))  # an earlier run, which stays
    before = load_model("disk/run")
    again = ("fit", "job.yaml", *SLOWLY, *CHUNKED, "output.directory=disk/run")
    stop(settings("output.directory=disk/run"), at_iteration(3), overwrite=True)
    fill(small_disk)
    with (small_disk / "filler").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 12288)  # room for the lock, not for the results
    message = refused(*again, "--resume", code=3)
    assert "No space left on device" in message
    assert "--resume continues from it" in message
    assert_same_bits(load_model("disk/run"), before)
    (small_disk / "filler").unlink()
    run(*again, "--resume")
    assert_as_uninterrupted("disk/run")


def test_a_read_only_directory_is_refused_before_anything_is_read(job, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    arguments = ("fit", "job.yaml", "data.path=nowhere.npy", "output.directory=disk/run")
    assert "cannot be written to: Read-only file system" in refused(*arguments, code=2)


def test_two_runs_on_one_directory_are_one_too_many(job):
    with hold_lock(job / "run"):
        for command in (("fit", "job.yaml", "--resume"), ("fit", "job.yaml", "--overwrite")):
            assert f"is in use by {owner(job / 'run')}" in refused(*command, code=5)
    run("fit", "job.yaml")
    with hold_lock(job / "run/predictions"):
        assert "is in use by" in refused("predict", "run", code=5)
    run("predict", "run")


@pytest.mark.parametrize("when", [lambda event: isinstance(event, Opened), in_second_pass, in_results])
def test_a_job_whose_directory_was_taken_over_while_it_stood_still_leaves_it_to_the_other(job, when):
    run_directory, other = job / "run", replace(Owner.this_process(), host="elsewhere", token="of another job")
    theirs = run_directory / ".unfinished"

    def stand_still(event):
        if when(event):
            (run_directory / LOCK).write_text(json.dumps(asdict(other)))
            remove(theirs)
            theirs.mkdir()
            (theirs / "plan.json").write_text("of the other job")

    with pytest.raises(LostLockError, match=f"run was taken over by {re.escape(str(other))} while this job"):
        fit(settings(), stand_still)
    assert [path.name for path in run_directory.rglob("*") if path.is_file()] == [LOCK, "plan.json"]
    assert (theirs / "plan.json").read_text() == "of the other job"


MANY = ("fit.tol=1e-12", "fit.max_iter=30", "fit.sample_size=200", "model.n_components=6")


@pytest.fixture(scope="module")
def long_job(tmp_path_factory):
    """A directory with a job whose iterations can be watched, and its uninterrupted run."""
    directory = tmp_path_factory.mktemp("long")
    (directory / "job.yaml").write_text("data: {path: many.npy}\noutput: {report: false}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        np.save("many.npy", np.random.default_rng(0).standard_normal((100_000, 6)))
        fit(load_config("job.yaml", (*MANY, "output.directory=whole")))
    return directory


def started(command, is_there):
    """Start a command; return it when it has printed a line of which `is_there` is true."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for printed in process.stdout:
        if is_there(printed):
            return process
    raise AssertionError(process.stderr.read())


def is_tenth_iteration(line):
    """Return whether a line tells of that iteration or a later one: those in vain are left out."""
    return line.startswith("iteration") and int(line.split()[1]) >= 10


SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 5, signal.SIGKILL: -9}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), SIGNALS.items())
def test_a_signal_ends_the_fit_and_resume_goes_on(long_job, monkeypatch, number, code):
    monkeypatch.chdir(long_job)
    options = ("job.yaml", *MANY, f"output.directory={number.name}")
    process = started([sys.executable, "-m", "daskgmm", "fit", *options], is_tenth_iteration)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == code
    at = 0  # SIGKILL: at most the last seconds are lost
    if number != signal.SIGKILL:
        assert errors.startswith(f"daskgmm: stopped by {number.name}; what is finished is kept in ")
        assert errors.endswith("--resume continues from it\n")
        assert errors.count("\n") == 1
        at = max([10, *(int(line.split()[1]) for line in printed.splitlines() if line.startswith("iteration"))])
    out = run("fit", *options, "--resume").output
    assert int(out.partition("going on after iteration ")[2].split()[0]) >= at
    assert_as_uninterrupted(number.name)


@pytest.mark.slow
def test_a_second_signal_ends_at_once(job):
    code = (
        "import time\nfrom daskgmm.cli.signals import raise_signals\n"
        "with raise_signals():\n    try:\n        print('ready', flush=True); time.sleep(600)\n"
        "    finally:\n        print('ending', flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ending\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


@pytest.mark.slow
def test_finished_chunks_of_a_fit_that_is_killed_are_not_written_again(job):
    np.save("rows.npy", np.tile(np.load("rows.npy"), (3000, 1)))
    options = ("fit.max_iter=2", "fit.sample_size=1000", "compute.chunk_bytes=240000", "output.top_m=2")
    process = started(
        [sys.executable, "-m", "daskgmm", "fit", "job.yaml", *options], lambda line: line.startswith("predict:")
    )
    done = job / "run/.unfinished/done"
    while process.poll() is None and not (done.exists() and len(list(done.iterdir())) > 5):
        pass
    process.kill()
    process.communicate()
    before = {one: one.stat().st_mtime_ns for one in done.parent.joinpath("labels.zarr").rglob("c/*")}
    n_done = len(whole_regions(done.parent))  # the kill may tear the last marker
    assert 4 < n_done < 180
    out = run("fit", "job.yaml", *options, "--resume").output
    assert "going on after the fit" in out
    assert f"{n_done} chunks of results were finished before" in out
    moved = {one: job / "run/labels.zarr" / one.relative_to(done.parent / "labels.zarr") for one in before}
    assert sum(new.stat().st_mtime_ns == before[old] for old, new in moved.items()) >= n_done
    run("fit", "job.yaml", *options, "output.directory=whole")
    assert_as_uninterrupted("run")


def test_the_report_of_a_fit_that_was_killed_before_it_is_drawn_by_resume(job):
    drawn = settings("output.report=true")
    assert stop(drawn, at_phase("report")) is not None
    assert not (job / "run/report.html").exists()
    assert "the run is finished already: nothing is left to do" in notices(drawn, resume=True)
    assert (job / "run/report.html").exists()
    (job / "run/report.html").unlink()
    fit(settings(), resume=True, overwrite=True)
    assert not (job / "run/report.html").exists()


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("text", ["- 1", "{data: [1], model: 1, fit: 1, output: [1], compute: 1}", "\x00", "{", "é"])
def test_the_configuration_of_a_finished_run_is_written_again_where_it_is_damaged(job, text):
    fit(settings())
    whole = (job / "run/config.yaml").read_text()
    (job / "run/config.yaml").write_text(text, encoding="latin1")
    refusal = refused("fit", "job.yaml", *SLOWLY, *CHUNKED, "model.n_components=2", "--resume", code=2)
    assert "model.n_components was 3, and is 2 now" in refusal
    run("fit", "job.yaml", *SLOWLY, *CHUNKED, "--resume")
    assert (job / "run/config.yaml").read_text() == whole


def test_results_of_two_runs_are_not_read_as_one(job, monkeypatch):
    fit(settings())
    placed = []

    def stop_at_the_third(source, target):
        placed.append(target)
        if len(placed) == 3:
            raise KeyboardInterrupt
        replace_path(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("daskgmm.storage.run.staging.replace_path", stop_at_the_third)
        stop(settings("model.n_components=2"), lambda event: None, overwrite=True)
    for command in (("predict", "run"), ("inspect", "run"), ("report", "run")):
        assert "has not all taken its place" in refused(*command, code=3)
    fit(settings("model.n_components=2"), resume=True)
    assert load_model("run").mixture.n_components == 2


LONGER = ("fit.max_iter=300", "fit.tol=1e-4")
SHORT = ("fit.max_iter=1", "fit.tol=1e-4")


def test_a_fit_that_stopped_at_max_iter_goes_on_from_there(job):
    stopped = fit(settings(*SHORT))
    assert stopped.summary.n_iter == 1
    assert "already holds a run" in refused("fit", "job.yaml", *SLOWLY, *CHUNKED, *LONGER, code=2)
    told = notices(settings(*LONGER), resume=True)
    assert "going on from where the fit stopped, after 1 M-steps" in told
    model = load_model("run")
    assert model.summary.converged
    assert 1 < model.summary.n_iter <= 300
    levels = [line["objective"] for line in metrics("run")]
    assert levels[0] == stopped.summary.log_likelihood
    assert np.diff(levels).min() >= 0
    assert any("finished" in one for one in notices(settings(*LONGER), resume=True))


def test_what_differs_in_more_than_max_iter_does_not_go_on(job):
    fit(settings("fit.max_iter=1"))
    more = ("fit.max_iter=9", "model.covariance_type=tied")
    assert "already holds a run" in refused("fit", "job.yaml", *SLOWLY, *CHUNKED, *more, "--resume", code=2)


def test_a_fit_starts_from_a_saved_model(job):
    first = fit(settings("output.directory=first"))
    second = fit(settings("output.directory=second", "fit.start=first", "fit.max_iter=1"))
    (start, *_) = metrics("second")
    assert start["objective"] == pytest.approx(first.summary.log_likelihood, rel=1e-12)
    assert second.summary.log_likelihood >= first.summary.log_likelihood
    assert second.summary.n_iter == 1


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.n_components=2", "n_components 3 there and 2 here"),
        ("model.covariance_type=diag", "covariance_type full there and diag here"),
        ("fit.start=nowhere", "fit.start: there is no model at nowhere"),
    ],
)
def test_a_model_of_another_shape_is_no_start(job, override, told):
    fit(settings("output.directory=first"))
    arguments = ("fit", "job.yaml", *SLOWLY, *CHUNKED, "fit.start=first", override)
    assert told in refused(*arguments, code=2)
