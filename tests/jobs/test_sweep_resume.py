"""Sweeps that are interrupted go on to the same bits: at passes, in the labelling, after signals."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr

from daskgmm.config import load_config
from daskgmm.errors import ConfigurationError
from daskgmm.events import Iteration, Notice, Phase
from daskgmm.filesystem.location import resolve_location
from daskgmm.jobs.select import select
from daskgmm.jobs.status import status_of
from daskgmm.storage.formats.model import load_model
from daskgmm.storage.formats.selection import read_selection
from tests.cli.test_commands import refused, run
from tests.clusters.processes import assert_same_bits

SWEEP = ("fit.sample_size=60", "fit.n_init=2", "fit.tol=1e-7", "fit.max_iter=6", "compute.chunk_bytes=2400")


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A directory with rows.npy (600 x 3, overlapping), weights.npy and job.yaml."""
    directory = tmp_path_factory.mktemp("sweep")
    rng = np.random.default_rng(0)
    np.save(directory / "rows.npy", np.concatenate([rng.standard_normal((300, 3)), rng.standard_normal((300, 3)) + 2]))
    rows = np.load(directory / "rows.npy")
    np.save(directory / "gappy.npy", np.where(rng.random(rows.shape) < 0.1, np.nan, rows))
    np.save(directory / "weights.npy", rng.integers(0, 3, 600).astype(float))
    (directory / "job.yaml").write_text(
        "data: {path: rows.npy}\nselect: {n_components: 1..3, covariance_type: [full, tied]}\noutput: {report: false}\n"
    )
    return directory


@pytest.fixture(autouse=True)
def here(job, monkeypatch):
    monkeypatch.chdir(job)


def settings(directory, *overrides):
    return load_config("job.yaml", (*SWEEP, f"output.directory={directory}", *overrides))


def stop(config, event_there, **options):
    def listen(event):
        if event_there(event):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select(config, listen, **options)


def at_pass(number):
    return lambda event: isinstance(event, Iteration) and event.iteration == number


def at_phase(name):
    return lambda event: isinstance(event, Phase) and event.name == name


def resumed(config):
    """Continue with a sweep; return what it tells and the phases that it has."""
    heard = []
    select(config, heard.append, resume=True)
    told = [event.message for event in heard if isinstance(event, Notice)]
    return told, [event.name for event in heard if isinstance(event, Phase)]


def untimed(directory):
    """Return the lines of metrics.jsonl, and selection.json, without what a clock says."""
    timed = {"seconds", "rows_per_second"}
    lines = (resolve_location(directory) / "metrics.jsonl").read_text().splitlines()
    table = json.loads((resolve_location(directory) / "selection.json").read_text())
    return [{k: v for k, v in one.items() if k not in timed} for one in (*map(json.loads, lines), *table["candidates"])]


def assert_as_uninterrupted(directory, whole):
    assert_same_bits(load_model(directory), load_model(whole))
    assert untimed(directory) == untimed(whole)
    chosen, expected = (read_selection(resolve_location(one) / "selection.json") for one in (directory, whole))
    assert (chosen.best, chosen.elbow) == (expected.best, expected.elbow)
    assert all(row.seconds > 0 for row in chosen.rows if not row.failed)
    ours, theirs = (zarr.open_array(f"{one}/labels.zarr", path="labels")[...] for one in (directory, whole))
    np.testing.assert_array_equal(ours, theirs)
    assert (resolve_location(directory) / "record.zarr" / "zarr.json").exists()
    assert not (resolve_location(directory) / ".unfinished").exists()


