"""How many threads compute at once."""

from contextlib import ExitStack
from threading import Barrier, Event, Thread, get_ident

import numpy as np
import pytest

from daskgmm.concurrency import compute_slot, helped_slot, map_helped, n_reading_ahead, slot_lent


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


ENOUGH = 1e9  # work


def test_free_slots_help_and_results_keep_their_order():
    at_once = Barrier(3, timeout=30)

    def wait_for_others(number):
        at_once.wait()  # nobody passes before three are here
        return number, get_ident()

    with helped_slot(3):
        found = list(map_helped(wait_for_others, range(9), ENOUGH))
    assert [number for number, _ in found] == list(range(9))
    assert len({thread for _, thread in found}) == 3


@pytest.mark.parametrize(("items", "work"), [(range(5), 100.0), ([1], ENOUGH), ([], ENOUGH)])
def test_little_work_and_single_items_are_not_worth_a_thread(items, work):
    with helped_slot(4):
        threads = list(map_helped(lambda _: get_ident(), items, work))
    assert threads == [get_ident()] * len(items)


def test_nobody_helps_outside_of_a_helped_slot_nor_within_a_helper_nor_where_all_slots_are_taken():
    def by_whom(_):
        return get_ident()

    def nested(_):
        return set(map_helped(by_whom, range(3), ENOUGH)), get_ident()

    own = {get_ident()}
    with compute_slot(5):
        assert set(map_helped(by_whom, range(3), ENOUGH)) == own
    with helped_slot(None):
        assert set(map_helped(by_whom, range(3), ENOUGH)) == own
    with compute_slot(2), helped_slot(2):
        assert set(map_helped(by_whom, range(3), ENOUGH)) == own
    with helped_slot(6):
        assert all(inner == {outer} for inner, outer in map_helped(nested, range(3), ENOUGH))


def test_helpers_have_the_context_of_the_caller():
    with helped_slot(3), np.errstate(over="raise"):
        found = list(map_helped(lambda _: (np.geterr()["over"], get_ident()), range(6), ENOUGH))
    assert {name for name, _ in found} == {"raise"}
    assert get_ident() not in {thread for _, thread in found}


def test_whoever_waits_for_a_slot_gets_it_before_helpers_do():
    came = Event()

    def wait():
        with compute_slot(8):
            came.set()

    def help_for_long():
        with helped_slot(8), ExitStack() as all_others:
            for _ in range(6):
                all_others.enter_context(compute_slot(8))
            for _ in range(1_000):  # or until the slot is another's for a moment
                if list(map_helped(lambda _: came.wait(0.01), range(4), ENOUGH))[-1]:
                    return

    helped, waiting = Thread(target=help_for_long), Thread(target=wait)
    helped.start()
    waiting.start()
    assert came.wait(timeout=5)
    helped.join()
    waiting.join()


def test_the_first_failure_in_order_is_raised_and_all_slots_are_free_again():
    def fail(number):
        raise ValueError(number)

    with helped_slot(7), pytest.raises(ValueError, match="0"):
        list(map_helped(fail, range(9), ENOUGH))
    with helped_slot(7):
        given_up = map_helped(str, range(9), ENOUGH)
        assert next(given_up) == "0"
        given_up.close()
    with ExitStack() as all_slots:
        for _ in range(7):
            all_slots.enter_context(compute_slot(7))
