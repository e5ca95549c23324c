"""Jobs of several worker processes that are lost are replaced.

distributed's SpecCluster replaces a job whose worker is gone. It takes the worker's name for the job's, which it is not
where a job has several processes: such a job would stay lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import dask
from dask.utils import parse_timedelta
from distributed.deploy import Adaptive


@dataclass(frozen=True)
class Watch:
    """What was seen of jobs: those whose workers came, and since when (seconds) all workers of a job are gone."""

    came: frozenset[str] = frozenset()
    gone_since: Mapping[str, float] = field(default_factory=dict)

    def after(self, jobs: Mapping[str, Iterable[str]], workers: set[str], now: float) -> Watch:
        """Return the watch after a look at the jobs, by the names of their workers, and the workers that are there."""
        alive = {job for job, names in jobs.items() if not workers.isdisjoint(names)}
        came = (self.came & jobs.keys()) | alive
        return Watch(came, {job: self.gone_since.get(job, now) for job in came - alive})

    def lost(self, now: float, patience: float) -> list[str]:
        """Return the jobs whose workers are gone for longer than a nanny takes to start one again."""
        return [job for job, since in self.gone_since.items() if now - since >= patience]

    def without(self, jobs: Iterable[str]) -> Watch:
        """Return the watch with nothing seen of these jobs, as of those that are submitted anew by the same name."""
        return Watch(
            self.came.difference(jobs), {job: self.gone_since[job] for job in self.gone_since.keys() - set(jobs)}
        )


class Replacing(Adaptive):  # type: ignore[misc]
    """distributed's Adaptive, which first gives up jobs that are lost; it then submits others by itself."""

    watch = Watch()

    async def target(self) -> Any:
        """Return the number of workers that are wanted."""
        patience = parse_timedelta(dask.config.get("distributed.deploy.lost-worker-timeout"))
        grouped = {
            job: [f"{job}{suffix}" for suffix in spec["group"]]
            for job, spec in self.cluster.worker_spec.items()
            if "group" in spec
        }
        self.watch = self.watch.after(grouped, self.cluster.observed, monotonic())
        lost = self.watch.lost(monotonic(), patience)
        self.watch = self.watch.without(lost)
        for name in lost:
            await self.cluster.workers.pop(name).close()
        return await super().target()
