"""Whose a run directory is while a job writes there."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

LOCK = ".lock"


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
        host, pid = str(lock["host"]), int(lock["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Owner(host, pid, psutil.pid_exists(pid) if host == socket.gethostname() else None)
