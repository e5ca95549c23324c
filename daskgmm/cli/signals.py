"""Signals that ask a job to end: it leaves with its checkpoint written, or at once when asked again."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType

EXIT_CODES = {
    signal.SIGINT: 130,
    signal.SIGTERM: 143,
    **({signal.SIGUSR1: 5} if hasattr(signal, "SIGUSR1") else {}),  # a batch system's warning: the job can go on later
}


class Interrupted(KeyboardInterrupt):
    """A signal asked the job to end."""

    @property
    def exit_code(self) -> int:
        """The exit code of the command line."""
        return EXIT_CODES[self.args[0]]

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.args[0]).name}"


_REPEAT_SECONDS = 0.1  # seconds after which what Python has ignored is raised again


@contextmanager
def raise_signals() -> Iterator[None]:
    """Raise Interrupted in the main thread at the first signal within the block; end the process at a second one.

    An error that follows the signal comes of taking the job apart: Interrupted is raised in its place, with its notes.
    What is raised where Python ignores errors, in a finalizer, is raised again a moment later.
    """
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, partial(_interrupt, received)) for number in EXIT_CODES}
    try:
        with _raise_ignored_again(received):
            yield
    except Exception as error:
        if not received:
            raise
        raise _interruption(received[0], error) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _interrupt(received: list[int], number: int, frame: FrameType | None) -> None:
    received.append(number)
    for one in EXIT_CODES:
        signal.signal(one, _end)
    raise Interrupted(number)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(EXIT_CODES[signal.Signals(number)])


def _interruption(number: int, error: Exception) -> Interrupted:
    """Return the interruption that led to an error, with the notes of the error."""
    interrupted = Interrupted(number)
    for note in getattr(error, "__notes__", ()):
        interrupted.add_note(note)
    return interrupted


@contextmanager
def _raise_ignored_again(received: list[int]) -> Iterator[None]:
    """Send a signal again within the block if its exception was raised where Python can only ignore it."""
    before, timers = sys.unraisablehook, ExitStack()

    def send_again(unraisable: sys.UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        if not isinstance(error, Interrupted):
            before(unraisable)
            return
        signal.signal(error.args[0], partial(_interrupt, received))
        again = threading.Timer(_REPEAT_SECONDS, _send_to_main_thread, error.args)
        timers.callback(again.cancel)
        again.start()

    sys.unraisablehook = send_again
    try:
        with timers:
            yield
    finally:
        sys.unraisablehook = before


def _send_to_main_thread(number: int) -> None:
    if hasattr(signal, "pthread_kill"):  # which wakes it, too
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        _thread.interrupt_main(signal.Signals(number))
