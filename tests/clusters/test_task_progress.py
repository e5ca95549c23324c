"""The progress of a job's tasks."""

import logging
from logging.handlers import BufferingHandler
from threading import Event

import dask
import pytest
from dask.delayed import delayed
from distributed import Client, LocalCluster

from daskgmm.clusters.task_progress import tasks_of_pass, watch_tasks
from daskgmm.filesystem.retry import RetryPolicy, retry

HASTY = RetryPolicy(attempts=3, first_wait=0.0, longest_wait=0.0, jitter=0.0)


def fails_once():
    failures = [ConnectionError("lost")]

    def action():
        if failures:
            raise failures.pop()
        return "read"

    return retry(action, HASTY)


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as one,
    ):
        yield one


def test_threads_count_the_tasks_of_the_pass_that_is_made():
    seen, going_on = [], Event()
    with dask.config.set(scheduler="threads", num_workers=2), watch_tasks(None, 2) as look:

        def task(number):
            if number == 3:
                going_on.wait(0.5)
                seen.append(look())
            return number

        dask.compute([delayed(task, pure=False)(number) for number in range(4)])
        assert (look().tasks_done, look().tasks) == (0, 0)
    assert seen[0].tasks == 4
    assert seen[0].tasks_done < 4
    assert (seen[0].n_workers, seen[0].n_threads) == (1, 2)


def test_retries_in_this_process_are_counted_from_the_beginning_of_the_job():
    fails_once()
    with watch_tasks(None, 2) as look:
        assert look().n_retries == 0
        assert fails_once() == "read"
        assert look().n_retries == 1


def test_a_cluster_tells_its_workers_tasks_and_retries(client):
    from distributed import Event as Gate

    def waits(number):
        if number > 1:
            Gate("open").wait(30)
        return number

    with watch_tasks(client, 2) as look:
        futures = client.map(waits, range(5), pure=False)
        client.gather(futures[:2])
        load = look()
        assert (load.n_workers, load.n_threads) == (1, 2)
        assert (load.tasks_done, load.tasks) == (2, 5)
        Gate("open", client=client).set()
        client.gather(futures)
        assert client.submit(fails_once, pure=False).result() == "read"
        for _ in range(100):
            if (load := look()).n_retries:
                break
        assert load.n_retries == 1
        assert (load.tasks_done, load.tasks) == (0, 0)


def test_a_cluster_that_is_gone_is_no_answer_and_why_is_logged(monkeypatch):
    handler = BufferingHandler(capacity=10)
    logger = logging.getLogger("daskgmm")
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    monkeypatch.setattr(logger, "handlers", [handler])
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as one,
        watch_tasks(one, 1) as look,
    ):
        assert look().n_workers == 0
        one.close()
        assert look() is None
    (record,) = handler.buffer
    assert record.name == "daskgmm.clusters.task_progress"
    assert record.exc_info


def test_the_kind_of_task_that_has_most_to_do_is_the_pass():
    done = {"memory": 0, "erred": 0, "released": 200, "processing": 0, "waiting": 0}
    reading = {"memory": 3, "erred": 0, "released": 26, "processing": 1, "waiting": 0}
    expect = {"memory": 27, "erred": 0, "released": 3, "processing": 4, "waiting": 184}
    assert tasks_of_pass({"summarise": done, "read": reading, "expect": expect}) == (30, 218)
    assert tasks_of_pass({"summarise": done}) == (0, 0)
    assert tasks_of_pass({}) == (0, 0)
