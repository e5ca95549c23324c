"""Workers that close as announced, and workers that die, with a task that each of them had."""

import os
import time
from contextlib import suppress
from threading import Event

import pytest
from distributed import Client, KilledWorker, LocalCluster, Worker

from daskgmm.clusters.worker_checks import excuse_departures

MORE_THAN_ALLOWED = 5  # the scheduler condemns a task at the fourth worker that dies with it
GO = Event()


@pytest.fixture
def cluster():
    """A scheduler in this process, whose workers the tests start and end."""
    GO.clear()
    with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster
        GO.set()


def wait():
    GO.wait(60)
    return "done"


async def started(cluster):
    return await Worker(cluster.scheduler_address, nthreads=1)


async def close(scheduler, worker):
    await worker.close(executor_wait=False)


async def close_though_told_to_go_on(scheduler, worker):
    """Leave as at the end of a lifetime, when the scheduler cannot move the data and says so a moment too late."""
    for status in ("closing_gracefully", "closing", "running"):
        scheduler.handle_worker_status_change(status, worker.address, "test")
    await scheduler.remove_worker(worker.address, stimulus_id="test")


def lose_workers(cluster, n, close):
    """Have one worker after the other take the task that waits, and close without being retired."""
    for _ in range(n):
        worker = cluster.sync(started, cluster)
        wait_until(lambda worker=worker: cluster.scheduler.workers[worker.address].processing)
        cluster.sync(close, cluster.scheduler, worker)


def wait_until(done):
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("close", [close, close_though_told_to_go_on])
def test_a_task_is_not_blamed_for_workers_that_close(cluster, close):
    with Client(cluster) as client:
        excuse_departures(client)
        result = client.submit(wait, key="waits")
        lose_workers(cluster, MORE_THAN_ALLOWED, close)
        assert cluster.scheduler.tasks["waits"].suspicious == 0
        GO.set()
        worker = cluster.sync(started, cluster)
        assert result.result(30) == "done"
        cluster.sync(worker.close)


def test_a_task_is_blamed_by_a_scheduler_without_excuses(cluster):
    with Client(cluster) as client:
        result = client.submit(wait, key="waits")
        lose_workers(cluster, MORE_THAN_ALLOWED - 1, close)
        with pytest.raises(KilledWorker):
            result.result(30)


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_blamed_all_the_same():
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    try:
        with Client(cluster) as client:
            excuse_departures(client)
            with pytest.raises(KilledWorker):
                client.submit(os._exit, 1).result(120)
    finally:
        # A nanny that is just starting a worker may never close, or fail since it "can only join a started process".
        with suppress(TimeoutError, AssertionError):
            cluster.close(timeout=20)


def test_the_scheduler_is_as_before_once_its_clients_are_gone(cluster):
    before = set(cluster.scheduler.plugins)
    with Client(cluster, set_as_default=False) as first:
        excuse_departures(first)
        with Client(cluster, set_as_default=False) as second:
            excuse_departures(second)
            assert len(set(cluster.scheduler.plugins) - before) == 1
        assert len(set(cluster.scheduler.plugins) - before) == 1
    wait_until(lambda: set(cluster.scheduler.plugins) == before)
