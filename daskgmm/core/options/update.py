"""The options of an update; the configuration file has a section for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from ...options import STRICT


@dataclass(frozen=True)
class UpdateOptions:
    """How a finished run continues with new rows; a fit keeps these for updates of its run."""

    __pydantic_config__: ClassVar = STRICT

    forget: Annotated[float, Ge(0), Le(1)] = 1.0
    """What old rows still count for: 1 in full, 0 not at all."""
    full_pass: bool = False
    """Read all rows, old and new, once after EM on the new ones, and continue EM from their statistics."""
    repeat: bool = False
    """Count rows again that the run has seen before; of a store that has grown, all rows."""
