"""Whether rows stay in memory between passes."""

from __future__ import annotations

from typing import Literal

import psutil
from distributed import get_client

from .rows import Rows

Persist = bool | Literal["auto"]


def available_bytes() -> int:
    """Return the memory that rows could take: the cluster's workers' limits, or what this machine has left."""
    try:
        client = get_client()
    except ValueError:
        return int(psutil.virtual_memory().available)
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return sum(int(worker["memory_limit"] or 0) for worker in workers)


def fits(rows: Rows, persist: Persist) -> bool:
    """Return whether rows should be held in memory: as told, or by `auto` where they take at most half of it."""
    if persist != "auto":
        return persist
    return rows.n_bytes <= available_bytes() / 2
