"""BLAS on one thread, whichever threads enter and leave, in whatever order.

The order matters: threadpoolctl 3.8 lets one thread alone set the limits of a process, and ignores others in silence.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from threadpoolctl import threadpool_info

from daskgmm.blas import call_in_own_thread, single_threaded

SECONDS = 20


def blas_threads():
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def limited_threads():
    with single_threaded():
        return set(blas_threads())


@pytest.fixture
def pool():
    """Two threads that stay alive, as those of a worker do."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_blas_has_one_thread_within_and_its_own_number_after():
    before = blas_threads()
    with single_threaded():
        assert set(blas_threads()) == {1}
        with single_threaded():
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_the_limit_goes_after_an_error():
    before = blas_threads()
    with pytest.raises(KeyError), single_threaded():
        raise KeyError
    assert blas_threads() == before


def test_an_error_in_the_thread_that_changes_the_limit_is_raised():
    def change():
        raise OSError("no such library")

    with pytest.raises(OSError, match="no such library"):
        call_in_own_thread(change)


def test_a_thread_limits_blas_after_another_did(pool):
    before = blas_threads()
    assert limited_threads() == {1}
    assert pool.submit(limited_threads).result(SECONDS) == {1}
    assert limited_threads() == {1}
    assert blas_threads() == before


def test_overlapping_threads_are_limited_until_the_last_has_left(pool):
    before = blas_threads()
    first_inside, second_inside, first_left = Event(), Event(), Event()

    def first():
        with single_threaded():
            first_inside.set()
            second_inside.wait(SECONDS)
        first_left.set()

    def second():
        first_inside.wait(SECONDS)
        with single_threaded():
            second_inside.set()
            first_left.wait(SECONDS)
            return set(blas_threads())

    pool.submit(first)
    assert pool.submit(second).result(SECONDS) == {1}
    assert blas_threads() == before
