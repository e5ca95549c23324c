"""What all tests share: seeded properties, the two small data sets, and a fit in few words."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

from daskgmm.chunked.data_summary import summarise_and_sample
from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.initialization import run_restarts
from daskgmm.core.em.loop import State, Trial, iterate
from daskgmm.core.options.fit import FitOptions

from .clusters.slurm import SlurmController, slurm_on_loopback, why_not
from .references.answers import Folder
from .servers import Bucket, Web, s3_server, web_server

settings.register_profile("daskgmm", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("daskgmm")

PROCESSES_OF_ALL_TESTS = 3  # some tests wait for processes of theirs: this keeps two cores busy
PROCESSES_OF_SLOW_TESTS = 4  # these wait more than they compute
DAYS_OF_SAMPLED_TESTS = 3  # in which all cases of tests with `sampled` have run, if none is named
DAYS_OF_SLOW_TESTS = 2  # in which all other slow tests have run, but those with `rotated`


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Have all tests run in several processes unless -n says otherwise; tests that are named run in this one."""
    is_one_of_them = hasattr(config, "workerinput")
    if tests_are_named(config) or is_one_of_them or not config.pluginmanager.hasplugin("xdist"):
        return
    if config.option.numprocesses is not None:
        return
    slow = config.option.markexpr == "slow"
    config.option.numprocesses = PROCESSES_OF_SLOW_TESTS if slow else PROCESSES_OF_ALL_TESTS
    config.option.dist = "worksteal"


def tests_are_named(config: pytest.Config) -> bool:
    return config.args_source is pytest.Config.ArgsSource.ARGS


def day_of(config: pytest.Config) -> int | None:
    """Return the number of the day, by which cases of slow tests are chosen; None if tests are named: all cases run."""
    if hasattr(config, "workerinput"):
        day: int | None = config.workerinput["day"]
        return day
    return None if tests_are_named(config) else datetime.now(UTC).toordinal()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the processes of tests the day, so that all choose the same cases."""
    node.workerinput["day"] = day_of(node.config)


@pytest.hookimpl(tryfirst=True)  # before slow ones are left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave some cases of long lists to the slow tests, and some of those to other days."""
    mark_sampled(items)
    day = day_of(config)
    if day is not None:
        others = cases_of_other_days(items, day)
        config.hook.pytest_deselected(items=others)
        left_out = {*others}
        items[:] = [item for item in items if item not in left_out]


def cases_of_other_days(items: list[pytest.Item], day: int) -> list[pytest.Item]:
    """Return the slow cases of other days: of each test with `sampled` or `rotated`, and of all others together."""
    seen: Counter[str] = Counter()
    others = []
    for item in items:
        if item.get_closest_marker("slow") is None:
            continue
        together, every = item.nodeid.partition("[")[0], DAYS_OF_SAMPLED_TESTS
        if rotated := item.get_closest_marker("rotated"):
            every = rotated.kwargs["every"]
        elif item.get_closest_marker("sampled") is None:
            together, every = "", DAYS_OF_SLOW_TESTS
        if (seen[together] + day) % every:
            others.append(item)
        seen[together] += 1
    return others


def mark_sampled(items: list[pytest.Item]) -> None:
    """Mark all but every n-th case of a test with `sampled` as slow."""
    seen: Counter[str] = Counter()
    for item in items:
        sampled = item.get_closest_marker("sampled")
        if sampled is None:
            continue
        name = item.nodeid.partition("[")[0]
        if seen[name] % sampled.kwargs["every"]:
            item.add_marker(pytest.mark.slow)
        seen[name] += 1


@pytest.fixture(scope="session", autouse=True)
def compile_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let one of the processes compile a function, and the others load it from the cache: it takes a minute in all.

    Numba looks for a function in the cache, and compiles and stores it, in `Dispatcher.compile`.
    """
    if not hasattr(request.config, "workerinput"):
        yield
        return
    folder, compile_alone = Path(tempfile.gettempdir()), Dispatcher.compile
    run, held = request.config.workerinput["testrunuid"], set[str]()

    def compile_in_turn(self: Dispatcher, signature: object) -> object:
        name = f"daskgmm-{run}-{self.py_func.__module__}-{self.py_func.__qualname__}.lock".replace("/", "-")
        with global_compiler_lock:  # of the threads of this process
            if name in held:  # it calls itself
                return compile_alone(self, signature)
            with (folder / name).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                held.add(name)
                try:
                    return compile_alone(self, signature)
                finally:
                    held.remove(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatcher, "compile", compile_in_turn)
        yield
    for lock in folder.glob(f"daskgmm-{run}-*.lock"):
        lock.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def faithful():
    """272 eruptions of Old Faithful: duration and waiting time, minutes."""
    return Folder().rows("data/faithful.csv")


@pytest.fixture(scope="session")
def galaxies():
    """Velocities of 82 galaxies, 1000 km/s, (82, 1)."""
    return Folder().rows("data/galaxies.csv")


@pytest.fixture(scope="session")
def fit():
    """The data flow of DESIGN section 3 up to the model, with the options that a user gives; returns the best trial."""

    def fit(rows, model, options=None):
        options = options or FitOptions()
        data_summary, sample = summarise_and_sample(
            rows, options.n_sample(model, rows.n_features), options.random_state
        )
        mixtures = run_restarts(sample, options.seed_options(model, data_summary), options.random_state).mixtures
        state = State(data_summary, tuple(Trial(mixture) for mixture in mixtures))
        return iterate(state, Expectation(rows, data_summary), options.em(model, data_summary)).best

    return fit


@pytest.fixture(scope="session")
def s3() -> Iterator[Bucket]:
    """A bucket on an S3 server on loopback, with the storage options that reach it."""
    with s3_server() as bucket:
        yield bucket


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmController]:
    """SLURM on loopback, where its programs are installed."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"no SLURM: {reason}")
    with slurm_on_loopback(tmp_path_factory.mktemp("slurm")) as controller:
        yield controller


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """The test's directory behind an HTTP server on loopback that can be told to refuse requests."""
    with web_server(tmp_path) as web:
        yield web


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, mounted in the test's directory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", disk], check=True)
