"""A table on a terminal that cuts no cell: columns that do not fit next to each other are in tables below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

_BORDER = 3  # characters between two columns, with their lines
_MIN_KEY_WIDTH = 8  # characters of a column of keys that is folded


def split_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, n_keys: int = 1, **look: Any
) -> list[Table]:
    """Return rows as tables of at most that many characters; the first n_keys columns are in each, folded if need be.

    Cells are in rich's markup.
    """
    widths = [max(Text.from_markup(cell).cell_len for cell in column) for column in zip(headings, *rows, strict=True)]
    longest_key = max(width // (2 * n_keys) - _BORDER, _MIN_KEY_WIDTH)
    of_keys = sum(min(one, longest_key) + _BORDER for one in widths[:n_keys])
    tables = []
    for group in _side_by_side(widths[n_keys:], width - of_keys):
        table = Table(**look)
        for heading in headings[:n_keys]:
            table.add_column(heading, overflow="fold", max_width=longest_key)
        for at in group:
            table.add_column(headings[n_keys + at], no_wrap=True)
        for row in rows:
            table.add_row(*row[:n_keys], *(row[n_keys + at] for at in group))
        tables.append(table)
    return tables


def _side_by_side(widths: Sequence[int], width: int) -> list[list[int]]:
    """Return the numbers of the columns of each table, as many as fit and one at least."""
    groups: list[list[int]] = [[]]
    used = 1
    for at, one in enumerate(widths):
        if groups[-1] and used + one + _BORDER > width:
            groups.append([])
            used = 1
        groups[-1].append(at)
        used += one + _BORDER
    return groups