VARIANTS = {
    "bic": (),
    "held-out rows, finalists, weights": (
        *("select.criterion=heldout", "select.folds=2", "fit.n_finalists=2", "data.weights=weights.npy"),
        *("fit.tol=1e-3", "select.n_components=1..2", "fit.max_iter=2"),
    ),
    "gaps, noise": (
        *("data.path=gappy.npy", "data.missing=marginal", "select.noise=[false, true]"),
        *("select.covariance_type=[full]", "select.n_components=1..2", "fit.max_iter=2"),
    ),
    "a candidate that fails": ("select.n_components=[1, 2, 601]", "fit.max_iter=3"),
}


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sweep_interrupted_at_any_pass_ends_in_the_same_bits(variant):
    options, name = VARIANTS[variant], variant.partition(" ")[0].strip(",")
    whole = f"whole-{name}"
    select(settings(whole, *options))
    n_passes = len((resolve_location(whole) / "metrics.jsonl").read_text().splitlines())
    assert n_passes > 2
    for number in sorted({1, 2, n_passes // 2, n_passes}):
        config = settings(f"stopped-{name}-{number}", *options)
        stop(config, at_pass(number))
        told, phases = resumed(config)
        assert f"going on after iteration {number}" in told
        assert "seed" not in phases
        assert_as_uninterrupted(config.output.directory, whole)


def test_a_sweep_interrupted_while_it_labels_goes_on_there():
    select(settings("whole-labels"))
    config = settings("labels")
    stop(config, at_phase("predict"))
    told, phases = resumed(config)
    assert "going on after the fit: its model is there" in told
    assert "fit" not in phases
    assert_as_uninterrupted("labels", "whole-labels")


def test_a_damaged_table_is_made_again_from_a_checkpoint():
    select(settings("whole-damaged"))
    config = settings("damaged")
    stop(config, at_phase("predict"))
    (resolve_location("damaged") / ".unfinished" / "selection.json").write_text("{")
    told, phases = resumed(config)
    assert any("continues from a checkpoint" in one for one in told)
    assert "seed" not in phases
    assert_as_uninterrupted("damaged", "whole-damaged")


CHANGES = {
    "select.n_components": "select.n_components=1..2",
    "select.criterion": "select.criterion=aic",
    "select.covariance_type": "select.covariance_type=[tied, full]",
    "model.reg_covar": "model.reg_covar=1e-3",
    "fit.random_state": "fit.random_state=1",
    "data.mask": "data.mask=nan",
}


def test_another_sweep_is_not_gone_on_with_and_the_same_one_is():
    stop(settings("changed"), at_pass(2))
    for what, change in CHANGES.items():
        with pytest.raises(ConfigurationError, match=f"cannot be resumed: its {what} was"):
            select(settings("changed", change), resume=True)
    message = refused("fit", "job.yaml", *SWEEP, "output.directory=changed", "--resume", code=2)
    assert "its job was select, and is fit now" in message
    assert "give --resume to go on" in refused("select", "job.yaml", "output.directory=changed", code=2)
    told, _ = resumed(settings("changed", "select.n_components=[3, 2, 1]", "model.n_components=5"))
    assert "going on after iteration 2" in told


def test_a_sweep_that_is_finished_is_left_as_it_is():
    arguments = ("select", "job.yaml", *SWEEP, "output.directory=finished")
    first = run(*arguments).output
    before = (resolve_location("finished") / "config.yaml").stat().st_mtime_ns
    again = run(*arguments, "--resume").output
    assert "the run is finished already" in again
    assert first.splitlines()[-2:] == again.splitlines()[-2:]
    assert (resolve_location("finished") / "config.yaml").stat().st_mtime_ns == before
    assert "already holds a run" in refused(*arguments, "select.criterion=aic", "--resume", code=2)
    k, kind = load_model("finished").mixture.n_components, load_model("finished").mixture.covariance_type
    as_fit = ("fit", *arguments[1:], f"model.n_components={k}", f"model.covariance_type={kind}", "--resume")
    assert "already holds a run" in refused(*as_fit, code=2)


def test_the_report_of_a_sweep_that_was_killed_before_it_is_drawn_by_resume():
    run("select", "job.yaml", *SWEEP, "output.directory=undrawn", "output.report=false")
    report = resolve_location("undrawn") / "report.html"
    assert not report.exists()
    select(settings("undrawn", "output.report=true"), resume=True)
    assert report.exists()


def test_the_status_of_a_sweep_tells_what_it_is_and_how_to_go_on():
    stop(settings("status"), at_pass(2))
    status = status_of("status")
    assert (status.job, status.phase, status.iteration, status.passes_left) == ("select", "fit", 2, None)
    assert 0 < status.candidates_left <= 6
    assert status.go_on.startswith("the same daskgmm select with --resume continues from its checkpoint")
    printed = run("status", "status").output
    assert "job:            select" in printed
    assert f"candidates:     {status.candidates_left} still in the sweep" in printed
    resumed(settings("status"))
    assert (status_of("status").state, status_of("status").job) == ("finished", "select")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), {signal.SIGTERM: 143, signal.SIGKILL: -9}.items())
def test_a_signal_ends_the_sweep_and_resume_goes_on(number, code):
    np.save("many.npy", np.random.default_rng(0).standard_normal((60_000, 4)))
    many = ("data.path=many.npy", "fit.sample_size=200", "fit.tol=1e-12", "fit.max_iter=20", "select.leave_early=false")
    options = ("job.yaml", *many, f"output.directory={number.name}")
    command = [sys.executable, "-m", "daskgmm", "select", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert any(line.startswith("iteration   6") for line in process.stdout)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code
    if number == signal.SIGTERM:
        assert errors.startswith("daskgmm: stopped by SIGTERM; what is finished is kept in ")
    at = int(run("select", *options, "--resume").output.partition("going on after iteration ")[2].split()[0])
    assert at >= (6 if number == signal.SIGTERM else 0)
    run("select", *options[:-1], f"output.directory={number.name}-whole")
    assert_as_uninterrupted(number.name, f"{number.name}-whole")
