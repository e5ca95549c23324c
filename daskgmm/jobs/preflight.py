"""Whether a cluster can do a job, looked at before any work."""

from __future__ import annotations

from glob import has_magic
from pathlib import Path

from distributed import Client

from ..clusters.connection import Connection
from ..clusters.kinds.address import Address
from ..clusters.worker_checks import (
    blas_of_workers,
    check_packages,
    check_paths,
    excuse_departures,
    memory_limits,
    most_threads,
)
from ..config import Config
from ..events import Listener, Notice
from ..filesystem.location import is_url, resolve_location
from ..sources import DataOptions
from .plan import FitPlan, Memory

_MIB = 2**20


def check_cluster(connection: Connection, plan: FitPlan, listen: Listener, *, keep: bool) -> None:
    """Raise where the workers cannot do the job, with the remedy; warn of what may go wrong.

    `keep` says whether the rows are kept in memory.

    Threads of this process have its packages, its files and its memory: nothing is asked.
    """
    if connection.client is not None:
        with connection.present():
            _check_workers(connection.client, plan.config, plan.memory(keep=keep), listen)


def _check_workers(client: Client, config: Config, memory: Memory, listen: Listener) -> None:
    check_packages(client, lambda message: listen(Notice(message)))
    excuse_departures(client)
    output = resolve_location(config.output.directory, config.output.storage_options)
    writes = config.output.has_results and isinstance(output, Path)
    check_paths(client, local_inputs(config.data), output.absolute() if writes else None)
    blas = blas_of_workers(client)
    if (n := blas.most_threads) > 1:
        listen(Notice(f"BLAS takes {n} threads in each task: start the workers with OMP_NUM_THREADS=1"))
    if len(blas.places) > 1:
        each = "; ".join(f"{name} on {len(of)}, {of[0]} first" for name, of in sorted(blas.places.items()))
        listen(Notice(f"kernels differ between processors ({each}): last digits may differ between runs"))
    if isinstance(config.cluster, Address) and (n := most_threads(client)) > config.cluster.threads_per_worker:
        listen(Notice(f"workers run {n} tasks at once: with cluster.threads_per_worker={n} memory is planned for that"))
    _warn_of_memory(memory_limits(client), memory.peak, listen)


def local_inputs(data: DataOptions) -> list[Path]:
    """Return the files and directories that workers must see to read the data."""
    if is_url(data.path) or data.path.startswith("sample:"):
        return []
    path = Path(data.path.partition("::")[0]).expanduser().absolute()
    while has_magic(str(path)):
        path = path.parent
    return [path]


def _warn_of_memory(limits: dict[str, int], needed: int, listen: Listener) -> None:
    poor = {worker: limit for worker, limit in limits.items() if limit < needed}
    if poor:
        worker, limit = min(poor.items(), key=lambda item: item[1])
        listen(
            Notice(
                f"{len(poor)} workers have less memory than this job takes in each at most, {needed / _MIB:.0f} MiB "
                f"({worker} has {limit / _MIB:.0f} MiB): lower compute.chunk_bytes or compute.read_ahead, or raise it"
            )
        )
