"""Blocks held in groups: the same tree, the same bits, each block read once."""

from heapq import heapreplace
from itertools import pairwise

import dask
import dask.array as da
import numpy as np
import pytest
from dask.task_spec import Task, TaskRef
from distributed import Client, KilledWorker, LocalCluster, futures_of, wait
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from daskgmm.chunked import groups
from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.groups import GROUP_SUFFIX, MAX_GROUP, Span, cut_spans, group_size, group_tasks
from daskgmm.chunked.labelled_rows import without_labelled
from daskgmm.chunked.map_reduce import compute, map_reduce
from daskgmm.chunked.read_ahead import ready
from daskgmm.chunked.rows import Rows
from daskgmm.concurrency import Execution, execute_in
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.errors import ClusterLostError
from tests.benchmarks.problems import problem

ONE_THREAD = Execution("threads", 1)
SIZES = {15: None, 16: 2, 33: 4, 130: 16, 300: 32, 2100: 256}  # of blocks: of their groups, on one thread


class Counted:
    """An array that counts its reads."""

    def __init__(self, array):
        self.array, self.reads = array, 0
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, slices):
        taken = self.array[slices]
        self.reads += taken.size > 0
        return taken


@pytest.fixture
def one_thread():
    with execute_in(ONE_THREAD):
        yield


def rows_of(n_blocks, weighted=False):
    array = np.arange(4.0 * n_blocks).reshape(-1, 2)
    weights = da.from_array(np.arange(2.0 * n_blocks), chunks=2) if weighted else None
    return Rows(da.from_array(array, chunks=(2, 2)), weights)


def first_value(block, weights, shared, own):
    return [own, block[0, 0], None if weights is None else weights[1]]


def tree_over(n_blocks, weighted):
    """Return the nested lists that a pass makes of rows_of(n_blocks)."""
    parts = [[-i, 4.0 * i, 2.0 * i + 1 if weighted else None] for i in range(n_blocks)]
    while len(parts) > 1:
        parts = [parts[at : at + 16] for at in range(0, len(parts), 16)]
    return parts[0]


def tree_of(rows, numbers):
    """Return the nested lists that a pass makes of the blocks of these numbers."""
    (tree,) = compute(map_reduce(rows, first_value, list, None, {number: -number for number in numbers}, "test"))
    return tree


@pytest.mark.parametrize("n_blocks", SIZES)
def test_the_tree_over_groups_is_that_over_blocks(n_blocks, one_thread):
    weighted = bool(n_blocks % 2)
    held = rows_of(n_blocks, weighted).persist()
    assert (held.held_groups and held.held_groups.size) == SIZES[n_blocks]
    assert tree_of(held, range(n_blocks)) == tree_over(n_blocks, weighted)


def test_a_pass_over_groups_has_a_task_for_each(one_thread):
    held = rows_of(300).persist()
    graph = map_reduce(held, first_value, list, None, dict.fromkeys(range(300)), "test").__dask_graph__()
    assert len(graph) == 2 * 10 + 3 + 1  # held and worked on, combined, shared


@pytest.mark.parametrize("n_blocks", [16, 33, 130])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_the_tree_over_spans_of_any_lengths_is_that_over_blocks(n_blocks, data):
    with execute_in(ONE_THREAD), pytest.MonkeyPatch.context() as patch:
        held = rows_of(n_blocks).persist()
        n = len(held.held_groups.held)
        edges = sorted({0, n, *data.draw(st.lists(st.integers(1, n), max_size=6))})
        patch.setattr(groups, "cut_spans", lambda *_: [Span(a, b) for a, b in pairwise(edges)])
        lazy = map_reduce(held, first_value, list, None, {number: -number for number in range(n_blocks)}, "test")
        (tree,) = compute(lazy)
    assert tree == tree_over(n_blocks, False)
    assert sum(GROUP_SUFFIX in str(key) and "test" in str(key) for key in lazy.__dask_graph__()) == len(edges) - 1


def lengths(found):
    return [(one.owner, one.n_groups) for one in found]


ONE_EACH = dict.fromkeys("abcd", 1)  # threads


@pytest.mark.parametrize(
    ("held", "threads", "expected"),
    [
        (["a"] * 5 + ["b"] * 5 + ["c"] * 4 + ["d"] * 5, ONE_EACH, [("a", 5), ("b", 5), ("c", 4), ("d", 5)]),
        (["a"] * 9, {"a": 4}, [("a", 3), ("a", 2), ("a", 2), ("a", 2)]),
        (["a"] * 9, {"a": 1}, [("a", 5), ("a", 4)]),  # 8 at most
        (["a"] * 20, ONE_EACH, [("a", 5)] * 4),  # the others came later, and may take some
        (["a"] * 7 + ["b"], {"a": 1, "b": 1}, [("a", 4), ("a", 3), ("b", 1)]),
        (["a", "", "", "a", "a"], {"a": 1}, [("a", 1), (None, 1), (None, 1), ("a", 2)]),
        (["a", "a", "gone"], {"a": 1}, [("a", 2), (None, 1)]),  # its worker is not known
        (["ba", "ab", "b", "ab"], {"a": 1, "b": 2}, [("b", 2), ("b", 1), ("a", 1)]),  # held twice
        (["abc"] * 6, dict.fromkeys("abc", 1), [("a", 2), ("b", 2), ("c", 2)]),
        ([], {"a": 1}, []),
    ],
)
def test_spans_of_a_worker_are_as_many_as_its_threads(held, threads, expected, monkeypatch):
    monkeypatch.setattr(groups, "_FEW_TASKS", 1)
    addresses = [(one,) if one == "gone" else tuple(one) for one in held]
    found = cut_spans(addresses, threads, 8)
    assert lengths(found) == expected
    assert [number for one in found for number in range(one.first, one.stop)] == list(range(len(held)))


