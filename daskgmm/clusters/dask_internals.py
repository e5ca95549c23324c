"""What clusters need of dask, distributed and the packages built on them that is not documented: all of it is here.

Nothing else relies on it but `abandonment` and `departures`, which schedulers run without a package of ours. Each
function has a test that fails once a release changes what it relies on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from distributed import Client, Future
from distributed.client import AllExit
from distributed.core import Status
from distributed.utils import LoopRunner, sync
from tornado.ioloop import IOLoop

TaskStates = Mapping[str, Mapping[str, int]]  # number of tasks by the prefix of their keys, and by their state


async def worker_descriptions(client: Client) -> Mapping[str, Mapping[str, Any]]:
    """Ask the scheduler for all its workers, by address: nthreads, memory_limit, last_seen, status, metrics, nanny.

    `Client.scheduler_info` answers from a copy of up to two seconds ago.
    """
    workers: Mapping[str, Mapping[str, Any]] = (await client.scheduler.identity(n_workers=-1))["workers"]
    return workers


async def tasks_by_worker(client: Client) -> Mapping[str, frozenset[str]]:
    """Ask the scheduler for the keys of the tasks that each worker has, by the worker's address."""
    processing = await client.scheduler.processing(workers=None)
    return {address: frozenset(map(str, keys)) for address, keys in processing.items()}


async def count_tasks_left(client: Client) -> int:
    """Ask the scheduler how many tasks are not done of those that the client waits for, what they need included."""

    def count(key: str, dask_scheduler: Any) -> int:  # a function of its own, which is sent itself
        waiting = list(dask_scheduler.clients[key].wants_what)
        seen = set()
        while waiting:
            task = waiting.pop()
            if task not in seen and task.state not in {"memory", "erred"}:
                seen.add(task)
                waiting.extend(task.dependencies)
        return len(seen)

    return int(await client.run_on_scheduler(count, client.id))


async def threads_and_task_states(client: Client) -> tuple[Mapping[str, int], TaskStates]:
    """Ask the scheduler for the threads of each worker, by its address, and for the states of all tasks."""
    threads, states = await asyncio.gather(client.scheduler.ncores(), client.scheduler.get_task_prefix_states())
    return threads, states


def pending_keys(client: Client) -> frozenset[str]:
    """Return the keys of the results that the client waits for. May be called from any thread."""
    return frozenset(str(key) for key, state in list(client.futures.items()) if state.status == "pending")


def cancel_all(client: Client, message: str | None) -> None:
    """Cancel all results that the client waits for or holds, which wakes every thread that waits for one."""
    if futures := [Future(key, client) for key in list(client.futures)]:
        client.cancel(futures, reason="stalled", msg=message)


def is_abandoned_wait(error: BaseException | None) -> bool:
    """Return whether an error of the event loop only says that a client no longer waits for its results."""
    return isinstance(error, AllExit)


def preload_no_workers_timeout(seconds: float) -> str:
    """Return the preload with which tasks of a scheduler fail if they wait for a worker for longer (seconds).

    It is no argument of Scheduler, and dask's configuration is that of the whole process.
    """
    return f"def dask_setup(scheduler): scheduler.no_workers_timeout = {seconds!r}"


@contextmanager
def event_loop() -> Iterator[IOLoop]:
    """Run an event loop of distributed's clusters in a thread of its own for the block."""
    runner = LoopRunner()
    runner.start()
    try:
        yield runner.loop
    finally:
        runner.stop()


def run_in_loop(loop: IOLoop, function: Any, *arguments: Any) -> Any:
    """Run a coroutine function in the event loop of another thread, and return its result."""
    return sync(loop, function, *arguments)


def workers_of_jobs(cluster: Any) -> dict[str, list[str]]:
    """Return the names of the workers of each job that a cluster of dask-jobqueue keeps, by the name of the job."""
    specs = cluster.worker_spec.items()
    return {job: [f"{job}{suffix}" for suffix in spec["group"]] for job, spec in specs if "group" in spec}


def present_workers(cluster: Any) -> set[str]:
    """Return the names of the workers that a SpecCluster's scheduler knows."""
    return set(cluster.observed)


async def forget_job(cluster: Any, job: str) -> None:
    """Cancel a job of a SpecCluster, which submits another in its place as soon as it next scales."""
    await cluster.workers.pop(job).close()


def job_class(cluster_class: Any) -> Any:
    """Return the class of the jobs of a class of clusters of dask-jobqueue."""
    return cluster_class.job_cls


def record_refusals(job: Any, refusals: list[str]) -> Any:
    """Return a subclass of a class of jobs that adds to `refusals` why the queue took none: dask-jobqueue logs it only.

    Such a job counts as one that never comes, so that it can be closed.
    """

    class RefusalRecordingJob(job):  # type: ignore[misc] # it has no types
        async def start(self) -> None:
            try:
                await super().start()
            except RuntimeError as error:
                refusals.append(str(error).rpartition("stderr:")[2].strip())
                self.status = Status.running

        async def close(self) -> None:
            self.status = Status.closing
            await super().close()
            self.status = Status.closed

    return RefusalRecordingJob


def is_running(cluster: Any) -> bool:
    """Return whether a cluster has started and was not closed."""
    return bool(cluster.status == Status.running)


def leave_at_exit(kube_cluster: Any) -> None:
    """Keep the hook of dask-kubernetes at the exit of the process from deleting a cluster once more, in vain."""
    kube_cluster.shutdown_on_close = False
