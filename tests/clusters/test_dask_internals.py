"""What is relied on of dask, distributed and dask-jobqueue that they do not document: each test pins a function."""

import asyncio
import time
from threading import Thread
from uuid import uuid4

import pytest
from distributed import Client, Event, LocalCluster, Scheduler
from distributed.client import FutureCancelledError

from daskgmm.clusters import dask_internals as internals


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def waiting(client):
    """A task that a worker has, until the test ends."""
    name = uuid4().hex
    future = client.submit(lambda: Event(name).wait(30), key="waiting", pure=False)
    while not any(client.processing().values()):
        time.sleep(0.01)
    yield future
    Event(name, client=client).set()


def test_a_scheduler_describes_its_workers(client):
    (worker,) = client.sync(internals.worker_descriptions, client).values()
    assert worker["nthreads"] == 2
    assert worker["memory_limit"] > 0
    assert worker["last_seen"] == pytest.approx(time.time(), abs=60)
    assert worker["status"] == "running"
    assert worker["nanny"] is None  # a worker within this process
    assert worker["metrics"]["cpu"] >= 0


def test_a_scheduler_tells_tasks_by_worker_and_by_state(client, waiting):
    assert list(client.sync(internals.tasks_by_worker, client).values()) == [{"waiting"}]
    threads, states = client.sync(internals.threads_and_task_states, client)
    assert list(threads.values()) == [2]
    assert states["waiting"]["processing"] == 1
    assert {"waiting", "memory", "released", "erred"} <= set(states["waiting"])


def test_tasks_left_are_those_of_the_client_that_are_not_done(client, cluster, waiting):
    done = client.submit(int, 1, key="done")
    done.result()
    after = client.submit(sum, [waiting, done], key="after")
    while "after" not in cluster.scheduler.tasks:
        time.sleep(0.005)
    with Client(cluster, set_as_default=False) as other:
        assert client.sync(internals.count_tasks_left, client) == 2  # what waits, and what is after it
        assert other.sync(internals.count_tasks_left, other) == 0
    after.release()


def test_results_that_a_client_waits_for_are_known_and_can_be_cancelled(client, waiting):
    assert internals.pending_keys(client) == {"waiting"}
    errors = []

    def wait():
        try:
            waiting.result()
        except FutureCancelledError as error:
            errors.append(str(error))

    thread = Thread(target=wait)
    thread.start()
    internals.cancel_all(client, "no task was completed")
    thread.join(10)
    assert len(errors) == 1
    assert "no task was completed" in errors[0]
    assert internals.pending_keys(client) == frozenset()


def test_a_wait_that_breaks_off_is_told_from_other_errors():
    from distributed.client import AllExit

    assert internals.is_abandoned_wait(AllExit())
    assert not internals.is_abandoned_wait(OSError())
    assert not internals.is_abandoned_wait(None)


def test_a_scheduler_takes_the_time_without_workers_from_its_preload():
    async def start():
        preload = [internals.preload_no_workers_timeout(7.5)]
        async with Scheduler(port=0, dashboard=False, dashboard_address="127.0.0.1:0", preload=preload) as scheduler:
            return scheduler.no_workers_timeout

    assert asyncio.run(start()) == 7.5


def test_an_event_loop_runs_coroutines_for_this_thread_until_the_block_ends():
    async def answer(number):
        await asyncio.sleep(0)
        return number

    with internals.event_loop() as loop:
        assert internals.run_in_loop(loop, answer, 5) == 5
    assert not loop.asyncio_loop.is_running()


def test_a_cluster_knows_its_workers_and_whether_it_runs(cluster):
    assert internals.is_running(cluster)
    assert {str(name) for name in internals.present_workers(cluster)} == {"0"}
    assert internals.workers_of_jobs(cluster) == {}  # workers that are no jobs of several


def test_jobs_of_several_workers_are_known_and_can_be_given_up(monkeypatch):
    jobqueue = pytest.importorskip("dask_jobqueue")
    job = internals.job_class(jobqueue.SLURMCluster)
    assert job.submit_command == "sbatch"
    closed = []

    async def start(self):
        raise RuntimeError("Command exited\nstdout:\nstderr:\nInvalid account\n")

    async def close(self):
        closed.append(self.status.name)

    monkeypatch.setattr(job, "start", start)
    monkeypatch.setattr(job, "close", close)
    refusals = []
    with jobqueue.SLURMCluster(
        n_workers=2,
        job_cls=internals.record_refusals(job, refusals),
        cores=2,
        processes=2,
        memory="2GiB",
        scheduler_options={"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"},
        silence_logs="critical",
    ) as cluster:
        assert refusals == ["Invalid account"]
        ((name, workers),) = internals.workers_of_jobs(cluster).items()
        assert sorted(workers) == [f"{name}-0", f"{name}-1"]
        assert internals.present_workers(cluster) == set()
        cluster.sync(internals.forget_job, cluster, name)
        assert closed == ["closing"]
    assert not internals.is_running(cluster)


def test_a_kube_cluster_is_not_deleted_again_at_the_exit():
    kubecluster = pytest.importorskip("dask_kubernetes.operator.kubecluster.kubecluster")
    from inspect import getsource

    assert "shutdown_on_close" in getsource(kubecluster.reap_clusters)
    assert "CREATE_ONLY" in kubecluster.CreateMode.__members__
