"""A fit in a process of its own, beside the store that it reads and the cluster that it computes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import psutil
import yaml
import zarr

from daskgmm.storage.formats.model import load_model
from daskgmm.storage.formats.results_zarr import read_result

from ..clusters.processes import assert_same_bits, environment, running, wait_until
from .store import Store, store_of

N_CHUNKS, CHUNK_ROWS, N_FEATURES = 24, 500, 3
N_ITERATIONS = 5
PACE = 0.02  # seconds for a chunk: a pass takes long enough to be hit
LONGEST = 240.0  # seconds; a trial that takes longer hangs, also on a machine that others keep busy


def make_rows(folder: Path) -> None:
    """Write the rows that all trials fit: two clouds that overlap, so that EM goes on for all its iterations."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((N_CHUNKS * CHUNK_ROWS, N_FEATURES))
    rows[::2] += 1.5
    zarr.create_array(str(folder / "rows.zarr"), data=rows, chunks=(CHUNK_ROWS, N_FEATURES))


def job(store: Store, directory: Path, cluster: Mapping[str, object], persist: bool) -> dict[str, Any]:
    return {
        "data": {"path": f"{store.url}/rows.zarr"},
        "model": {"n_components": 2},
        "fit": {"max_iter": N_ITERATIONS, "tol": 1e-12, "n_init": 4, "sample_size": 6000},
        "cluster": dict(cluster),
        "compute": {"chunk_bytes": 12_000, "read_ahead": 0, "persist": persist},
        "output": {"directory": str(directory), "log_density": True, "report": False},
    }


@dataclass
class DaskCluster:
    """`dask scheduler` and `dask worker` processes; workers come and go."""

    folder: Path
    mark: str
    stack: ExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    scheduler: subprocess.Popen[bytes] | None = None

    @property
    def scheduler_file(self) -> Path:
        return self.folder / "scheduler.json"

    def start(self, n_workers: int, *options: str) -> None:
        place = ["--scheduler-file", str(self.scheduler_file), "--host", "127.0.0.1"]
        command = [sys.executable, "-m", "dask", "scheduler", *place, "--port", "0", "--no-dashboard"]
        self.scheduler = self.stack.enter_context(running(command, self.mark, self.folder / "scheduler.log"))
        wait_until(self.scheduler_file.exists, "the scheduler file")
        for _ in range(n_workers):
            self.add_worker(*options)

    def add_worker(self, *options: str) -> None:
        number = len(self.workers)
        local = ["--local-directory", str(self.folder / f"worker-{number}"), "--nthreads", "1", "--no-dashboard"]
        place = ["--scheduler-file", str(self.scheduler_file), "--host", "127.0.0.1"]
        command = [sys.executable, "-m", "dask", "worker", *place, *local, *options]
        self.workers.append(self.stack.enter_context(running(command, self.mark, self.folder / f"worker-{number}.log")))


@dataclass
class Trial:
    """A fit that runs: what a fault can get hold of."""

    store: Store
    cluster: DaskCluster
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)
    listeners: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    hit_at: float | None = None  # when the fault was made, by the monotonic clock

    @property
    def directory(self) -> Path:
        """The run directory of the fit."""
        return self.cluster.folder / "run"

    @property
    def code(self) -> int | None:
        """How the fit has ended, None before that."""
        return None if self.process is None else self.process.poll()

    def on_line(self, begin: str, action: Callable[[], None]) -> None:
        """Do something when the fit prints a line that begins so."""
        self.listeners.append((begin, action))

    def hit(self, *pids: int | None, with_signal: int = signal.SIGKILL) -> None:
        """Send a signal to processes that live."""
        self.hit_at = self.hit_at or time.monotonic()
        for pid in pids:
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, with_signal)

    def local_workers(self) -> list[int]:
        """Return the worker processes that the fit itself has started."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child.pid for child in children if _is_spawned(child)]

    def listen(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            for begin, action in self.listeners:
                if line.startswith(begin):
                    action()


def _is_spawned(process: psutil.Process) -> bool:
    try:
        return any("spawn_main" in word for word in process.cmdline())
    except psutil.Error:
        return False


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    code: int | None  # None: it had to be killed
    stderr: str
    stdout: str
    seconds: float  # of the whole process
    seconds_after: float  # the fault
    directory: Path
    n_reads: int


@contextmanager
def prepared(folder: Path, data: Path, mark: str) -> Iterator[Trial]:
    with store_of(data, PACE) as store, ExitStack() as stack:
        yield Trial(store, DaskCluster(folder, mark, stack))


def run(
    trial: Trial, folder: Path, cluster: Mapping[str, object], mark: str, persist: bool = False, *options: str
) -> Outcome:
    """Run the fit to its end; one that hangs is killed."""
    directory, config, errors = trial.directory, folder / "job.yaml", folder / "stderr"
    config.write_text(yaml.safe_dump(job(trial.store, directory, cluster, persist)))
    begin = time.monotonic()
    with errors.open("w") as stderr:
        command = [sys.executable, "-m", "daskgmm", "fit", str(config), *options]
        trial.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment(mark), start_new_session=True
        )
        listener = Thread(target=trial.listen)
        listener.start()
        code = _ended(trial.process)
        end = time.monotonic()
        listener.join()
        assert trial.process.stdout is not None
        trial.process.stdout.close()
    after = end - trial.hit_at if trial.hit_at is not None else 0.0
    text = errors.read_text()
    return Outcome(code, text, "".join(trial.lines), end - begin, after, directory, trial.store.n_reads)


def _ended(process: subprocess.Popen[str]) -> int | None:
    try:
        return process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def assert_same_results(ours: Path, theirs: Path) -> None:
    """Everything that a fit leaves is the same, bit by bit; only its times differ."""
    assert_same_bits(load_model(str(ours)), load_model(str(theirs)))
    for name in ("labels", "log_density"):
        np.testing.assert_array_equal(read_result(ours, name), read_result(theirs, name))
    assert _iterations(ours) == _iterations(theirs)
    assert not (ours / ".unfinished").exists()


def _iterations(directory: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in one.items() if name not in {"seconds", "rows_per_second"}} for one in records
    ]
