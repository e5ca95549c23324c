"""One job at a time in a run directory."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from time import monotonic

import pytest

from daskgmm.errors import DataError, LostLockError, RunInUseError
from daskgmm.filesystem.guards import guard_of
from daskgmm.filesystem.location import guard_write, resolve_location, write_first
from daskgmm.storage.run.directory import RunDirectory
from daskgmm.storage.run.lock import LOCK, Heartbeat, Owner, hold_lock, owner

QUICK = Heartbeat(every=0.02, stale=1.0, look=0.01)
IMPATIENT = Heartbeat(every=0.02, stale=0.06, look=0.01)  # for locks whose owner is dead for sure


@pytest.fixture(params=["local", "memory"])
def directory(request, tmp_path):
    """An output directory on this machine, and one behind an fsspec URL."""
    return (
        resolve_location(tmp_path / "run")
        if request.param == "local"
        else resolve_location(f"memory://{tmp_path.name}/run")
    )


def leave_behind(directory, **other):
    """Write the lock of another owner."""
    directory.mkdir(parents=True, exist_ok=True)
    left = replace(Owner.this_process(), **other)
    (directory / LOCK).write_text(json.dumps(asdict(left)))
    return left


def dead_process():
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_second_job_is_refused_and_told_whose_the_directory_is(directory):
    with hold_lock(directory):
        mine = owner(directory)
        assert (mine.pid, mine.process_lives, mine.is_here) == (os.getpid(), True, True)
        with pytest.raises(RunInUseError) as refusal, hold_lock(directory):
            pass
        assert f"is in use by {mine.user} on {mine.host} (process {mine.pid}, since {mine.since})" in str(refusal.value)
        assert owner(directory) == mine
    assert owner(directory) is None
    assert not directory.exists()  # it was made for the lock, and nothing came


def failing(directory):
    """Hold a directory, write a file and fail."""
    with hold_lock(directory):
        (directory / "file").write_text("")
        raise ZeroDivisionError


def test_an_error_releases_the_lock_and_what_came_stays(tmp_path):
    with pytest.raises(ZeroDivisionError):
        failing(tmp_path / "run")
    assert [one.name for one in (tmp_path / "run").iterdir()] == ["file"]


@pytest.mark.parametrize("other", ["ended", "number given again"])
def test_the_lock_of_a_process_that_is_gone_is_taken_over_and_told(directory, other):
    left = leave_behind(directory, **({"pid": dead_process()} if other == "ended" else {"started": 1.0}))
    heard = []
    with hold_lock(directory, heard.append):
        assert owner(directory).pid == os.getpid()
    assert [one.message for one in heard] == [f"the lock of {left} was left behind, and is taken over"]


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    code = "import os, sys; from pathlib import Path; from daskgmm.storage.run.lock import hold_lock\n"
    code += "with hold_lock(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert not owner(tmp_path).process_lives
    heard = []
    with hold_lock(tmp_path, heard.append):
        pass
    assert "was left behind" in heard[0].message


def test_a_job_on_another_machine_lives_while_its_heart_beats(directory):
    left = leave_behind(directory, host="elsewhere")
    stopped, count = threading.Event(), 0

    def beat():
        nonlocal count
        while not stopped.wait(0.05):
            count += 1
            (directory / LOCK).write_text(json.dumps({**asdict(left), "beat": count}))

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with (
            pytest.raises(RunInUseError, match="on elsewhere"),
            hold_lock(directory, heartbeat=Heartbeat(0.05, 60, 0.01)),
        ):
            pass
    finally:
        stopped.set()
        beating.join()


def test_a_job_on_another_machine_whose_heart_stands_still_is_given_up(directory):
    leave_behind(directory, host="elsewhere")
    heard = []
    with hold_lock(directory, heard.append, IMPATIENT):
        pass
    assert [one.message.partition("locked")[0] for one in heard[:1]] == ["the directory is "]
    assert "on elsewhere" in heard[-1].message
    assert "taken over" in heard[-1].message


def test_a_heart_that_has_stood_still_for_long_is_waited_for_for_three_beats(tmp_path):
    leave_behind(tmp_path, namespace="pid:[of another container]")
    os.utime(tmp_path / LOCK, (1e9, 1e9))
    heard, begin = [], monotonic()
    with hold_lock(tmp_path, heard.append, Heartbeat(every=0.05, stale=60.0, look=0.01)):
        assert 0.15 <= monotonic() - begin < 30
    assert "taken over" in heard[-1].message


@pytest.mark.parametrize("clock", [1e9, 1e10], ids=["ahead", "behind"])
def test_a_clock_that_jumps_makes_no_live_lock_stale(tmp_path, clock):
    """The beats of another machine are those of a clock far from this one's: only that they change counts."""
    leave_behind(tmp_path, host="elsewhere")
    stopped, beats = threading.Event(), iter(range(10_000))
    os.utime(tmp_path / LOCK, (clock, clock))

    def beat():
        while not stopped.wait(0.05):
            os.utime(tmp_path / LOCK, (clock, clock + next(beats)))

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with (
            pytest.raises(RunInUseError, match="on elsewhere"),
            hold_lock(tmp_path, heartbeat=Heartbeat(1.0, 60.0, 0.01)),
        ):
            pass
    finally:
        stopped.set()
        beating.join()


