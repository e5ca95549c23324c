"""What a cluster gives while it is connected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Connection:
    """A place to compute; the active dask scheduler is its own for as long as it lasts."""

    description: str
    dashboard: str | None = None
