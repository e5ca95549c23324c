"""One task for each block, and a tree in the order of the blocks."""

from math import ceil
from types import SimpleNamespace

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import KilledWorker
from distributed.comm import CommClosedError
from distributed.scheduler import NoWorkerError

from daskgmm.chunked.map_reduce import compute, map_reduce
from daskgmm.chunked.memory import estimate
from daskgmm.chunked.read_ahead import ready
from daskgmm.chunked.rows import Rows
from daskgmm.errors import ClusterLostError

N_BLOCKS = [1, 2, 15, 16, 17, 256, 300]


def rows_of(n_blocks, weighted=False):
    """Return rows of `n_blocks` blocks of two rows."""
    array = da.from_array(np.arange(4.0 * n_blocks).reshape(-1, 2), chunks=(2, 2))
    return Rows(array, da.ones(2 * n_blocks, chunks=2) if weighted else None)


def own_of(block, weights, shared, own):
    return [own]


def concatenate(parts):
    return [one for part in parts for one in part]


@pytest.mark.parametrize("n_blocks", N_BLOCKS)
def test_blocks_are_combined_once_each_in_their_order(n_blocks):
    (order,) = compute(
        map_reduce(rows_of(n_blocks), own_of, concatenate, None, dict(enumerate(range(n_blocks))), "test")
    )
    assert order == list(range(n_blocks))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_the_tree_does_not_depend_on_the_scheduler(scheduler):
    def tree(parts):
        return list(parts)

    lazy = map_reduce(rows_of(300), own_of, tree, None, dict(enumerate(range(300))), "test")
    with dask.config.set(scheduler=scheduler):
        (nested,) = compute(lazy)
    expected = [[i] for i in range(300)]
    while len(expected) > 1:
        expected = [expected[at : at + 16] for at in range(0, len(expected), 16)]
    assert nested == expected[0]


def test_the_shared_argument_is_one_task_however_many_blocks_there_are():
    marker = np.zeros(1000)
    graph = dict(
        map_reduce(rows_of(300), own_of, concatenate, marker, dict(enumerate(range(300))), "test").__dask_graph__()
    )
    holders = [key for key, task in graph.items() if getattr(task, "value", None) is marker]
    assert len(holders) == 1
    assert sum(holders[0] in getattr(task, "dependencies", ()) for task in graph.values()) == 300


@pytest.mark.parametrize("weighted", [False, True])
def test_blocks_and_weights_arrive_flat_as_numpy_arrays(weighted):
    array = da.zeros((4, 6, 3), chunks=(2, 3, 3))
    rows = Rows(array, da.ones((4, 6), chunks=(2, 3)) if weighted else None)

    def shapes(block, weights, shared, own):
        assert type(block) is np.ndarray
        return [(block.shape, None if weights is None else weights.shape, shared, own)]

    (seen,) = compute(map_reduce(rows, shapes, concatenate, "shared", dict(enumerate("abcd")), "test"))
    assert seen == [((6, 3), (6,) if weighted else None, "shared", own) for own in "abcd"]


@pytest.mark.parametrize("n_blocks", N_BLOCKS)
def test_the_estimate_counts_the_tasks_of_a_pass(n_blocks):
    rows = rows_of(n_blocks)
    lazy = map_reduce(rows, own_of, concatenate, None, dict(enumerate(range(n_blocks))), "test")
    own_tasks = len(lazy.__dask_graph__()) - len(rows.array.__dask_graph__())
    found = estimate(rows, 3, "full")
    assert (found.n_chunks, found.n_tasks) == (n_blocks, own_tasks)
    assert own_tasks >= n_blocks + ceil(n_blocks / 16)


LAST = SimpleNamespace(address="tcp://host:1")  # of the workers that died
DIED = r"each of the 4 workers that ran it died, the last at tcp://host:1; .*lower compute\.chunk_bytes"


def failing(rows, error):
    """Return a pass over the rows whose last task fails."""

    def fail(block, weights, shared, own):
        if own:
            raise error

    own = dict(enumerate([False] * (len(rows.block_sizes) - 1) + [True]))
    return map_reduce(rows, fail, concatenate, None, own, "test")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (CommClosedError("gone"), "gone"),
        (NoWorkerError("key", 60.0), "all workers are gone, and none came for 60 s"),
        (KilledWorker(("refine-1234", 0), LAST, 3), f"^task refine: {DIED}"),
    ],
)
def test_a_cluster_that_is_lost_is_an_error_for_a_person(error, message):
    with dask.config.set(scheduler="synchronous"), pytest.raises(ClusterLostError, match=message) as info:
        compute(failing(rows_of(2), error))
    assert info.value.exit_code == 5


@pytest.mark.parametrize("task", ["read", "chunk"])
def test_rows_that_no_worker_survives_are_named(task):
    rows = rows_of(3)
    key = {"read": (rows.array.name, 2, 0), "chunk": ("expect-1234-chunk", 2)}[task]
    named = pytest.raises(ClusterLostError, match=rf"^rows \[4:6\] of pixels\.zarr: {DIED}")
    with dask.config.set(scheduler="synchronous"), named, ready(rows, keep=False, name="pixels.zarr"):
        compute(failing(rows, KilledWorker(key, LAST, 3)))


def test_other_tasks_that_no_worker_survives_are_named_as_they_are():
    plain = pytest.raises(ClusterLostError, match=r"^task refine: ")
    with dask.config.set(scheduler="synchronous"), plain, ready(rows_of(2), keep=False):
        compute(failing(rows_of(2), KilledWorker("refine-1234", LAST, 3)))
