"""Rows that are streamed are read beside the threads that compute."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from threading import Barrier, Condition

import dask
import numpy as np
import pytest
from dask import delayed

from daskgmm.chunked.map_reduce import compute, map_reduce
from daskgmm.chunked.prediction import predict_to
from daskgmm.chunked.read_ahead import ready
from daskgmm.chunked.rows import Rows
from daskgmm.concurrency import READ_AHEAD, Execution, current_execution, execute_in
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.scoring.prediction import PredictionOutputs

N_BLOCKS = 40


class Watch:
    """Notes what goes on, and lets threads wait until it has."""

    def __init__(self):
        self.changed = Condition()
        self.read = self.computing = self.computed = 0
        self.most_computing = self.most_in_flight = 0

    def wait_for_reads(self, n):
        with self.changed:
            return self.changed.wait_for(lambda: self.read >= n, timeout=30)


class Source:
    """Rows, two to a block, whose reading is watched."""

    shape, dtype, ndim = (2 * N_BLOCKS, 3), np.dtype(np.float32), 2

    def __init__(self, watch, together):
        self.watch, self.together = watch, together

    def __getitem__(self, slices):
        if slices[0].start == slices[0].stop:  # dask looks at the type of nothing
            return np.zeros((0, 3), np.float32)
        watch = self.watch
        with watch.changed:
            watch.read += 1
            watch.most_in_flight = max(watch.most_in_flight, watch.read - watch.computed)
            watch.changed.notify_all()
        assert watch.wait_for_reads(self.together), "too few blocks are read at once"
        return np.zeros((2, 3), np.float32)


def concatenate(parts):
    return [one for part in parts for one in part]


def run(n_workers, read_ahead, needed, keep=False, together=1):
    """Run a pass in which blocks are held back until `needed` have been read, and reads until `together` have begun."""
    watch = Watch()
    rows = Rows.of_readable(Source(watch, together), (2,), chunk_bytes=24)
    assert len(rows.block_sizes) == N_BLOCKS

    def chunk(block, weights, shared, own):
        with watch.changed:
            watch.computing += 1
            watch.most_computing = max(watch.most_computing, watch.computing)
        arrived = watch.wait_for_reads(min(needed, N_BLOCKS))
        with watch.changed:
            watch.computing -= 1
            watch.computed += 1
        return [arrived]

    with (
        dask.config.set({"scheduler": "threads", "num_workers": n_workers, READ_AHEAD: read_ahead}),
        ready(rows, keep) as ready_rows,
    ):
        own = dict(enumerate(range(N_BLOCKS)))
        (arrived,) = compute(map_reduce(ready_rows, chunk, concatenate, None, own, "test"))
    assert len(arrived) == N_BLOCKS
    assert all(arrived), "a block waited for reads that did not come"
    return watch


@pytest.mark.parametrize(("n_workers", "read_ahead", "n_ahead"), [(1, 0, 0), (2, 0, 0), (2, 3, 3), (2, "auto", 2)])
def test_blocks_are_read_ahead_while_all_slots_compute(n_workers, read_ahead, n_ahead):
    watch = run(n_workers, read_ahead, needed=n_workers + n_ahead)
    assert watch.most_computing <= n_workers
    assert watch.most_in_flight <= n_workers + n_ahead  # so memory is bounded


def test_rows_in_memory_get_no_more_threads():
    rows = Rows.of_memory(np.zeros((8, 2)))
    with dask.config.set(scheduler="threads", num_workers=2):
        with ready(rows, keep=False):
            execution = current_execution()
            assert execution is not None
            assert (execution.n_threads, execution.pool._max_workers) == (2, 4)
        with ready(rows, keep=True):
            assert current_execution() == Execution("threads", 2)


def test_jobs_of_threads_at_once_leave_the_configuration_and_each_other_alone():
    rows, both = Rows.of_memory(np.zeros((8, 2))), Barrier(2)
    before = deepcopy(dask.config.config)

    def job(n_threads):
        with execute_in(Execution("threads", n_threads)), ready(rows, keep=False):
            both.wait(timeout=30)
            (found,) = compute(delayed(lambda: current_execution().n_threads)())
            both.wait(timeout=30)
            return found

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(job, [2, 3])) == [2, 3]
    assert dask.config.config == before


def test_rows_to_be_kept_are_read_with_more_threads():
    watch = run(2, 3, needed=N_BLOCKS, keep=True, together=5)
    assert watch.read == N_BLOCKS  # once, before the pass


@pytest.mark.parametrize("other", [{"scheduler": "synchronous"}, {"pool": object()}])
def test_what_the_user_has_set_up_is_left_alone(other):
    rows = Rows.of_memory(np.zeros((8, 2)))
    with dask.config.set(other), ready(rows, keep=False):
        assert current_execution() is None


def test_blocks_are_scored_while_others_are_written():
    """With one slot, a second block's results arrive while the first is still being written."""
    mixture = Mixture("spherical", np.array([1.0]), np.zeros((1, 3)), np.ones(1))
    together = Barrier(2)
    rows = Rows.of_readable(Source(Watch(), 1), (2,), chunk_bytes=24)
    with (
        dask.config.set({"scheduler": "threads", "num_workers": 1, READ_AHEAD: 1}),
        ready(rows, keep=False) as streamed,
    ):
        counts = predict_to(
            streamed, mixture, PredictionOutputs(), lambda region, prediction: together.wait(timeout=30)
        ).counts
    assert counts.tolist() == [2 * N_BLOCKS]
