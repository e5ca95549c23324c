"""Blocks are shared out evenly between workers, and passes run where they are held."""

from collections import Counter
from itertools import groupby, product

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, futures_of, get_worker, wait
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from daskgmm.chunked.map_reduce import compute, map_reduce
from daskgmm.chunked.placement import Worker, holders, place, running_workers
from daskgmm.chunked.rows import Rows
from daskgmm.concurrency import Execution, execute_in


def workers_of(threads, memory_limit=0):
    return [Worker(f"tcp://h:{at}", n, memory_limit) for at, n in enumerate(threads)]


def largest_share(counts, threads):
    return max(count / n for count, n in zip(counts, threads, strict=True))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 9))
def test_the_largest_number_of_items_a_thread_is_the_smallest_that_there_is(threads, n_items):
    placed = place(n_items, 1, workers_of(threads))
    counts = [placed.count(worker.address) for worker in workers_of(threads)]
    every_way = (way for way in product(range(n_items + 1), repeat=len(threads)) if sum(way) == n_items)
    assert sum(counts) == n_items
    assert largest_share(counts, threads) == min(largest_share(way, threads) for way in every_way)


def test_items_of_a_worker_are_consecutive_and_two_hundred_workers_take_as_many_each():
    runs = [(address, len(list(run))) for address, run in groupby(place(1000, 2**28, workers_of([1] * 200)))]
    assert runs == [(worker.address, 5) for worker in workers_of([1] * 200)]


@pytest.mark.parametrize(
    ("limits", "counts"), [((0, 100), {"a": 8, "b": 2}), ((60, 100), {"a": 1, "b": 2, None: 7}), ((1, 1), {None: 10})]
)
def test_items_that_would_take_more_than_half_of_the_memory_are_left_to_the_scheduler(limits, counts):
    workers = [Worker(address, 1, limit) for address, limit in zip("ab", limits, strict=True)]
    assert Counter(place(10, 25, workers)) == counts


def test_no_worker_is_chosen_for_threads_or_for_annotated_tasks_or_while_some_are_yet_to_come(cluster):
    assert [worker.n_threads for worker in running_workers()] == [1, 2]
    for execution, n_found in [(Execution("threads", 2), 0), (Execution(None, n_workers=3), 0), (Execution(None), 2)]:
        with execute_in(execution):
            assert len(running_workers()) == n_found
    with dask.annotate(workers=["elsewhere"]):
        assert not running_workers()


def test_nothing_is_said_of_holders_without_a_client_or_of_what_is_not_computed():
    assert holders(["x"]) == {}
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster, Client(cluster):
        assert not any(holders(["x"]).values())


@pytest.fixture
def cluster():
    """Have two workers in this process, of one and two threads."""
    options = {"processes": False, "dashboard_address": "127.0.0.1:0", "memory_limit": 0}
    with LocalCluster(n_workers=1, threads_per_worker=1, **options) as cluster, Client(cluster) as client:
        cluster.scale(2)
        cluster.worker_spec[1]["options"]["nthreads"] = 2
        client.wait_for_workers(2)
        yield cluster


def where(block, weights, shared, own):
    return {float(block[0, 0]): get_worker().address}


def test_blocks_are_held_by_threads_and_passes_run_there_even_if_a_worker_goes(cluster):
    values = np.arange(36.0).reshape(18, 2)
    rows = Rows(da.from_array(values, chunks=(1, 2)), da.ones(18, chunks=1)).persist()
    wait(futures_of(rows.groups.held))
    few, many = (worker.address for worker in sorted(running_workers(), key=lambda one: one.n_threads))
    lazy = map_reduce(
        rows,
        where,
        lambda parts: {k: v for part in parts for k, v in part.items()},
        None,
        dict.fromkeys(range(18)),
        "test",
    )
    (ran,) = compute(lazy)
    assert Counter(ran.values()) == {few: 6, many: 12}
    assert len(list(groupby(ran.values()))) == 2
    cluster.scale(1)
    assert_array_equal(rows.array.compute(), values)
