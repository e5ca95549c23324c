"""When nothing goes on, and what is said of it."""

from dataclasses import replace

import pytest

from daskgmm.clusters.stall_detection import (
    BUSY_PATIENCE,
    MAX_HELPS,
    ClusterSnapshot,
    Stall,
    WorkerSnapshot,
    describe,
    stall_after,
)

IDLE = ClusterSnapshot({"a": WorkerSnapshot(1.0), "b": WorkerSnapshot(1.0)}, {"a": frozenset({"x"}), "b": frozenset()})
LATER = ClusterSnapshot({"a": WorkerSnapshot(2.0), "b": WorkerSnapshot(2.0)}, IDLE.processing)
AWAITED = frozenset({"result"})
STALL = Stall(100.0, AWAITED, IDLE)


def with_worker(look, **fields):
    """Return the look with another state of worker a."""
    return ClusterSnapshot({**look.workers, "a": replace(look.workers["a"], **fields)}, look.processing)


def test_a_client_that_waits_for_nothing_is_not_stalled():
    assert stall_after(STALL, frozenset(), LATER, 200.0) is None


@pytest.mark.parametrize(
    "look", [LATER, None, ClusterSnapshot({}, IDLE.processing), ClusterSnapshot({}, {"b": frozenset({"x"})})]
)
def test_a_stall_lasts_while_workers_have_the_same_tasks_wherever_these_are(look):
    assert stall_after(STALL, AWAITED, look, 200.0) == STALL


@pytest.mark.parametrize(
    ("awaited", "look"),
    [(frozenset({"other"}), LATER), (AWAITED, ClusterSnapshot(LATER.workers, {"a": frozenset({"y"})}))],
)
def test_another_task_or_result_begins_a_new_stall(awaited, look):
    assert stall_after(STALL, awaited, look, 200.0) == Stall(200.0, awaited, look)


def test_a_scheduler_that_answers_again_begins_a_new_stall():
    assert stall_after(Stall(100.0, AWAITED, None), AWAITED, LATER, 200.0) == Stall(200.0, AWAITED, LATER)


def test_a_task_that_computes_may_take_its_time_though_not_for_ever():
    busy = with_worker(LATER, cpu=95.0)
    assert STALL.is_over(50.0, LATER, 150.0)
    assert not STALL.is_over(50.0, LATER, 149.0)
    assert not STALL.is_over(50.0, busy, 100 + 50.0 * BUSY_PATIENCE - 1)
    assert STALL.is_over(50.0, busy, 100 + 50.0 * BUSY_PATIENCE)


@pytest.mark.parametrize("fields", [{"paused": True}, {"last_heard": 1.0}, {"cpu": 3.0}])
def test_a_worker_that_is_paused_silent_or_idle_does_not_compute(fields):
    look = with_worker(with_worker(LATER, cpu=95.0), **fields)
    assert STALL.is_over(50.0, look, 150.0)


def test_a_worker_that_computes_without_a_task_of_ours_does_not_count():
    look = ClusterSnapshot({**LATER.workers, "b": WorkerSnapshot(2.0, cpu=95.0)}, LATER.processing)
    assert STALL.is_over(50.0, look, 150.0)


def test_help_is_tried_once_in_a_stall_and_a_few_times_for_the_same_results():
    stall = STALL
    for number in range(MAX_HELPS):
        assert not stall.is_hopeless
        helped = stall.after_help(LATER, 200.0)
        assert helped.is_hopeless
        went_on = ClusterSnapshot(LATER.workers, {"a": frozenset({f"task {number}"})})
        stall = stall_after(helped, AWAITED, went_on, 210.0)
    assert stall.is_hopeless
    assert not stall_after(stall, frozenset({"other"}), LATER, 300.0).is_hopeless


def test_a_worker_is_waited_for_after_help_was_tried():
    empty = ClusterSnapshot({}, {})
    helped = STALL.after_help(empty, 200.0)
    assert helped.waits_for_a_worker(empty)
    assert not STALL.waits_for_a_worker(empty)
    assert not helped.waits_for_a_worker(LATER)
    assert not helped.waits_for_a_worker(None)


@pytest.mark.parametrize(
    ("first", "now", "words"),
    [
        (IDLE, None, "the scheduler does not answer"),
        (IDLE, ClusterSnapshot({}, {}), "there is no worker"),
        (IDLE, IDLE, "2 of 2 workers are not heard of, such as a"),
        (IDLE, with_worker(LATER, last_heard=1.0), "1 of 2 workers are not heard of, such as a"),
        (IDLE, with_worker(LATER, paused=True), "1 of 2 workers are paused since their memory is full, such as a"),
        (IDLE, LATER, "2 workers have the same 1 tasks since, such as x"),
        (None, LATER, "2 workers have the same 1 tasks since, such as x"),
        (IDLE, ClusterSnapshot(LATER.workers, {}), "none of 2 workers has a task"),
    ],
)
def test_what_is_seen_is_said(first, now, words):
    assert describe(first, now) == words
