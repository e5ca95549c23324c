"""Places that take no more: said in a line, before the first pass where that can be known; earlier results stay."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.cli.test_commands import refused, run


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job on rows.csv as the working directory, which holds a fitted run."""
    monkeypatch.chdir(tmp_path)
    np.savetxt("rows.csv", np.random.default_rng(0).standard_normal((200, 2)), delimiter=",", header="a,b", comments="")
    (tmp_path / "job.yaml").write_text(
        "{data: {path: rows.csv}, model: {n_components: 2}, output: {directory: run, report: false}}"
    )
    pytest.importorskip("pyarrow")
    run("fit", "job.yaml")
    return tmp_path


def mounted(disk, options):
    done = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True, check=False
    )
    return bool(done) and done.returncode == 0


@pytest.fixture
def disk(job):
    """A file system of one megabyte."""
    path = job / "disk"
    path.mkdir()
    if not mounted(path, "size=1m"):
        pytest.skip("needs the right to mount a file system")
    yield path
    subprocess.run(["umount", path], check=True)


def contents(folder):
    return {one: one.read_bytes() for one in folder.rglob("*") if one.is_file()}


@pytest.mark.parametrize("kind", ["zarr", "parquet"])
def test_a_prediction_that_fills_the_disk_leaves_the_earlier_one(job, disk, kind):
    many = np.random.default_rng(1).standard_normal((100_000, 2))
    if kind == "zarr":
        np.save("many.npy", many)
        data = ("data.path=many.npy", "output.probabilities=true")
    else:
        np.savetxt("many.csv", many, delimiter=",", header="a,b", comments="", fmt="%.6f")
        data = ("data.path=many.csv", "output.probabilities=true")
    run("predict", "run", "output.directory=disk/p")
    before = contents(disk / "p")
    line = refused("predict", "run", "output.directory=disk/p", "--overwrite", "output.log_density=true", *data, code=3)
    assert "No space left on device; make room" in line
    assert "earlier results are untouched" in line
    kept = {path: content for path, content in contents(disk / "p").items() if ".unfinished" not in str(path)}
    assert kept == before


def test_a_read_only_directory_is_refused_before_the_rows_are_read(job, disk):
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    (job / "rows.csv").write_text("a,b\n1,x\n")  # a read of it would be an error of its own
    for arguments in (("fit", "job.yaml"), ("predict", "run")):
        line = refused(*arguments, "output.directory=disk/new", code=2)
        assert "cannot be written to: Read-only file system" in line


def test_a_file_in_the_way_is_refused_before_the_rows_are_read(job):
    (job / "way").write_text("a file")
    (job / "rows.csv").write_text("a,b\n1,x\n")
    for place in ("way", "way/below"):
        for arguments in (("fit", "job.yaml"), ("predict", "run")):
            assert "way" in refused(*arguments, f"output.directory={place}", code=2)
    assert (job / "way").read_text() == "a file"


@pytest.mark.slow
def test_a_directory_that_is_removed_while_a_job_writes_is_one_line(job):
    rows = np.random.default_rng(1).standard_normal((2_000_000, 2))
    np.save("many.npy", rows)
    arguments = ["predict", "run", "data.path=many.npy", "output.directory=gone", "compute.chunk_bytes=80000"]
    command = [sys.executable, "-m", "daskgmm", *arguments, "output.probabilities=true"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    done = job / "gone/.unfinished/done"
    try:
        while process.poll() is None and not (done.exists() and any(done.iterdir())):
            pass
        (job / "gone").rename(job / "moved")
        message = process.communicate(timeout=100)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 3
    assert message.count("\n") == 1
    assert "gone" in message
    assert "has been removed" in message
