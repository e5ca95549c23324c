"""Signals that ask a command to end: whatever happens once one has come, the command ends by it."""

import os
import signal
import sys
import time

import pytest

from daskgmm.cli.signals import EXIT_CODES, Interrupted, raise_signals
from daskgmm.errors import DataError


def wait_for(number):
    os.kill(os.getpid(), number)
    time.sleep(10)


def fail_after(number, error):
    try:
        wait_for(number)
    finally:
        raise error


@pytest.mark.parametrize("number", EXIT_CODES)
def test_the_first_signal_is_raised(number):
    handler = signal.getsignal(number)
    with pytest.raises(Interrupted) as caught, raise_signals():
        wait_for(number)
    assert caught.value.exit_code == EXIT_CODES[number]
    assert signal.getsignal(number) == handler


@pytest.mark.parametrize("error", [DataError("cannot be written"), RuntimeError("cannot schedule new futures")])
def test_an_error_that_follows_a_signal_is_the_interruption_with_its_notes(error):
    error.add_note("what is finished is kept")
    with pytest.raises(Interrupted, match="stopped by SIGINT") as caught, raise_signals():
        fail_after(signal.SIGINT, error)
    assert caught.value.__notes__ == ["what is finished is kept"]
    assert caught.value.__cause__ is error


def test_an_error_without_a_signal_stays_what_it_is():
    with pytest.raises(DataError, match="cannot be read"), raise_signals():
        raise DataError("cannot be read")


class SignalledInFinalizer:
    """Is signalled where Python ignores what is raised."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)
        time.sleep(0.01)


def finalize_and_wait(number):
    SignalledInFinalizer(number)
    time.sleep(10)


@pytest.mark.parametrize("number", EXIT_CODES)
def test_a_signal_in_a_finalizer_is_raised_a_moment_later(number, capsys):
    hook = sys.unraisablehook
    with pytest.raises(Interrupted) as caught, raise_signals():
        finalize_and_wait(number)
    assert caught.value.exit_code == EXIT_CODES[number]
    assert capsys.readouterr().err == ""
    assert sys.unraisablehook is hook


def test_a_block_that_ends_first_leaves_no_signal_behind():
    with raise_signals():
        SignalledInFinalizer(signal.SIGINT)
    time.sleep(0.2)


def test_other_errors_of_finalizers_are_reported_as_before(capsys):
    class Failing:
        def __del__(self):
            raise ValueError("of a finalizer")

    told = []
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: told.append(str(unraisable.exc_value))
    try:
        with raise_signals():
            Failing()
    finally:
        sys.unraisablehook = before
    assert told == ["of a finalizer"]
