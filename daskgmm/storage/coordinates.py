"""The coordinates of a grid: carried from a source to its results, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Coordinate:
    """The positions along one axis of the grid, with their attributes (units, calendar)."""

    values: NDArray[Any]  # (n,), not decoded
    attributes: Mapping[str, Any]
