"""Before any work: whether the workers of a cluster can do it, asked of each of them.

What is asked first is of the standard library alone: a function of a package that a worker lacks would leave the client
waiting for ever.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import distributions
from importlib.util import find_spec
from operator import eq
from pathlib import Path
from typing import Any, Literal

from distributed import Client
from threadpoolctl import threadpool_info

from ..blas import single_threaded
from ..errors import ClusterLostError, ConfigurationError
from ..filesystem.location import remove_if_empty
from .connection import ANSWER_TIMEOUT
from .dask_internals import worker_descriptions
from .departures import departures_excused
from .numba_internals import compilation_target

Versions = Mapping[str, str]  # or that it is missing: of a package by worker, or of a worker by package
_OWN_PACKAGE = "daskgmm"
_PROTOCOL_PACKAGES = ("dask", "distributed")  # they speak a protocol of their own release
# Of one major version; the other digits may differ.
_SAME_MAJOR_PACKAGES = ("numpy", "scipy", "numba", "zarr", "threadpoolctl", "pydantic", "fsspec")
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
        return f"{self.package} is {self.here} here and {self.there} on {_names_of(list(self.workers))}"


def check_packages(client: Client, tell: Callable[[str], None]) -> None:
    """Raise ConfigurationError if workers lack what a job needs, or have it in a version that cannot work with ours.

    Differences that may change the last digits of results are reported. Where this package is missing it is sent.
    """
    _refuse(differences(client), tell)  # first: other releases of Python do not run the functions that are sent next
    own = _own_versions(client)
    _refuse(_own_differences(own), tell)
    _send_own_package(client, [place for place, there in own.items() if there == _MISSING], tell)


def differences(client: Client) -> list[Difference]:
    """List the differences of Python and of needed packages between the workers and here."""

    async def ask() -> Any:
        return await client.get_versions(packages=[*_PROTOCOL_PACKAGES, *_SAME_MAJOR_PACKAGES])

    versions = _of_workers(client, ask)
    here = _versions(versions["client"])
    there = {worker: _versions(answer) for worker, answer in versions["workers"].items()}
    found = []
    for package, is_like in _COMPARISONS.items():
        of_workers = {worker: packages[package] for worker, packages in there.items()}
        found += _compare(package, here[package], of_workers, is_like)
    return found


def _versions(answer: Mapping[str, Any]) -> Versions:
    """Return the versions by package of what get_versions returns for one process."""
    versions = {package: version or _MISSING for package, version in answer["packages"].items()}
    return {**versions, "python": ".".join(versions["python"].split(".")[:3])}  # without .final.0


def _refuse(found: list[Difference], tell: Callable[[str], None]) -> None:
    """Report differences; raise ConfigurationError if one of them matters."""
    for difference in found:
        tell(str(difference))
    if serious := [str(difference) for difference in found if difference.matters]:
        raise ConfigurationError(
            f"{'; '.join(serious)}: install the same packages on the workers, use their image here, or "
            f"restart workers and scheduler that were sent another {_OWN_PACKAGE}"
        )


def excuse_departures(client: Client) -> None:
    """Have the scheduler blame no task for workers that leave as announced; raise ClusterLostError if it is silent."""
    _of_scheduler(client, departures_excused(client))


def check_paths(client: Client, inputs: Iterable[Path], output: Path | None) -> None:
    """Raise ConfigurationError if a worker does not see what is read, or the directory that is written."""

    def see(paths: list[str]) -> list[bool]:  # a function of its own, which is sent itself
        return [os.access(path, os.R_OK) for path in paths]

    paths = [str(path) for path in inputs]
    seen = answers(client, see, paths) if paths else {}
    for number, path in enumerate(paths):
        if blind := [worker for worker, sees in seen.items() if not sees[number]]:
            raise ConfigurationError(
                f"{path} is not readable on {_names_of(blind)}: workers read what their own machine sees; use a file "
                "system that all share, or a URL"
            )
    if output is not None:
        _check_output(client, output)


@dataclass(frozen=True)
class Blas:
    """How BLAS, and what numba compiles, computes in the tasks of the workers."""

    most_threads: int  # on the worker that uses most
    places: Mapping[str, list[str]]  # addresses of workers, and this process, by the kernels that it takes there


def blas_of_workers(client: Client) -> Blas:
    """Ask the workers for the threads of BLAS in a task, and for the kernels that it and numba take there."""
    there = answers(client, _own_blas)
    places: defaultdict[str, list[str]] = defaultdict(list, {_own_blas()[1]: ["this process"]})
    for worker, (_, kernels) in there.items():
        places[kernels].append(worker)
    return Blas(max((n_threads for n_threads, _ in there.values()), default=1), dict(places))


def memory_limits(client: Client) -> dict[str, int]:
    """Return the memory that each worker may take, bytes, by address; workers without a limit are left out."""
    return {address: int(one["memory_limit"]) for address, one in _workers(client).items() if one["memory_limit"]}


def most_threads(client: Client) -> int:
    """Return the largest number of tasks that run at once in a worker."""
    return max((int(one["nthreads"]) for one in _workers(client).values()), default=1)


def _workers(client: Client) -> Mapping[str, Any]:
    workers: Mapping[str, Any] = _of_scheduler(client, partial(worker_descriptions, client))
    return workers


def _of_scheduler(client: Client, ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return the scheduler's answer; raise ClusterLostError if it does not come within stall_timeout."""
    try:
        return client.sync(ask, callback_timeout=_answer_timeout())
    except TimeoutError:
        raise ClusterLostError(
            f"the scheduler did not answer within {_answer_timeout():g} s: restart it if it is stuck, or raise "
            "cluster.stall_timeout"
        ) from None


