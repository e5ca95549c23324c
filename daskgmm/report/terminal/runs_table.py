"""Many fits in one table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType

from ...text import escape_text
from ..compared_runs import CAPTION, COLUMNS, Run, rank_runs, table_rows, why_incomparable
from .split_table import split_table

_NAME_DIVISOR = 4  # of the width


def runs_table(runs: Sequence[Run], width: int = 100) -> RenderableType:
    """Return the size, the log-likelihood, the criteria and the end of each fit for that many columns, one in a row.

    If names are long, the rows have numbers, and a list says whose they are.
    """
    ranked = rank_runs(runs)
    rows = [tuple(map(escape_text, row)) for row in table_rows(ranked)]
    names: list[str] = []
    if max(len(run.name) for run in ranked) > width // _NAME_DIVISOR:
        names = [f"{number}: {row[0]}" for number, row in enumerate(rows, 1)]
        rows = [(str(number), *row[1:]) for number, row in enumerate(rows, 1)]
    tables = split_table(tuple(COLUMNS), rows, width, box=None)
    return Group(*names, *tables, CAPTION, *why_incomparable(runs))
