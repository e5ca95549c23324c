"""Jobs of several worker processes that are lost are replaced.

distributed's SpecCluster replaces a job whose worker is gone. It takes the worker's name for the job's, which it is not
where a job has several processes: such a job would stay lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from time import monotonic
from typing import Any

import dask
from dask.utils import parse_timedelta
from distributed import Scheduler, SchedulerPlugin
from distributed.deploy import Adaptive

from ..dask_internals import forget_job, present_workers, workers_of_jobs


def gone_since(
    before: Mapping[str, float], jobs: Mapping[str, Collection[str]], came: set[str], present: set[str], now: float
) -> dict[str, float]:
    """Return the jobs whose workers came and are all gone, with the time (seconds) at which that was seen first.

    `jobs` are the names of each job's workers, `before` is what was returned last; jobs that wait in the queue are not
    among them, nor those of which a worker is there.
    """
    gone = (job for job, workers in jobs.items() if not came.isdisjoint(workers) and present.isdisjoint(workers))
    return {job: before.get(job, now) for job in gone}


class _Arrivals(SchedulerPlugin):  # type: ignore[misc]
    """Keeps the names of workers that came."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        self.names.add(str(scheduler.workers[worker].name))


class Replacing(Adaptive):  # type: ignore[misc]
    """distributed's Adaptive, which first gives up jobs that are lost; it then submits others by itself."""

    def __init__(self, cluster: Any, **options: Any) -> None:
        """Adapt a cluster of dask-jobqueue, whose scheduler runs in this process."""
        self._came: set[str] = set()
        self._gone_since: dict[str, float] = {}
        cluster.scheduler.add_plugin(_Arrivals(self._came), name="daskgmm-arrivals")
        super().__init__(cluster, **options)

    async def target(self) -> Any:
        """Return the number of workers that are wanted."""
        jobs, now = workers_of_jobs(self.cluster), monotonic()
        self._gone_since = gone_since(self._gone_since, jobs, self._came, present_workers(self.cluster), now)
        patience = parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout"))  # a nanny starts it again
        for job in [job for job, since in self._gone_since.items() if now - since >= patience]:
            self._came.difference_update(jobs[job])  # the next job has the same name, and waits in the queue
            await forget_job(self.cluster, job)
        return await super().target()