def test_a_lock_shows_that_its_owner_lives(directory):
    with hold_lock(directory, heartbeat=QUICK):
        lock = directory / LOCK
        pulse = lambda: lock.stat().st_mtime_ns if isinstance(lock, type(resolve_location("."))) else lock.read_text()  # noqa: E731
        first, pause = pulse(), threading.Event()
        while pulse() == first:
            pause.wait(0.01)
        assert owner(directory).pid == os.getpid()


def test_a_damaged_lock_is_one_whose_owner_is_unknown(directory):
    leave_behind(directory)
    (directory / LOCK).write_text("{")
    heard = []
    with hold_lock(directory, heard.append, IMPATIENT):
        pass
    assert "somebody on an unknown machine" in heard[-1].message


@pytest.mark.parametrize("left", [None, {"started": 1.0}], ids=["free", "stale"])
def test_of_many_that_come_at_once_one_gets_the_directory(tmp_path, left):
    n = 8
    for attempt in range(10):
        directory = tmp_path / str(attempt)
        directory.mkdir()
        if left:
            leave_behind(directory, **left)
        together, all_tried = threading.Barrier(n), threading.Barrier(n)

        def try_it(directory=directory, together=together, all_tried=all_tried):
            together.wait()
            try:
                with hold_lock(directory):
                    all_tried.wait()
                    return True
            except RunInUseError:
                all_tried.wait()
                return False

        with ThreadPoolExecutor(n) as threads:
            assert sum(one.result() for one in [threads.submit(try_it) for _ in range(n)]) == 1
        assert list(directory.iterdir()) == []


def test_a_bucket_is_locked(s3):
    directory = resolve_location(f"{s3.url}/locked", s3.storage_options)
    with hold_lock(directory):
        with pytest.raises(RunInUseError, match=f"process {os.getpid()}"), hold_lock(directory):
            pass
        assert owner(directory).pid == os.getpid()
    assert owner(directory) is None


def test_the_lock_of_a_bucket_is_read_while_its_heart_beats(s3):
    directory = resolve_location(f"{s3.url}/beating", s3.storage_options)
    with hold_lock(directory, heartbeat=Heartbeat(every=0.001, stale=60.0, look=1.0)):
        pids = {owner(directory).pid for _ in range(50)}
    assert pids == {os.getpid()}


def test_a_directory_that_another_job_fills_meanwhile_is_not_removed(directory, monkeypatch):
    probe = RunDirectory(directory)
    monkeypatch.setattr("daskgmm.storage.run.directory.write_first", fill_beside)
    probe.check_writable(overwrite=False)
    assert (directory / "of-another-job").exists()


def fill_beside(path, content):
    """Write the probe of a job, and what another one writes at the same moment."""
    write_first(path, content)
    (path.parent / "of-another-job").write_text("")


