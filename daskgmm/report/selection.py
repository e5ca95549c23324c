"""The table of a sweep on a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from ..core.selection_table import Row, Selection

_MOST_ROWS = 12  # of candidates that have nothing remarkable


def selection_table(selection: Selection) -> RenderableType:
    """Return the best candidates, and those that failed or collapsed, with the evidence against each."""
    table = Table("candidate", box=None)
    for name in ("parameters", selection.criterion, "behind", "passes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("evidence", no_wrap=True)
    table.add_column("")
    ranked = sorted(selection.rows, key=lambda row: (row.name != selection.best, row.delta is None, row.delta or 0))
    shown = [row for place, row in enumerate(ranked) if place < _MOST_ROWS or row.delta is None]
    for row in shown:
        table.add_row(*_cells(row, selection))
    more = len(ranked) - len(shown)
    return Group(table, f"{more} more candidates are in selection.json" if more else "", _elbows(selection))


def selection_line(selection: Selection) -> str:
    """Return the choice in one line."""
    row, others = selection.chosen, sorted(r.delta for r in selection.rows if r.delta is not None)
    what = f"{row.covariance_type} covariance, {row.n_components} components: best of {len(selection.rows)} candidates"
    ahead = f", {_number(others[1])} ahead of the next" if len(others) > 1 else ""
    return f"{what} by {selection.criterion} ({_number(row.criterion)}{ahead})"


def _cells(row: Row, selection: Selection) -> list[str]:
    error = "" if row.held_out_error is None or selection.smaller_is_better else f" ± {row.held_out_error:.2g}"
    return [
        row.name,
        str(row.n_parameters),
        _number(row.criterion) + error,
        _number(row.delta),
        str(row.n_iter + 1) if not row.failed else "",
        row.evidence or "",
        _remark(row),
    ]


def _remark(row: Row) -> str:
    if row.failed:
        return f"failed: {row.stop_reason}"
    if row.collapsed:
        return f"collapsed: {', '.join(map(str, row.collapsed))}"
    if row.nested:
        return f"no better than {row.nested}"
    return ""


def _elbows(selection: Selection) -> str:
    found = ", ".join(f"{name} {size}" for name, size in selection.elbow.items() if size is not None)
    return f"the log-likelihood bends most at: {found}" if found else ""


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.3f}" if abs(value) >= 10 else f"{value:.6f}"
