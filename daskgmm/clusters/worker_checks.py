"""Before any work: whether the workers of a cluster can do it, asked of each of them.

What is asked first is of the standard library alone: a function of a package that a worker lacks would leave the client
waiting for ever.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from distributed import Client
from threadpoolctl import threadpool_info

from ..blas import single_threaded
from ..errors import ClusterLostError, ConfigurationError
from .connection import ANSWER_TIMEOUT
from .departures import departures_excused

Versions = Mapping[str, str]  # of a package, or that it is missing, by the address of the worker
_OWN = "daskgmm"
_SAME = ("dask", "distributed")  # they speak a protocol of their own release
_LIKE = ("numpy", "scipy", "numba", "zarr", "threadpoolctl", "pydantic", "fsspec")  # they may differ in the last digits
_MISSING = "missing"
_UNKNOWN = "of an unknown version"


@dataclass(frozen=True)
class Difference:
    """A package that is not on some workers as it is here."""

    package: str
    here: str
    there: str  # the version, or that it is missing
    workers: tuple[str, ...]  # addresses, and the scheduler
    matters: bool

    def __str__(self) -> str:
        return f"{self.package} is {self.here} here and {self.there} on {_named(list(self.workers))}"


def differences(client: Client) -> list[Difference]:
    """Return where the packages of the workers differ from those here."""
    found = _compared("python", platform.python_version(), answers(client, platform.python_version), _same_minor)
    for package in (*_SAME, *_LIKE):
        exact = package in _SAME
        alike = (lambda a, b: a == b) if exact else _same_major
        found += _compared(package, version(package), _versions(client, package), alike)
    fitting = {_MISSING, _sent_version()}  # where it is missing it can be sent
    own = {place: there for place, there in _own_versions(client).items() if there not in fitting}
    return found + _compared(_OWN, version(_OWN), own, lambda here, there: here == there)


def check_packages(client: Client, tell: Callable[[str], None]) -> None:
    """Raise ConfigurationError where workers lack what a job needs, or have it in a version that cannot work with ours.

    Differences that may change the last digits of results are told. Where this package is missing it is sent.
    """
    found = differences(client)
    for difference in found:
        tell(str(difference))
    if any(difference.matters for difference in found):
        serious = "; ".join(str(difference) for difference in found if difference.matters)
        raise ConfigurationError(
            f"{serious}: install the same packages on the workers, use their image here, or "
            f"restart workers and scheduler that were sent another {_OWN}"
        )
    _have_own_package(client, tell)


def excuse_departures(client: Client) -> None:
    """Have the scheduler blame no task for workers that leave as announced; raise ClusterLostError if it is silent."""
    _of_scheduler(client, departures_excused(client))


def check_paths(client: Client, inputs: Iterable[Path], output: Path | None) -> None:
    """Raise ConfigurationError where a worker does not see what is read, or the directory that is written."""
    for path in inputs:
        blind = [worker for worker, sees in answers(client, os.access, str(path), os.R_OK).items() if not sees]
        if blind:
            raise ConfigurationError(
                f"{path} is not readable on {_named(blind)}: workers read what their own machine sees; use a file "
                "system that all share, or a URL"
            )
    if output is not None:
        _check_output(client, output)


def blas_threads(client: Client) -> int:
    """Return how many threads BLAS uses in a task, on the worker where it uses most."""
    return max((int(n) for n in answers(client, _blas_threads).values()), default=1)


def blas_kernels(client: Client) -> dict[str, list[str]]:
    """Return the workers' addresses by the kernels that BLAS takes for their processors, those of this process too."""
    found: defaultdict[str, list[str]] = defaultdict(list, {_blas_kernels(): ["this process"]})
    for worker, kernels in answers(client, _blas_kernels).items():
        found[kernels].append(worker)
    return dict(found)


def memory_limits(client: Client) -> dict[str, int]:
    """Return the memory that each worker may take, bytes, by address; workers without a limit are left out."""
    return {address: int(one["memory_limit"]) for address, one in _workers(client).items() if one["memory_limit"]}


def most_threads(client: Client) -> int:
    """Return how many tasks run at once in the worker that runs most."""
    return max((int(one["nthreads"]) for one in _workers(client).values()), default=1)


def _workers(client: Client) -> Mapping[str, Any]:
    async def ask() -> Any:
        return await client.scheduler.identity(n_workers=-1)

    workers: Mapping[str, Any] = _of_scheduler(client, ask)["workers"]
    return workers


