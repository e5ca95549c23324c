"""How many threads compute at once."""

from threading import Barrier, Event, Thread

import pytest

from daskgmm.concurrency import compute_slot, n_reading_ahead, slot_lent


def test_there_is_no_slot_beyond_the_last_until_one_is_left():
    n, release = 3, Event()
    inside = Barrier(n + 1)

    def compute():
        with compute_slot(n):
            inside.wait(timeout=30)
            release.wait(timeout=30)

    threads = [Thread(target=compute) for _ in range(n)]
    for thread in threads:
        thread.start()
    inside.wait(timeout=30)
    assert not compute_slot(n).acquire(blocking=False)
    release.set()
    for thread in threads:
        thread.join()
    with compute_slot(n) as taken:
        assert taken


def test_a_failure_leaves_its_slot():
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), compute_slot(1):
            raise ZeroDivisionError
    with compute_slot(1):
        assert not compute_slot(1).acquire(blocking=False)


def test_without_a_number_nothing_waits():
    with compute_slot(None), compute_slot(None):
        pass


@pytest.mark.parametrize(("read_ahead", "expected"), [("auto", 3), (0, 0), (7, 7)])
def test_auto_reads_one_chunk_ahead_for_each_computing_thread(read_ahead, expected):
    assert n_reading_ahead(read_ahead, 3) == expected


def test_a_slot_that_is_lent_is_anothers_until_it_is_given_back():
    taken, given_back = Event(), Event()

    def compute():
        with compute_slot(1):
            taken.set()
            assert given_back.wait(timeout=30)

    def lend():
        with slot_lent(1):
            thread.start()
            assert taken.wait(timeout=30)
            given_back.set()
            raise ZeroDivisionError

    thread = Thread(target=compute)
    with compute_slot(1):
        with pytest.raises(ZeroDivisionError):
            lend()
        assert not compute_slot(1).acquire(blocking=False)
    thread.join()
    with slot_lent(None):
        pass
