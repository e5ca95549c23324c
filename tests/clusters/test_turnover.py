"""Workers that come and go, and whether anything is gained by it."""

import time
from threading import Event, Thread

import pytest
from distributed import LocalCluster, Worker

from daskgmm.clusters import turnover as turnovers
from daskgmm.clusters.kinds import Address
from daskgmm.clusters.stall_detection import ClusterSnapshot, WorkerSnapshot
from daskgmm.clusters.turnover import MAX_LIVES, turnover_after
from daskgmm.errors import ClusterLostError

AWAITED = frozenset({"result"})
GO = Event()


def look(worker, n_left):
    return ClusterSnapshot({f"worker-{worker}": WorkerSnapshot(1.0)}, {}, n_left)


def after(looks, awaited=AWAITED):
    """Return the turnover after looks, a second apart."""
    turnover = None
    for second, one in enumerate(looks):
        turnover = turnover_after(turnover, awaited, one, float(second))
    return turnover


def test_lives_without_fewer_tasks_left_are_in_vain_after_a_while():
    turnover = after([look(worker, 2 + worker % 3) for worker in range(MAX_LIVES + 1)])
    assert len(turnover.gone) == MAX_LIVES
    assert turnover.is_in_vain(10.0, 20.0)
    assert not turnover.is_in_vain(10.0, 9.0)
    assert turnover.describe(20.0).startswith(f"{MAX_LIVES} workers came and went within 20 s, and never were fewer")


@pytest.mark.parametrize("worker", [0, 1])
def test_a_task_less_or_a_worker_that_stays_is_no_turnover(worker):
    less = [look(worker * one, 100 - one) for one in range(2 * MAX_LIVES)]
    assert not after(less).gone
    assert not after([look(0, 5)] * 2 * MAX_LIVES).gone


def test_other_results_begin_a_new_turnover_and_none_end_it():
    old = after([look(worker, 2) for worker in range(5)])
    assert len(old.gone) == 4
    assert not turnover_after(old, frozenset({"other"}), look(9, 2), 5.0).gone
    assert turnover_after(old, frozenset(), None, 5.0) is None


def test_a_scheduler_that_does_not_answer_changes_nothing():
    old = after([look(worker, 2) for worker in range(5)])
    assert turnover_after(old, AWAITED, None, 5.0) is old


def wait():
    GO.wait(60)


def replace_workers(cluster, over):
    """Start one worker after the other, and end each once it has the task."""

    async def start():
        return await Worker(cluster.scheduler_address, nthreads=1)

    while not over.is_set():
        worker = cluster.sync(start)
        while not over.is_set() and not cluster.scheduler.workers[worker.address].processing:
            time.sleep(0.005)
        time.sleep(0.05)
        cluster.sync(worker.close, executor_wait=False, nanny=False)


def test_a_task_that_takes_longer_than_workers_live_ends_with_what_is_seen(monkeypatch):
    monkeypatch.setattr(turnovers, "MAX_LIVES", 3)
    over = Event()
    with LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address="127.0.0.1:0") as cluster:
        cluster.scheduler.allowed_failures = 10**6  # of a task: those of this test are many
        thread = Thread(target=replace_workers, args=(cluster, over))
        thread.start()
        try:
            with (
                pytest.raises(ClusterLostError, match=r"^\d+ workers came and went .* than 1 tasks left: .* lifetime"),
                Address(address=cluster.scheduler_address, stall_timeout=0.3).connect() as connection,
            ):
                connection.client.submit(wait, key="longer-than-a-life").result()
        finally:
            over.set()
            GO.set()
            thread.join()
