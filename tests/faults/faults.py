"""The faults: what is done to a fit, and how it must end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from distributed import Client

from daskgmm.storage.run.lock import LOCK, Owner
from daskgmm.storage.run.staging import FOLDER

from .store import Read
from .trial import N_CHUNKS, Trial

Inject = Callable[[Trial, int], None]  # the trial, and how many chunks a fit reads in all

THREADS = {"kind": "threads", "n_workers": 2}
LOCAL = {"kind": "local", "n_workers": 2, "dashboard_address": "127.0.0.1:0", "stall_timeout": 60}
FREEZING = {**LOCAL, "stall_timeout": 20}  # the scheduler gives a worker up that it does not hear for 8 seconds
ADDRESS = {"kind": "address", "n_workers": 2, "stall_timeout": 60}


@dataclass(frozen=True, eq=False)
class Fault:
    """A fault that is survived, or that ends a fit with an exit code and one line that holds `message`."""

    name: str
    inject: Inject
    cluster: Mapping[str, Any] = field(default_factory=lambda: LOCAL)
    message: str | None = None
    persist: bool = False
    workers: tuple[str, ...] = ()  # options of `dask worker`
    n_workers: int = 2
    code: int = 5  # where there is a message
    damage: Callable[[Path], None] | None = None  # to the run directory once the fit has ended, which then is resumed

    def __str__(self) -> str:
        return self.name


def in_summary(n_reads: int) -> int:
    return N_CHUNKS // 2


def in_pass(n_reads: int) -> int:
    """Return a read in the middle of the second pass."""
    return 2 * N_CHUNKS + N_CHUNKS // 2


def at_end_of_pass(n_reads: int) -> int:
    return 3 * N_CHUNKS


def in_predict(n_reads: int) -> int:
    return n_reads - N_CHUNKS // 2


When = Callable[[int], int]


def reader(when: When, number: int = signal.SIGKILL) -> Inject:
    """Send a signal to the process that reads."""

    def inject(trial: Trial, n_reads: int) -> None:
        trial.store.on_read(when(n_reads), lambda read: trial.hit(read.pid, with_signal=number))

    return inject


def later(seconds: float, action: Callable[[], None]) -> None:
    """Do something in a while, beside the trial."""

    def wait() -> None:
        time.sleep(seconds)
        action()

    Thread(target=wait, daemon=True).start()


def reader_soon(when: When) -> Inject:
    """Kill the process that read the last chunk of a pass, when the statistics are being added up."""

    def inject(trial: Trial, n_reads: int) -> None:
        def action(read: Read) -> None:
            later(0.05, partial(trial.hit, read.pid))

        trial.store.on_read(when(n_reads), action)

    return inject


def one_while_seeding(trial: Trial, n_reads: int) -> None:
    trial.on_line("seed", lambda: trial.hit(trial.local_workers()[0]))


def one_that_holds_rows(trial: Trial, n_reads: int) -> None:
    """Kill a worker between two passes over rows in memory: those that it held are read again."""
    trial.on_line("iteration   2", lambda: trial.hit(trial.local_workers()[0]))


def all_local(trial: Trial, n_reads: int) -> None:
    trial.store.on_read(in_pass(n_reads), lambda read: trial.hit(*trial.local_workers()))


def all_local_frozen(trial: Trial, n_reads: int) -> None:
    def freeze(read: Read) -> None:
        trial.hit(*trial.local_workers(), with_signal=signal.SIGSTOP)

    trial.store.on_read(in_pass(n_reads), freeze)


def _nannies(trial: Trial) -> list[int]:
    return [one.pid for one in trial.cluster.workers]


def _kill_all(trial: Trial) -> None:
    """Kill nannies, so that nothing is started again; their workers end with them."""
    trial.hit(*_nannies(trial))


def all_lost_and_back(trial: Trial, n_reads: int) -> None:
    def action(read: Read) -> None:
        _kill_all(trial)
        later(2.0, lambda: [trial.cluster.add_worker() for _ in range(2)] and None)

    trial.store.on_read(in_pass(n_reads), action)


def all_lost(trial: Trial, n_reads: int) -> None:
    trial.store.on_read(in_pass(n_reads), lambda read: _kill_all(trial))


def up_and_down(trial: Trial, n_reads: int) -> None:
    """Add a worker in the first pass, and end another, as a batch system does, in the third."""
    trial.store.on_read(N_CHUNKS + 4, lambda read: later(0, trial.cluster.add_worker))
    end = partial(trial.hit, trial.cluster.workers[0].pid, with_signal=signal.SIGTERM)
    trial.store.on_read(3 * N_CHUNKS + 4, lambda read: end())


def hog(megabytes: int) -> None:
    """Take memory, until the nanny ends this process."""
    held = []
    for _ in range(megabytes // 50):
        held.append(np.ones(50 * 2**17))
        time.sleep(0.02)
    time.sleep(60)


def out_of_memory(trial: Trial, n_reads: int) -> None:
    """Have a worker take more memory than it may."""

    def take() -> None:
        trial.hit()
        with Client(scheduler_file=str(trial.cluster.scheduler_file), set_as_default=False) as client:
            worker = next(iter(client.scheduler_info(n_workers=-1)["workers"]))
            client.run(_hog_beside, workers=[worker])

    trial.store.on_read(in_pass(n_reads), lambda read: later(0, take))


def _hog_beside() -> None:
    Thread(target=hog, args=(2000,), daemon=True).start()


POISONED = 7  # chunk of the rows


def poison(trial: Trial, n_reads: int) -> None:
    """Kill whichever worker reads one chunk."""
    trial.store.on_chunk(f"{POISONED}/0", lambda read: trial.hit(read.pid))


def scheduler(when: When, number: int = signal.SIGKILL) -> Inject:
    def inject(trial: Trial, n_reads: int) -> None:
        assert trial.cluster.scheduler is not None
        action = partial(trial.hit, trial.cluster.scheduler.pid, with_signal=number)
        trial.store.on_read(when(n_reads), lambda read: action())

    return inject


def scheduler_while_seeding(trial: Trial, n_reads: int) -> None:
    assert trial.cluster.scheduler is not None
    pid = trial.cluster.scheduler.pid
    trial.on_line("seed", lambda: trial.hit(pid))


def busy_store(trial: Trial, n_reads: int) -> None:
    """Refuse a chunk twice in a pass, as busy."""
    first = in_pass(n_reads)

    def refuses(read: Read) -> bool:
        if read.number >= first and trial.store.n_refused < 2:
            trial.hit()
            return True
        return False

    trial.store.refuses = refuses


def expired_store(trial: Trial, n_reads: int) -> None:
    """Refuse all chunks from the middle of a pass on, as when credentials expire."""
    first, trial.store.refusal = in_pass(n_reads), 403

    def refuses(read: Read) -> bool:
        if read.number >= first:
            trial.hit()
        return read.number >= first

    trial.store.refuses = refuses


def hanging_store(trial: Trial, n_reads: int) -> None:
    """Never answer one chunk."""

    def hang(read: Read) -> None:
        trial.hit()
        time.sleep(300)

    trial.store.on_read(in_pass(n_reads), hang)


def tasks_bring_workers(trial: Trial, n_reads: int) -> None:
    """Add workers once the scheduler would have an adaptive cluster start one."""

    def scale() -> None:
        trial.hit()
        with Client(scheduler_file=str(trial.cluster.scheduler_file), set_as_default=False) as client:
            while client.run_on_scheduler(_adaptive_target) == 0:
                time.sleep(0.2)
        for _ in range(2):
            trial.cluster.add_worker()

    later(0, scale)


def _adaptive_target(dask_scheduler: Any) -> int:
    return int(dask_scheduler.adaptive_target())


def to_the_group(when: When, number: int) -> Inject:
    """Send a signal to all processes of the fit, as terminals and batch systems do."""

    def inject(trial: Trial, n_reads: int) -> None:
        def send(read: Read) -> None:
            assert trial.process is not None
            trial.hit()
            os.killpg(trial.process.pid, number)

        trial.store.on_read(when(n_reads), send)

    return inject


def client_killed(when: When) -> Inject:
    """Kill the fit itself."""

    def inject(trial: Trial, n_reads: int) -> None:
        def kill(read: Read) -> None:
            assert trial.process is not None
            trial.hit(trial.process.pid)

        trial.store.on_read(when(n_reads), kill)

    return inject


def vanished_store(trial: Trial, n_reads: int) -> None:
    """Take the data away in the middle of a pass, as a file system that is unmounted."""

    def vanish(read: Read) -> None:
        trial.hit()
        trial.store.is_there = False

    trial.store.on_read(in_pass(n_reads), vanish)


def lock_of_namesake(trial: Trial, n_reads: int) -> None:
    """Let a run live in the directory whose machine has the name and the process numbers of this one."""
    elsewhere = replace(Owner.this_process(), boot="of another machine", pid=4_000_001)
    lock = trial.directory / LOCK
    lock.parent.mkdir()
    lock.write_text(json.dumps(asdict(elsewhere)))
    trial.hit()

    def beat() -> None:
        while lock.exists() and trial.code is None:
            os.utime(lock)
            time.sleep(1.0)

    Thread(target=beat, daemon=True).start()


def taken_over(trial: Trial, n_reads: int) -> None:
    """Stop the client in a pass, let a job on another machine take its directory over, and wake it."""

    def take_over(read: Read) -> None:
        trial.hit(read.pid, with_signal=signal.SIGSTOP)
        (trial.directory / LOCK).write_text(json.dumps(asdict(replace(Owner.this_process(), host="elsewhere"))))
        trial.hit(read.pid, with_signal=signal.SIGCONT)

    trial.store.on_read(in_pass(n_reads), take_over)


def tear(folder: Path) -> None:
    """Cut a chunk of labels to half, and remove one of the log-densities, as a disk does that loses power."""
    first, *_ = sorted((folder / "labels.zarr/labels/c").iterdir())
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    *_, last = sorted((folder / "log_density.zarr/log_density/c").iterdir())
    last.unlink()


def tear_unfinished(run: Path) -> None:
    tear(run / FOLDER)


def change_model(run: Path) -> None:
    """Turn a bit of a mean of a finished run."""
    path = run / "model.zarr/means/c/0/0"
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def nothing(trial: Trial, n_reads: int) -> None:
    trial.hit()


LOST, STALLED = "the connection to the scheduler was lost", "no task was completed for "
NO_NANNY = ("--no-nanny",)
LIFETIME = ("--lifetime", "30s", "--lifetime-stagger", "10s", "--lifetime-restart")

FAULTS = [
    Fault("worker killed in the data summary", reader(in_summary)),
    Fault("worker killed while seeding", one_while_seeding),
    Fault("worker killed in a pass", reader(in_pass)),
    Fault("worker killed that holds rows", one_that_holds_rows, persist=True),
    Fault("worker killed while statistics are added up", reader_soon(at_end_of_pass)),
    Fault("worker killed in the prediction", reader(in_predict)),
    Fault("worker killed, none started in its place", reader(in_pass), ADDRESS, workers=NO_NANNY),
    Fault("worker frozen in a pass", reader(in_pass, signal.SIGSTOP), FREEZING),
    Fault("all workers frozen", all_local_frozen, FREEZING),
    Fault(
        "worker frozen, the scheduler is another's", reader(in_pass, signal.SIGSTOP), {**ADDRESS, "stall_timeout": 8}
    ),
    Fault("worker out of memory", out_of_memory, ADDRESS, workers=("--memory-limit", "700MiB")),
    Fault("all workers killed, and restarted", all_local),
    Fault("all workers lost, and others come", all_lost_and_back, ADDRESS),
    Fault("a worker more, then one less", up_and_down, ADDRESS),
    Fault("reads refused for a while", busy_store),
    Fault("no worker until there are tasks", tasks_bring_workers, ADDRESS, n_workers=0),
    Fault("SIGUSR1 to all processes", to_the_group(in_pass, signal.SIGUSR1), message="stopped by SIGUSR1"),
    Fault("chunk that kills each worker", poison, message=f"rows [{POISONED * 500}:{POISONED * 500 + 500}] of"),
    Fault("read that never ends", hanging_store, {**LOCAL, "stall_timeout": 20}, STALLED),  # workers start in that time
    Fault(
        "all workers lost for good",
        all_lost,
        {**ADDRESS, "stall_timeout": 8, "start_timeout": 20},
        "there is no worker",
    ),
    Fault(
        "all workers frozen for good",
        reader(in_pass, signal.SIGSTOP),
        {**ADDRESS, "stall_timeout": 8, "n_workers": 1},
        "1 of 1 workers are not heard of",
        workers=NO_NANNY,
        n_workers=1,
    ),
    Fault("no worker at the start", nothing, {**ADDRESS, "start_timeout": 2}, "came within 2 s", n_workers=0),
    Fault("scheduler killed while seeding", scheduler_while_seeding, ADDRESS, LOST),
    Fault("scheduler killed in a pass", scheduler(in_pass), ADDRESS, LOST),
    Fault(
        "killed in the prediction, chunks of results torn", client_killed(in_predict), THREADS, damage=tear_unfinished
    ),
    Fault("finished, then chunks of results torn", nothing, THREADS, damage=tear),
    Fault("data vanish in a pass", vanished_store, message="zarr.json is not there", code=3),
    Fault("a machine of this name writes there", lock_of_namesake, THREADS, "is in use by"),
    Fault("scheduler frozen", scheduler(in_pass, signal.SIGSTOP), {**ADDRESS, "stall_timeout": 8}, "does not answer"),
]

RARER = [  # tried in the loop only: they differ little from others, and tests shall not take long
    Fault("workers with a lifetime", nothing, ADDRESS, workers=LIFETIME),
    Fault("client killed", client_killed(in_pass), message="", code=-signal.SIGKILL),
    Fault("SIGINT to all processes", to_the_group(in_pass, signal.SIGINT), message="stopped by SIGINT", code=130),
    Fault(
        "SIGINT to all processes in the prediction",
        to_the_group(in_predict, signal.SIGINT),
        message="stopped by SIGINT",
        code=130,
    ),
    Fault(
        "SIGUSR1 to all processes in the prediction",
        to_the_group(in_predict, signal.SIGUSR1),
        message="stopped by SIGUSR1",
    ),
    Fault("worker frozen in the prediction", reader(in_predict, signal.SIGSTOP), FREEZING),
    Fault("scheduler killed in the data summary", scheduler(in_summary), ADDRESS, LOST),
    Fault("scheduler killed in the prediction", scheduler(in_predict), ADDRESS, LOST),
    Fault("finished, then a bit of the model turned", nothing, THREADS, damage=change_model),
    Fault("client frozen, its directory taken over", taken_over, THREADS, message="was taken over by", code=3),
    Fault("credentials of the data expire in a pass", expired_store, message="access is denied", code=3),
]