@given(st.integers(1, 40), st.sampled_from([1, 2, 8, 32]), st.integers(1, 70), st.integers(1, 8))
def test_threads_of_workers_that_hold_as_much_end_together(n_workers, n_threads, n_each, most):
    """The last one ends at most two groups, or an eighth, after what could be without spans."""
    threads = {f"w{i}": n_threads for i in range(n_workers)}
    found = cut_spans([(one,) for one in threads for _ in range(n_each * n_threads)], threads, most)
    assert max(one.n_groups for one in found) <= most
    ends = [0] * n_threads
    for one in found:
        if one.owner == "w0":
            heapreplace(ends, ends[0] + one.n_groups)
    assert max(ends) <= max(n_each + 2, 1.125 * n_each)


def test_few_groups_have_a_task_each():
    assert lengths(cut_spans(["a"] * 200, {"a": 2}, 8)) == [("a", 1)] * 200
    assert lengths(cut_spans(["a"] * 202, {"a": 2}, 8))[0] == ("a", 2)


def test_some_blocks_of_groups_can_be_taken(one_thread):
    rows = rows_of(70, weighted=True)
    assert tree_of(rows.persist(), [3, 40, 69]) == tree_of(rows, [3, 40, 69])


@pytest.mark.parametrize("fill", [(), (7.0,)])
def test_groups_read_each_block_once_and_are_as_the_source(fill, one_thread):
    source = Counted(np.random.default_rng(0).integers(9, size=(640, 4)).astype(float))
    held = Rows.of_readable(source, (10,), fill_values=fill, chunk_bytes=1024).persist()
    n_blocks = len(held.block_sizes)
    assert held.held_groups.size > 1
    assert source.reads == n_blocks
    assert_array_equal(held.array.compute(), source.array)
    if fill:
        assert_array_equal(held.weights.compute(), ~(source.array == 7).any(axis=1))
    assert source.reads == n_blocks


def test_other_weights_than_those_held_are_used(one_thread):
    held = rows_of(64, weighted=True).persist()
    labels = np.full(128, -1)
    labels[:64] = 0
    others = without_labelled(held, da.from_array(labels, chunks=2))
    assert others.held_groups is None
    (total,) = compute(map_reduce(others, lambda *a: a[1].sum(), sum, None, dict.fromkeys(range(64)), "test"))
    assert total == np.arange(64, 128).sum()


def test_blocks_that_workers_hold_already_stay_where_they_are():
    with LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0") as cluster, Client(cluster):
        rows = Rows(da.zeros((64, 2), chunks=(2, 2)).persist())
        assert rows.persist().held_groups is None
        assert Rows(da.zeros((2000, 2), chunks=(1, 2))).persist().held_groups is not None


def test_blocks_of_what_workers_hold_are_not_grouped():
    """Keys of futures may be left out of a graph."""
    blocks = {("x", i): Task(("x", i), np.negative, TaskRef(f"future-{i}")) for i in range(4)}
    assert group_tasks(blocks, ("x",), list(blocks), (), 2) is None


def test_what_several_groups_need_is_a_task_of_its_own():
    shared = Task("shared", np.ones, 2)
    blocks = {("x", i): Task(("x", i), np.add, shared.ref(), i) for i in range(4)}
    found = group_tasks({"shared": shared, **blocks}, ("x",), list(blocks), (), 2)
    graph = dict(found.held[0].__dask_graph__())
    assert set(graph) == {"shared", *(one.key for one in found.held)}
    for (held, _), first in zip(dask.compute(*found.held, scheduler="synchronous"), (0, 2), strict=True):
        assert_array_equal(held, [np.ones(2) + first, np.ones(2) + first + 1])


@pytest.mark.parametrize(
    ("n_blocks", "block_bytes", "size"),
    [(1000, 8000, 64), (10**6, 8000, MAX_GROUP), (1000, 2**25, 2), (1000, 2**26, 1), (15, 8, 1)],
)
def test_groups_are_bounded_in_number_and_bytes(n_blocks, block_bytes, size, one_thread):
    assert group_size(n_blocks, block_bytes) == size


def test_a_group_that_no_worker_survives_is_named_by_its_rows():
    def fail(block, weights, shared, own):
        raise KilledWorker((f"expect-1234{GROUP_SUFFIX}", 4, 8), type("Last", (), {"address": "tcp://a:1"}), 3)

    rows = rows_of(20)
    lazy = map_reduce(rows, fail, list, None, dict.fromkeys(range(20)), "test")
    named = pytest.raises(ClusterLostError, match=r"^rows \[8:16\] of pixels\.zarr: each of the 4 workers")
    with dask.config.set(scheduler="synchronous"), named, ready(rows, keep=False, name="pixels.zarr"):
        compute(lazy)


@pytest.mark.slow
def test_groups_of_a_lost_worker_are_read_again_and_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(groups, "_FEW_TASKS", 1)
    array, mixture = problem(3, 2, 4000)
    rows, data_summary = Rows.of_memory(array, chunk_bytes=2400), summarise_rows(array)
    with dask.config.set(scheduler="synchronous"):
        (expected,) = Expectation(rows, data_summary)((mixture,))
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        held = rows.persist()
        pass_ = Expectation(held, data_summary)
        wait([one for lazy in held.held_groups.held for one in futures_of(lazy)])
        assert len(held.held_groups.share_out()) < len(held.held_groups.held)
        (first,) = pass_((mixture,))
        client.restart_workers([next(iter(client.scheduler_info()["workers"]))])
        (second,) = pass_((mixture,))
    assert held.held_groups.size == 2
    for one in (first, second):
        assert one.log_likelihood == expected.log_likelihood
        assert_array_equal(one.sums, expected.sums)
