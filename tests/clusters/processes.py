"""Processes that the tests of clusters start: marked, so that none is overlooked, and ended with the block."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from pydantic import TypeAdapter

import daskgmm
from daskgmm.core.em.fitted_model import Model
from daskgmm.storage.formats.model import load_model

MARK = "DASKGMM_TEST"  # in the environment of whatever a test starts, directly or not
PATIENCE = 60.0  # seconds
ROOT = Path(daskgmm.__file__).parents[1]


def environment(mark: str) -> dict[str, str]:
    return {**os.environ, MARK: mark, "PYTHONPATH": str(ROOT)}


@contextmanager
def running(
    command: Sequence[str], mark: str, log: Path, more: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in a file, in a session of its own that ends with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment(mark), **(more or {})},
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def script(path: Path, mark: str, *command: str) -> Path:
    """Write a script that runs the command, with the arguments that it gets, under the mark.

    What chooses the kernels of BLAS here chooses them there too: bits are promised for the same kernels.
    """
    kernels = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    exported = {MARK: mark, "PYTHONPATH": ROOT, **kernels}
    export = "export " + " ".join(f"{name}='{value}'" for name, value in exported.items())
    lines = ["#!/bin/sh", export, f'exec {" ".join(command)} "$@"', ""]
    path.write_text("\n".join(lines))
    path.chmod(0o755)
    return path


def wait_until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def accepts(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def marked(mark: str) -> list[str]:
    """Return the command lines of the processes under the mark that live."""
    commands = [_command(process, mark) for process in psutil.process_iter()]
    return [" ".join(command) for command in commands if command]


def _command(process: psutil.Process, mark: str) -> list[str]:
    try:
        return process.cmdline() if process.environ().get(MARK) == mark else []
    except psutil.Error:
        return []


def assert_all_end(mark: str) -> None:
    wait_until(lambda: not marked(mark), f"the end of {marked(mark)}")


def fit(directory: Path, cluster: Mapping[str, object], mark: str = "fit") -> subprocess.CompletedProcess[str]:
    """Run `daskgmm fit` on the rows of the directory; the cluster's kind names the run directory."""
    rows = directory / "rows.npy"
    if not rows.exists():
        rng = np.random.default_rng(0)
        np.save(rows, np.concatenate([rng.standard_normal((2000, 3)), rng.standard_normal((2000, 3)) + 5]))
    job = {
        "data": {"path": str(rows)},
        "model": {"n_components": 2},
        "cluster": dict(cluster),
        "compute": {"chunk_bytes": 8192},
        "output": {"directory": str(run_directory(directory, cluster)), "report": False},
    }
    config = directory / "job.yaml"
    config.write_text(yaml.safe_dump(job))
    command = [sys.executable, "-m", "daskgmm", "fit", str(config), "--overwrite"]
    return subprocess.run(
        command, env=environment(mark), capture_output=True, text=True, timeout=4 * PATIENCE, check=False
    )


_CONNECT = """
import sys, time
from daskgmm.config import parse_config
if __name__ == "__main__":
    with parse_config(sys.argv[1]).cluster.connect():
        print("connected", flush=True)
        time.sleep(600)
"""


def kill_a_client_of(cluster: Mapping[str, object], directory: Path) -> None:
    """Connect to a cluster in a process of its own, and kill it."""
    (directory / "client.py").write_text(_CONNECT)
    config = yaml.safe_dump({"data": {"path": "rows.npy"}, "cluster": dict(cluster)})
    command = [sys.executable, str(directory / "client.py"), config]
    with subprocess.Popen(command, env=environment("client"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "connected\n"
        process.kill()


def section(cluster: Any) -> dict[str, object]:
    """Return a cluster as its section of the configuration."""
    return dict(TypeAdapter(type(cluster)).dump_python(cluster, mode="json"))


def run_directory(directory: Path, cluster: Mapping[str, object]) -> Path:
    return directory / f"run-{cluster['kind']}"


def fitted(directory: Path, cluster: Mapping[str, object]) -> Model:
    done = fit(directory, cluster)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return load_model(str(run_directory(directory, cluster)))


def assert_same_bits(ours: Model, theirs: Model) -> None:
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(ours.mixture, name), getattr(theirs.mixture, name))
    assert ours.summary == theirs.summary


def assert_refused(done: subprocess.CompletedProcess[str], code: int, message: str) -> None:
    """The command ended with this code, and said why in one line."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("daskgmm: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert message in done.stderr
