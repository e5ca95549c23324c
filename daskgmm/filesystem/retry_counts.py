"""Reads and writes that were tried again, counted: in this process, or reported by a worker to listeners."""

from __future__ import annotations

from threading import Lock

from distributed import get_worker

TOPIC = "daskgmm-retries"  # of events that workers log, one for each retry

_lock, _counted = Lock(), 0


def note_retry() -> None:
    """Count a retry."""
    global _counted
    try:
        get_worker().log_event(TOPIC, {"retries": 1})
    except ValueError:  # not in a task of a worker
        with _lock:
            _counted += 1


def retries_here() -> int:
    """Return the number of retries of this process so far, without those of its workers."""
    return _counted
