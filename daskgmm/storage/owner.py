"""Whose a run directory is while a job writes there."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

LOCK = ".lock"
_SAME_START = 2.0  # seconds between two readings of when a process was started


@dataclass(frozen=True)
class Owner:
    """The process that writes to a run directory."""

    host: str
    pid: int
    alive: bool | None  # None: it is on another host, and cannot be asked


def owner_of(directory: Path) -> Owner | None:
    """Return the process that the lock in the directory names; None where there is no lock."""
    try:
        lock = json.loads((directory / LOCK).read_text())
        host, pid, started = str(lock["host"]), int(lock["pid"]), lock.get("started")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Owner(host, pid, _lives(pid, started) if host == socket.gethostname() else None)


def _lives(pid: int, started: float | None) -> bool:
    """Return whether a process of that number runs, that was started then where this is known."""
    try:
        began = psutil.Process(pid).create_time()
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False
    return started is None or abs(began - float(started)) < _SAME_START