def _answer_timeout() -> float:
    return ANSWER_TIMEOUT.get()


def answers(
    client: Client, function: Callable[..., Any], *arguments: Any, on_error: Literal["raise", "return"] = "raise"
) -> dict[str, Any]:
    """Return the answer of each worker, by its address; workers lost meanwhile are left out.

    The function itself must raise no OSError: that is what is returned of a lost worker. Raises as `_of_workers`.
    """

    async def ask() -> Any:
        return await client.run(function, *arguments, on_error="return")

    returned = _of_workers(client, ask)
    there = {worker: answer for worker, answer in returned.items() if not isinstance(answer, OSError)}
    failed = next((answer for answer in there.values() if isinstance(answer, Exception)), None)
    if failed is not None and on_error == "raise":
        raise failed
    return there


def _of_workers(client: Client, ask: Callable[[], Awaitable[Any]]) -> Any:
    """Return the answers of all workers; raise ClusterLostError if one does not come within stall_timeout.

    The watchdog sees nothing of it: it looks at tasks.
    """
    try:
        return client.sync(ask, callback_timeout=_answer_timeout())
    except TimeoutError:
        silent = min(_workers(client).items(), key=lambda item: float(item[1]["last_seen"]), default=("none", None))[0]
        raise ClusterLostError(
            f"workers did not all answer within {_answer_timeout():g} s, {silent} has been silent for longest: restart "
            "those that are stuck, or raise cluster.stall_timeout"
        ) from None


def _compare(package: str, here: str, there: Versions, is_like: Callable[[str, str], bool]) -> list[Difference]:
    workers = defaultdict(list)
    for worker, other in there.items():
        if other != here:
            workers[other].append(worker)
    return [
        Difference(package, here, other, tuple(sorted(of)), other == _MISSING or not is_like(here, other))
        for other, of in sorted(workers.items())
    ]


def _is_same_minor(first: str, second: str) -> bool:
    return first.split(".")[:2] == second.split(".")[:2]


def _is_same_major(first: str, second: str) -> bool:
    return first.split(".")[0] == second.split(".")[0]


_COMPARISONS = {
    "python": _is_same_minor,
    **dict.fromkeys(_PROTOCOL_PACKAGES, eq),
    **dict.fromkeys(_SAME_MAJOR_PACKAGES, _is_same_major),
}


