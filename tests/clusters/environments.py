"""Schedulers and workers in processes of their own, with packages of our choice."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_RUN = "import sys; sys.path[:0] = sys.argv.pop(1).split(':'); from dask.__main__ import main; main()"


@contextmanager
def process(command: Sequence[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for as long as the block lasts."""
    running = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(timeout=20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def cluster_of_processes(folder: Path, n_workers: int = 1, path: Sequence[Path] = ()) -> Iterator[Path]:
    """Give the scheduler file of a scheduler and workers whose modules are found in the folders of `path` first.

    Without `path` they have the packages of this process; with it, those alone (and the standard library).
    """
    file = folder / "scheduler.json"
    flags = ["-S"] if path else []
    start = [sys.executable, *flags, "-c", _RUN, ":".join(str(one) for one in path) if path else os.getcwd()]
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    worker = ["worker", "--scheduler-file", str(file), "--no-nanny", "--no-dashboard", "--nthreads", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" or not path}
    with ExitStack() as stack:
        stack.enter_context(process([*start, *scheduler], env=environment, **quiet))
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert file.exists(), "the scheduler did not start"
        for number in range(n_workers):
            local = ["--local-directory", str(folder / f"worker-{number}")]
            stack.enter_context(process([*start, *worker, *local], env=environment, **quiet))
        yield file


def site_without(folder: Path, *hidden: str) -> Path:
    """Return a folder that has all installed packages but those whose names begin so."""
    site = Path(sysconfig.get_path("purelib"))
    folder.mkdir()
    for one in site.iterdir():
        if not one.name.startswith((*hidden, "__editable__", "_editable")) and one.suffix != ".pth":
            (folder / one.name).symlink_to(one)
    return folder


def forged(folder: Path, package: str, version: str) -> Path:
    """Return a folder that claims to hold a package in a version."""
    information = folder / f"{package}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    return folder
