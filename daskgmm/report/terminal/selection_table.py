"""The table of a sweep on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table

from ...core.selection.criterion import CRITERIA
from ...core.selection.table import Row, Selection, paired_error
from ...text import escape_text, pluralize

_MAX_ROWS = 12  # of candidates that have nothing remarkable
_MAX_NUMBERS = 4  # of components that have collapsed


def selection_table(selection: Selection) -> RenderableType:
    """Return the best candidates, and those that failed or collapsed, with the evidence against each."""
    table = Table(box=None)
    table.add_column("candidate", no_wrap=True)
    for name in ("parameters", selection.criterion, "behind", "passes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("evidence" if selection.criterion == "bic" else "", no_wrap=True)
    table.add_column("")
    rows = list_candidates(selection, _MAX_ROWS)
    for row in rows:
        table.add_row(*_cells(row, selection))
    more = len(selection.rows) - len(rows)
    left_out = f"{more} more candidates are in selection.json" if more else ""
    return Group(table, *_troubles(selection), left_out, _elbows(selection))


def rank_candidates(selection: Selection) -> list[Row]:
    """Return the candidates, the chosen one first, then by their criterion, and last those that are not compared."""
    return sorted(selection.rows, key=lambda row: (row.name != selection.best, row.delta is None, row.delta or 0))


def list_candidates(selection: Selection, most: int) -> list[Row]:
    """Return the best candidates, `most` at most, and all that failed or collapsed."""
    return [row for place, row in enumerate(rank_candidates(selection)) if place < most or row.delta is None]


def selection_line(selection: Selection) -> str:
    """Return the choice in one line."""
    row, others = selection.chosen, sorted(r.delta for r in selection.rows if r.delta is not None)
    components = pluralize(row.n_components, "component")
    what = f"{row.structure} covariance, {components}: best of {pluralize(len(selection.rows), 'candidate')}"
    ahead = f", {number(others[1], places(selection))} ahead of the next" if len(others) > 1 else ""
    return f"{what} by {selection.criterion} ({number(row.criterion, places(selection))}{ahead})"


def _cells(row: Row, selection: Selection) -> list[str]:
    error = "" if row.held_out_error is None or selection.smaller_is_better else f" ± {row.held_out_error:.2g}"
    return [
        row.name,
        str(row.n_parameters),
        number(row.criterion, places(selection)) + error,
        number(row.delta, places(selection)) + _paired_error(row, selection),
        str(row.n_iter + 1) if not row.failed else "",
        _verdict(row, selection),
        f"no better than {row.nested}" if row.nested else "",
    ]


def _paired_error(row: Row, selection: Selection) -> str:
    error = paired_error(row, selection.chosen)
    return "" if error is None else f" ± {error:.2g}"


def _verdict(row: Row, selection: Selection) -> str:
    """Return why a candidate is worse, in a word or two; evidence is of BIC alone."""
    evidence = row.evidence or "" if selection.criterion == "bic" else ""
    return "failed" if row.failed else "collapsed" if row.collapsed else evidence


def _troubles(selection: Selection) -> Iterator[str]:
    """Yield a line for each reason why candidates failed, and for each one with collapsed components."""
    failed: dict[str, list[str]] = {}
    for row in selection.rows:
        if row.failed:
            failed.setdefault(row.stop_reason, []).append(row.name)
    for why, names in failed.items():
        yield f"{', '.join(names)} failed: {escape_text(why)}"
    for row in selection.rows:
        if row.collapsed:
            more = len(row.collapsed) - _MAX_NUMBERS
            numbers = ", ".join(map(str, row.collapsed[:_MAX_NUMBERS])) + (f" and {more} more" if more > 0 else "")
            yield f"{row.name} has collapsed components: {numbers}"


def remark(row: Row) -> str:
    """Return the remark on a candidate: failed, degenerate, or dominated by a smaller model."""
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


def places(selection: Selection) -> int:
    """Return the decimal places of the criterion: it is a sum over all rows, but for heldout, which is per row."""
    return 6 if CRITERIA[selection.criterion].held_out else 3


def number(value: float | None, places: int) -> str:
    """Return a value, or a dash where there is none."""
    return "-" if value is None else f"{value:,.{places}f}"