def _own_versions(client: Client) -> Versions:
    """Return the version of this package on each worker and on the scheduler, with a digest of its code."""
    tell = _version_teller()

    async def ask() -> Any:
        return await client.run_on_scheduler(tell, _OWN_PACKAGE)

    return {**answers(client, tell, _OWN_PACKAGE), "the scheduler": _of_scheduler(client, ask)}


def _version_teller() -> Callable[[str], str]:
    """Return a function that gives a package's version with a digest of its sources, since code can change alone.

    It is a function of its own, which is sent itself: workers may lack this package.
    """

    def tell(name: str) -> str:
        spec = find_spec(name)
        found = next(iter(distributions(name=name, path=list(sys.path))), None)  # a copy: see `installed_version`
        if found is None:
            return _MISSING if spec is None else _UNKNOWN
        number = str(found.version)
        folder = Path(spec.origin or "").parent if spec is not None else Path()
        if spec is None or not folder.is_dir():
            return number  # that of code that was sent, in a zip, ends with its digest
        digest = sha256()
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder).as_posix()}\n".encode() + path.read_bytes())
        return f"{number}+{digest.hexdigest()[:12]}"

    return tell


def _own_differences(own: Versions) -> list[Difference]:
    """List the workers with another version of this package; it can be sent to those without it."""
    return _compare(_OWN_PACKAGE, _own_version(), {place: one for place, one in own.items() if one != _MISSING}, eq)


def _send_own_package(client: Client, lacking: list[str], tell: Callable[[str], None]) -> None:
    """Send this package to the workers and the scheduler, now and for workers to come, unless none lacks it."""
    if not lacking:
        return
    tell(f"{_OWN_PACKAGE} is missing on {_names_of(lacking)}: it is sent there")
    with tempfile.TemporaryDirectory() as folder:
        packed = _pack(Path(folder))

        async def send() -> Any:
            return await client.upload_file(packed)

        _of_scheduler(client, send)


def _pack(folder: Path) -> str:
    """Return the path of a zip of this package with its metadata, from which workers can tell the version."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(_package(), folder / "content" / _OWN_PACKAGE, ignore=ignore)
    metadata = folder / "content" / f"{_OWN_PACKAGE}-{_own_version()}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    text = f"Metadata-Version: 2.1\nName: {_OWN_PACKAGE}\nVersion: {_own_version()}\n"
    metadata.write_text(text, encoding="utf-8")
    return shutil.make_archive(str(folder / _OWN_PACKAGE), "zip", folder / "content")


@cache
def _own_version() -> str:
    """Return the version of this package here, with a digest of its code."""
    return _version_teller()(_OWN_PACKAGE)


def _package() -> Path:
    return Path(sys.modules[_OWN_PACKAGE].__file__ or "").parent


def _check_output(client: Client, output: Path) -> None:
    """Ask each worker for a file that is written here, since another machine may have a directory of that name too."""

    def shares(probe: str) -> bool:
        return os.path.exists(probe) and os.access(os.path.dirname(probe), os.W_OK)

    is_new = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.NamedTemporaryFile(dir=output, prefix=".probe-") as probe:
            shared = answers(client, shares, probe.name)
    finally:
        if is_new:
            remove_if_empty(output)
    if bad := [worker for worker, is_shared in shared.items() if not is_shared]:
        raise ConfigurationError(
            f"output.directory {output} is not the same directory, or not writable, on {_names_of(bad)}: results are "
            "written by the workers; use a file system that all share, or a URL"
        )


def _names_of(workers: list[str]) -> str:
    return workers[0] + (f" and {len(workers) - 1} more" if len(workers) > 1 else "")


def _own_blas() -> tuple[int, str]:
    """Return the threads that BLAS uses in a task of this process, and the kernels that it and numba take."""
    with single_threaded():
        libraries = [one for one in threadpool_info() if one["user_api"] == "blas"]
    processor, n_features = compilation_target()
    compiled = f"numba {processor} ({n_features} features)"
    kernels = " and ".join(
        [*sorted({f"{one['internal_api']} {one.get('architecture')}" for one in libraries}), compiled]
    )
    return max((int(one["num_threads"]) for one in libraries), default=1), kernels
