"""The beginning of the command line: quick, with the commands of cli/commands."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pkgutil import iter_modules

import click
import numpy as np
import pytest
from click.testing import CliRunner

import daskgmm
from daskgmm.cli import commands
from daskgmm.cli import main as entry

OF_OTHER_JOBS = {"scipy.stats", "sklearn", "matplotlib", "h5py", "fsspec.implementations.http", "mlflow", "onnx"}
HEAVY = {"numba", "scipy", "sklearn", "zarr", "distributed", "pydantic", "rich", "dask.array", "pandas"}


def imported_by(arguments):
    """Return the modules that a process has imported after a command."""
    program = (
        "import sys\n"
        "from daskgmm.cli.main import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "print('imported:', *sorted(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("imported:")[2].split())


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_the_table_holds_the_first_sentence_of_each_command(name):
    help_text = " ".join(entry.main.get_command(None, name).help.split())
    assert help_text.startswith(entry.COMMANDS[name])


def test_the_table_holds_no_other_command():
    assert list(entry.COMMANDS) == sorted(module.name for module in iter_modules(commands.__path__))


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_imports_nothing_that_takes_long(option):
    assert HEAVY & imported_by([option]) == set()


def test_a_job_on_a_file_imports_nothing_of_other_jobs(tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((8, 2)))
    listed = imported_by(["fit", str(tmp_path / "rows.npy"), "-k", "2", "--dry-run"])
    assert "numba" in listed
    assert OF_OTHER_JOBS & listed == set()


def test_commands_are_imported_without_garbage_collections():
    program = (
        "import gc, sys\n"
        "from daskgmm.cli.main import main\n"
        "before = sum(generation['collections'] for generation in gc.get_stats())\n"
        "main(['fit', '--help'], standalone_mode=False)\n"
        "after = sum(generation['collections'] for generation in gc.get_stats())\n"
        "print('times:', after - before, gc.isenabled(), gc.get_freeze_count() > 100_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    times, *collecting = done.stdout.rpartition("times:")[2].split()
    assert int(times) < 20  # hundreds otherwise
    assert collecting == ["True", "True"]


def test_the_estimator_imports_nothing_that_stores():
    """Which takes a tenth of a second; a zarr array that is handed in brings zarr with it."""
    program = "import sys, daskgmm.estimators.gaussian_mixture; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"zarr", "stamina", "pydantic", "daskgmm.storage"} & set(done.stdout.split()) == set()


def test_help_lists_the_commands_and_each_has_its_own():
    text = CliRunner().invoke(entry.main, ["--help"]).output
    assert all(name in text for name in entry.COMMANDS)
    assert "--dry-run" in CliRunner().invoke(entry.main, ["fit", "--help"]).output


def test_a_misspelt_command_is_refused():
    done = CliRunner().invoke(entry.main, ["fti"])
    assert done.exit_code == 2
    assert "No such command" in done.stderr


def test_dask_has_the_same_commands_under_gmm():
    (point,) = entry_points(group="dask_cli", name="gmm")
    assert isinstance(point.load(), click.Group)
    assert point.load().name == "gmm"


def test_the_package_gives_its_names_when_they_are_asked_for():
    assert daskgmm.GaussianMixture().n_components == 1
    assert {"GaussianMixture", "load_model"} <= set(dir(daskgmm))
    with pytest.raises(AttributeError, match="has no attribute 'GausianMixture'"):
        daskgmm.GausianMixture  # noqa: B018 # asking is the point


def test_requests_that_are_left_behind_print_nothing_when_the_process_ends():
    program = (
        "import asyncio, sys\n"
        "from daskgmm.cli.main import run\n"
        "async def request():\n"
        "    try:\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        raise ValueError('created in a different Context')\n"
        "class Other:\n"
        "    def __del__(self):\n"
        "        raise ValueError('of another')\n"
        "left = request()\n"
        "loop = asyncio.new_event_loop()\n"
        "task = loop.create_task(left)\n"
        "loop.call_soon(loop.stop)\n"
        "loop.run_forever()\n"
        "task._log_destroy_pending = False\n"
        "sys.argv = ['daskgmm', '--version']\n"
        "try:\n"
        "    run()\n"
        "finally:\n"
        "    del task, left, loop\n"
        "    import gc; gc.collect()\n"
        "    other = Other(); del other\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert "different Context" not in done.stderr
    assert "ValueError: of another" in done.stderr


@pytest.mark.slow
def test_files_are_utf_8_whatever_the_terminal_is(tmp_path):
    """A terminal of ASCII alone: Python would read and write text files as that, and fail at what it cannot print."""
    rows = np.random.default_rng(0).standard_normal((60, 2))
    lines = [f"{one},{other}" for one, other in rows]
    (tmp_path / "rows.csv").write_text("\n".join(["größe,長さ", *lines]), encoding="utf-8")
    (tmp_path / "job.yaml").write_text(
        "# größe\n{data: {path: rows.csv, columns: [größe, 長さ]}, model: {n_components: 2}, output: {directory: run}}",
        encoding="utf-8",
    )
    ascii_alone = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}

    def run(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "daskgmm", *arguments],
            cwd=tmp_path,
            env=ascii_alone,
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done

    run("fit", "job.yaml")
    assert "größe" in (tmp_path / "run/config.yaml").read_text(encoding="utf-8")
    assert "größe" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "nothing is left to do" in run("fit", "job.yaml", "--resume").stdout.decode()
    assert "gr\\xf6\\xdfe" in run("inspect", "run").stdout.decode("ascii")
    refused = run("fit", "job.yaml", "data.path=größe.csv", code=2).stderr.decode("ascii")
    assert "has bytes that are no text in ascii: set PYTHONUTF8=1 if they are UTF-8, or rename the file" in refused
    (tmp_path / "other.yaml").write_text("{data: {path: größe.csv}, model: {n_components: 2}}", encoding="utf-8")
    refused = run("fit", "other.yaml", code=3).stderr.decode()
    why = "cannot be a file's name in the encoding ascii of this locale: set PYTHONUTF8=1"
    assert refused == f"daskgmm: data.path 'größe.csv' {why}\n"


@pytest.mark.slow
def test_a_folder_whose_name_is_no_text_is_refused_before_any_work(tmp_path):
    folder = os.fsencode(tmp_path) + b"/gr\xf6"
    os.mkdir(folder)
    np.save(os.fsdecode(folder) + "/rows.npy", np.zeros((8, 2)))
    for output, code in (("run", 2), (tmp_path / "run", 3)):
        done = subprocess.run(
            [sys.executable, "-m", "daskgmm", "fit", "rows.npy", "-k", "1", "-o", str(output)],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code
        assert "has bytes that are no text: rename the folder" in done.stderr
    assert not (tmp_path / "run").exists()
