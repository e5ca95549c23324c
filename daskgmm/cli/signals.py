"""Signals that ask a job to end: it leaves with its checkpoint written, or at once when asked again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def signals_raised() -> Iterator[None]:
    """Within it, the first signal raises Interrupted in the main thread, and a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():  # others get no signals
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in EXIT_CODES}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for one in EXIT_CODES:
        signal.signal(one, _end)
    raise Interrupted(number)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(EXIT_CODES[signal.Signals(number)])
