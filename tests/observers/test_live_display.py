"""The display of a job on a terminal."""

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from daskgmm.events import Connected, Iteration, Load, Notice, Opened, Phase
from daskgmm.observers.console import listen_on
from daskgmm.observers.live_display import Board, show

ITERATION = Iteration(
    iteration=3,
    objective=-1.25,
    log_likelihood=-1.25,
    gain=0.25,
    remaining_gain=0.25,
    seconds=0.5,
    rows_per_second=2**20,
    n_live=1,
    empty_components=(),
)
LOAD = Load(n_workers=4, n_threads=8, tasks_done=3, tasks=12, n_retries=2)


def board_after(*events, tol=1e-3, load=None):
    board = Board(200, tol)
    for event in events:
        board(event)
    board.load = load
    return board


def text_of(board):
    console = Console(file=io.StringIO(), width=200)
    console.print(board)
    return console.file.getvalue()


def test_it_shows_all_that_the_events_tell():
    connected = Connected("there", "http://127.0.0.1:8787", lambda: LOAD)
    text = text_of(board_after(connected, Opened(100, 32, True), Phase("fit"), ITERATION, load=LOAD))
    for shown_text in (
        "fit, pass 4 of at most 201",
        "iteration 3",
        "log-likelihood -1.250000",
        "gain 2.50e-01",
        "remaining 2.5e-01 (tol 1.0e-03)",
        "about 8 passes left",
        "1,048,576 rows/s",
        "32 MiB/s read",
        "4 workers, 8 threads",
        "2 retries",
        "dashboard http://127.0.0.1:8787",
    ):
        assert shown_text in text


def test_the_bar_is_that_of_the_tasks_of_the_pass():
    board = board_after(Phase("fit"), load=LOAD)
    text_of(board)
    assert (board.bar.tasks[0].completed, board.bar.tasks[0].total) == (0.25, 1)


def test_the_bar_never_runs_backwards_within_a_phase():
    board, shown_bars = board_after(Phase("seed"), load=LOAD), []
    for done, tasks in ((3, 12), (9, 12), (1, 4), (4, 4), (0, 0), (1, 8)):
        board.load = replace(LOAD, tasks_done=done, tasks=tasks)
        text_of(board)
        task = board.bar.tasks[0]
        shown_bars.append(None if task.total is None else task.completed)
    assert shown_bars == [0.25, 0.75, None, 1.0, None, None]
    board(Phase("fit"))
    text_of(board)
    assert board.bar.tasks[0].completed == 0.125


def test_rows_in_memory_are_not_read():
    assert "read" not in text_of(board_after(Opened(100, 32, False), Phase("fit"), ITERATION))


def test_what_is_not_known_is_left_out():
    text = text_of(board_after(Phase("fit"), replace(ITERATION, gain=None, remaining_gain=None), tol=None))
    for word in ("gain", "left", "workers", "retries", "dashboard", "None"):
        assert word not in text


def test_a_narrow_terminal_cuts_lines_and_wraps_none():
    console = Console(file=io.StringIO(), width=40)
    console.print(board_after(Phase("fit"), Opened(100, 32, True), ITERATION, load=LOAD))
    assert len(console.file.getvalue().splitlines()) == 3


def test_the_cluster_is_looked_at_while_it_is_shown():
    looks = []

    def look():
        looks.append(time.monotonic())
        return LOAD

    board = board_after(Connected("there", None, look))
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with show(board, console):
        deadline = time.monotonic() + 30
        while not looks and time.monotonic() < deadline:
            time.sleep(0.05)
    assert board.load == LOAD
    assert looks


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_display_that_ends_leaves_the_lines_alone(is_terminal):
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=200, highlight=False)
    with listen_on(console, 10, 1e-4) as listen:
        for event in (Phase("fit", "EM"), ITERATION, Notice("mind")):
            listen(event)
    lines = console.file.getvalue()
    assert "note: mind" in lines
    assert ("pass 4 of at most" in lines) == is_terminal


def test_after_the_last_pass_no_other_is_announced():
    text = text_of(board_after(Phase("fit", "EM"), replace(ITERATION, n_live=0)))
    assert "fit, done after 3 passes" in text
    assert "of at most" not in text