def take_turns(directories, ready, outcomes):
    """Hold each directory in turn, together with another process."""
    for directory in directories:
        ready.wait()
        try:
            with RunDirectory(directory).hold_lock():
                outcomes.put("held")
        except RunInUseError:
            outcomes.put("in use")
        except BaseException as error:
            outcomes.put(repr(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_jobs_that_begin_at_once_in_a_new_directory_hold_it_or_are_refused(tmp_path):
    fork = multiprocessing.get_context("fork")
    ready, outcomes = fork.Barrier(2), fork.SimpleQueue()
    turns = [tmp_path / str(number) for number in range(100)]
    jobs = [fork.Process(target=take_turns, args=(turns, ready, outcomes)) for _ in range(2)]
    for job in jobs:
        job.start()
    seen = {outcomes.get() for _ in range(2 * len(turns))}
    for job in jobs:
        job.join()
    assert seen <= {"held", "in use"}


def test_a_lock_with_an_impossible_process_is_taken_over(directory):
    leave_behind(directory, pid=-5)
    with hold_lock(directory, heartbeat=IMPATIENT):
        assert owner(directory).pid == os.getpid()


def test_a_live_job_on_another_machine_of_the_same_name_is_left_alone(tmp_path):
    """As on cloned virtual machines: the names of host and namespace are the same, the kernel is another."""
    left = leave_behind(tmp_path, boot="of another machine", pid=dead_process())
    stopped = threading.Event()

    def beat():
        while not stopped.wait(0.05):
            os.utime(tmp_path / LOCK)

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with pytest.raises(RunInUseError, match=f"in use by {left.user}"), hold_lock(tmp_path, heartbeat=QUICK):
            pass
    finally:
        stopped.set()
        beating.join()


def test_a_lock_that_does_not_say_its_machine_is_of_another_one(tmp_path):
    lock = asdict(leave_behind(tmp_path, user="ann"))
    del lock["boot"]
    (tmp_path / LOCK).write_text(json.dumps(lock))
    assert owner(tmp_path).user == "ann"
    assert not owner(tmp_path).is_here


@pytest.mark.parametrize("make", [
    lambda lock: lock.symlink_to("/nonexistent/x"),
    lambda lock: (lock.with_name("x").write_text(""), lock.symlink_to(lock.with_name("x"))),
    lambda lock: lock.mkdir(),
    os.mkfifo,
], ids=["dangling link", "link", "directory", "pipe"])  # fmt: skip
def test_what_is_no_file_in_the_place_of_the_lock_is_refused(tmp_path, make):
    make(tmp_path / LOCK)
    with (
        pytest.raises(DataError, match=r"\.lock is not the lock of a run, which is a file: remove it"),
        hold_lock(tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "7", "[" * 100_000, '{"pid": 1e999}', '{"started": "x"}', '{"pid": 1' + "0" * 30 + "}"]
)
def test_any_text_as_a_lock_is_a_damaged_one(directory, text):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / LOCK).write_text(text)
    with hold_lock(directory, heartbeat=IMPATIENT):
        assert owner(directory).pid == os.getpid()


def test_a_lock_that_cannot_be_removed_hides_no_error_of_the_job(tmp_path, monkeypatch):
    heard = []

    def refuse(path):
        raise PermissionError("Forbidden")

    def fail():
        with hold_lock(tmp_path, heard.append):
            monkeypatch.setattr("daskgmm.storage.run.lock.remove", refuse)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "could not be removed (Forbidden): the next run takes it over" in heard[-1].message


def write_below(directory):
    with guard_write(directory / "folder"):
        raise AssertionError("nothing may be written")


def test_a_job_whose_lock_was_taken_over_writes_nothing_and_leaves_the_other_lock(directory):
    with hold_lock(directory, heartbeat=QUICK):
        with guard_write(directory / "folder"):  # while it holds the lock
            pass
        other = leave_behind(directory, host="elsewhere", token="of another job")
        with pytest.raises(LostLockError) as refusal:
            write_below(directory)
    assert f"was taken over by {other} while this job stood still; nothing more" in str(refusal.value)
    assert "--resume" in str(refusal.value)
    assert owner(directory) == other
    with guard_write(directory / "folder"):  # of no job of this process any more
        pass


def test_a_job_whose_lock_is_gone_writes_nothing(directory):
    (directory / "run").mkdir(parents=True)
    with hold_lock(directory):
        (directory / LOCK).unlink()
        with pytest.raises(LostLockError, match="has been removed, and another run may have been there"):
            write_below(directory)


def test_a_worker_that_writes_for_a_job_asks_its_lock_too(tmp_path):
    with hold_lock(tmp_path):
        guard = pickle.loads(pickle.dumps(guard_of(tmp_path / ".unfinished")))
    assert guard_of(tmp_path) is None
    leave_behind(tmp_path)
    with pytest.raises(LostLockError), guard_write(tmp_path, guard):
        pass


def test_an_error_of_a_job_that_has_lost_its_lock_says_that_it_has(tmp_path):
    def fail():
        with hold_lock(tmp_path):
            leave_behind(tmp_path, host="elsewhere")
            raise DataError("a file is gone")

    with pytest.raises(LostLockError, match=r"taken over by .* on elsewhere") as lost:
        fail()
    assert str(lost.value.__cause__) == "a file is gone"
