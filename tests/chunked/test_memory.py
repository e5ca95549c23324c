"""Whether rows are kept in memory."""

import dask.array as da
import pytest
from distributed import Client, LocalCluster

from daskgmm.chunked.memory import available_bytes, estimate, fits
from daskgmm.chunked.rows import Rows
from tests import oracles

SMALL = Rows(da.zeros((1000, 2), chunks=(500, 2)), da.ones(1000, chunks=500))
HUGE = Rows(da.zeros((10**12, 2), chunks=(10**10, 2)))


def test_auto_keeps_rows_that_take_at_most_half_of_what_is_there():
    assert fits(SMALL, "auto")
    assert not fits(HUGE, "auto")
    assert HUGE.n_bytes > available_bytes() > SMALL.n_bytes


@pytest.mark.parametrize("rows", [SMALL, HUGE])
def test_a_person_has_the_last_word(rows):
    assert fits(rows, True) is True
    assert fits(rows, False) is False


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_streamed_rows_are_held_one_chunk_at_a_time(covariance_type):
    found = estimate(HUGE, 8, covariance_type)
    assert not fits(HUGE, "auto")
    assert found.largest_chunk == 10**10 * 16
    assert found.per_thread >= 2 * found.largest_chunk
    kept = estimate(SMALL, 8, covariance_type)
    assert fits(SMALL, "auto")
    assert SMALL.n_bytes == 1000 * 3 * 8
    assert kept.per_thread < 10 * 2**20


def test_workers_without_a_limit_have_what_this_machine_has_left():
    with (
        LocalCluster(n_workers=1, processes=False, memory_limit=0, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        assert available_bytes() > 2**20
