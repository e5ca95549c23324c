"""Names of files that belong together."""

from __future__ import annotations

import re


def natural(name: str) -> tuple[list[str | int], str]:
    """Return a key that puts part.9 before part.10, and part.01 before part.1; texts and numbers alternate in it."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))], name