def _of_scheduler(client: Client, ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return what the scheduler answers; raise ClusterLostError where it does not within stall_timeout."""
    try:
        return client.sync(ask, callback_timeout=_patience())
    except TimeoutError:
        raise ClusterLostError(
            f"the scheduler did not answer within {_patience():g} s: restart it if it is stuck, or raise "
            "cluster.stall_timeout"
        ) from None


def _patience() -> float:
    return ANSWER_TIMEOUT.get()


def answers(
    client: Client, function: Callable[..., Any], *arguments: Any, on_error: Literal["raise", "return"] = "raise"
) -> dict[str, Any]:
    """Return what each worker answers, by its address; one that is lost meanwhile is left out.

    The function itself must raise no OSError: that is how a lost worker is told. Raises ClusterLostError where one
    gives no answer for stall_timeout: the watchdog looks at tasks, and this is none.
    """

    async def ask() -> Any:
        return await client.run(function, *arguments, on_error="return")

    try:
        returned = client.sync(ask, callback_timeout=_patience())
    except TimeoutError:
        silent = min(_workers(client).items(), key=lambda item: float(item[1]["last_seen"]), default=("none", None))[0]
        raise ClusterLostError(
            f"workers did not all answer within {_patience():g} s, {silent} was not heard of for longest: restart "
            "those that are stuck, or raise cluster.stall_timeout"
        ) from None
    there = {worker: answer for worker, answer in returned.items() if not isinstance(answer, OSError)}
    failed = next((answer for answer in there.values() if isinstance(answer, Exception)), None)
    if failed is not None and on_error == "raise":
        raise failed
    return there


def _versions(client: Client, package: str) -> Versions:
    found = answers(client, version, package, on_error="return")
    return {worker: answer if isinstance(answer, str) else _MISSING for worker, answer in found.items()}


def _compared(package: str, here: str, there: Versions, alike: Callable[[str, str], bool]) -> list[Difference]:
    workers = defaultdict(list)
    for worker, other in there.items():
        if other != here:
            workers[other].append(worker)
    return [
        Difference(package, here, other, tuple(sorted(of)), other == _MISSING or not alike(here, other))
        for other, of in sorted(workers.items())
    ]


def _same_minor(first: str, second: str) -> bool:
    return first.split(".")[:2] == second.split(".")[:2]


def _same_major(first: str, second: str) -> bool:
    return first.split(".")[0] == second.split(".")[0]


def _own_versions(client: Client) -> Versions:
    """Return the version of this package on each worker and on the scheduler, that of sent code with its digest."""

    async def ask(function: Callable[..., Any]) -> Any:
        try:
            return await client.run_on_scheduler(function, _OWN)
        except PackageNotFoundError:
            return None

    found = answers(client, find_spec, _OWN, on_error="return")
    found["the scheduler"] = _of_scheduler(client, partial(ask, find_spec))
    versions = {**_versions(client, _OWN), "the scheduler": _of_scheduler(client, partial(ask, version)) or _MISSING}
    there = {place: versions.get(place, _MISSING) for place in found}
    return {place: _UNKNOWN if one == _MISSING and found[place] is not None else one for place, one in there.items()}


def _have_own_package(client: Client, tell: Callable[[str], None]) -> None:
    """Send this package to the workers and the scheduler, now and for workers to come, unless all have it."""
    lacking = [place for place, there in _own_versions(client).items() if there == _MISSING]
    if lacking:
        tell(f"{_OWN} is missing on {_named(lacking)}: it is sent there")
        with tempfile.TemporaryDirectory() as folder:
            packed = _packed(Path(folder))

            async def send() -> Any:
                return await client.upload_file(packed)

            _of_scheduler(client, send)


def _packed(folder: Path) -> str:
    """Return the path of a zip of this package with its metadata, from which workers can tell the version."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_package(), folder / "content" / _OWN, ignore=ignore)
    metadata = folder / "content" / f"{_OWN}-{_sent_version()}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {_OWN}\nVersion: {_sent_version()}\n")
    return shutil.make_archive(str(folder / _OWN), "zip", folder / "content")


@cache
def _sent_version() -> str:
    """Return the version of this package as it is sent, with a digest: development changes code, not the version."""
    digest = sha256()
    for path in sorted(_package().rglob("*.py")):
        digest.update(f"{path.relative_to(_package()).as_posix()}\n".encode() + path.read_bytes())
    return f"{version(_OWN)}+{digest.hexdigest()[:12]}"


def _package() -> Path:
    return Path(sys.modules[_OWN].__file__ or "").parent


def _check_output(client: Client, output: Path) -> None:
    """Ask each worker for a file that is written here, since another machine may have a directory of that name too."""
    made = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=output, prefix=".probe-") as probe:
        sees = answers(client, os.path.exists, probe.name)
        writes = answers(client, os.access, str(output), os.W_OK)
    if made:
        output.rmdir()
    bad = [worker for worker in sees if not (sees[worker] and writes.get(worker, True))]
    if bad:
        raise ConfigurationError(
            f"output.directory {output} is not the same directory, or not writable, on {_named(bad)}: results are "
            "written by the workers; use a file system that all share, or a URL"
        )


def _named(workers: list[str]) -> str:
    return workers[0] + (f" and {len(workers) - 1} more" if len(workers) > 1 else "")


def _blas_threads() -> int:
    with single_threaded():
        return max((int(one["num_threads"]) for one in threadpool_info() if one["user_api"] == "blas"), default=1)


def _blas_kernels() -> str:
    libraries = (one for one in threadpool_info() if one["user_api"] == "blas")
    return " and ".join(sorted({f"{one['internal_api']} {one.get('architecture')}" for one in libraries}))
