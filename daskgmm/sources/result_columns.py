"""The names of the columns of a table of results."""

from __future__ import annotations

import re

_RESULT = re.compile(r"label|cluster|log_density|anomaly|(probability|component)_\d+|imputed_.+")


def is_result_column(name: str) -> bool:
    """Return whether a table of results may hold results under that name."""
    return _RESULT.fullmatch(name) is not None
