"""The candidates of a sweep: what each criterion says of them, and how sure the choice is."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

from ...core.mixture.covariance import STRUCTURES
from ...core.selection.criterion import CRITERIA
from ...core.selection.table import Row, Selection, paired_error
from ...text import format_signed, pluralize
from ..terminal.selection_table import list_candidates, number, places, rank_candidates, remark
from .colours import component_colours
from .svg import INK, Drawing, figure, legend_above, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "os^Dv<>"
_RING: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 1.4}
_MAX_ROWS = 20  # of the table, beside those with a remark


def title(criterion: str) -> str:
    """Return the title of a criterion."""
    return CRITERIA[criterion].title


def curves(selection: Selection | None) -> tuple[Drawing, ...]:
    """Return a figure for each criterion, the one that chose first, and one of the likelihood with its elbows."""
    if selection is None:
        return ()
    keys = sorted(CRITERIA, key=lambda key: key != selection.criterion)
    drawings = [_criterion(selection, key) for key in keys]
    drawings.insert(1, _likelihood(selection))
    return tuple(one for one in drawings if one is not None)


def choice(selection: Selection) -> str:
    """Describe the selected model, and by how much it leads."""
    best, others = selection.chosen, [row for row in rank_candidates(selection)[1:] if row.delta is not None]
    tried = pluralize(len(selection.rows), "candidate")
    text = f"{describe(best)} is the best of {tried} by {_inline(selection.criterion)}"
    if not others:
        return text + "."
    text += f", {number(others[0].delta, places(selection))} ahead of the next, {describe(others[0])}"
    if selection.criterion == "bic" and others[0].evidence:
        text += f": {others[0].evidence} evidence"
    if best.held_out_error is not None:
        text += f"; over the {selection.n_folds} folds its standard error is {number(best.held_out_error, 4)}"
    return text + "."


def asides(selection: Selection) -> list[str]:
    """Return the remarks on a sweep: the elbow of the likelihood, degenerate and failed candidates."""
    sizes = sorted({size for size in selection.elbow.values() if size is not None})
    bends = [f"{size} ({', '.join(kind for kind, at in selection.elbow.items() if at == size)})" for size in sizes]
    collapsed = [row.name for row in selection.rows if row.collapsed]
    failed = [row.name for row in selection.rows if row.failed]
    texts = [
        (bends, "By the number of components, the log-likelihood bends most at {}."),
        (collapsed, "Collapsed, with a component on too few distinct rows, so that their criterion means little: {}."),
        (failed, "Failed: {}."),
    ]
    return [text.format(", ".join(named)) for named, text in texts if named]


def table(selection: Selection | None) -> dict[str, Any] | None:
    """Return the table of the best candidates, and of all that have a remark; None where there was no sweep."""
    if selection is None:
        return None
    rows, looks = list_candidates(selection, _MAX_ROWS), _looks(selection)
    criterion = "held out / row" if selection.n_folds else title(selection.criterion)
    return {
        "names": [
            "parameters",
            criterion,
            "behind",
            *_evidence(selection, "evidence against"),
            *_NAMES,
        ],
        "has_evidence": selection.criterion == "bic",
        "rows": [_table_row(row, selection, looks[row.structure][0]) for row in rows],
        "n_folds": selection.n_folds,
        "more": len(selection.rows) - len(rows),
        "choice": choice(selection),
        "asides": asides(selection),
    }


def describe(row: Row) -> str:
    """Describe a candidate."""
    return f"{row.structure} covariance with {row.n_components} component{'s' * (row.n_components > 1)}"


_NAMES = ("log-likelihood / row", "passes", "seconds", "remark")


def _table_row(row: Row, selection: Selection, colour: str) -> dict[str, Any]:
    cells = [
        (f"{row.n_parameters:,}", ""),
        (number(row.criterion, places(selection)), _spread(row) if selection.n_folds else ""),
        ("" if row.name == selection.best else number(row.delta, places(selection)), _format_error(row, selection)),
        *((text, "") for text in _evidence(selection, row.evidence or "")),
        (number(row.mean_log_likelihood, 4), ""),
        ("" if row.failed else str(row.n_iter + 1), ""),
        (f"{row.seconds:.2f}", ""),
        ("chosen" if row.name == selection.best else remark(row), ""),
    ]
    return {
        "name": row.name,
        "colour": colour,
        "chosen": row.name == selection.best,
        "cells": [(_widen_minus(text), _widen_minus(small)) for text, small in cells],
    }


def _evidence(selection: Selection, text: str) -> list[str]:
    """Return the text as a cell if the table has evidence: it is of BIC alone."""
    return [text] if selection.criterion == "bic" else []


def _format_error(row: Row, selection: Selection) -> str:
    """Return the standard error of how far a candidate is behind the chosen one, paired fold by fold."""
    error = paired_error(row, selection.chosen)
    return "" if error is None else f"± {number(error, 3)}"


def _spread(row: Row) -> str:
    """Return the standard error over the folds of what is held out, and the range of the folds."""
    if row.held_out_error is None:
        return ""
    lowest, highest = (number(one, 3) for one in (min(row.held_out_folds), max(row.held_out_folds)))
    return f"± {number(row.held_out_error, 3)}, {lowest} … {highest}"


def _criterion(selection: Selection, key: str) -> Drawing | None:
    kind = CRITERIA[key]
    name, which = kind.title, kind.direction
    known = _keep_known(selection, kind.column)
    sound = [row for row in known if _is_sound(row, selection)]
    if len(sound) < 2:
        return None
    is_asked = key == selection.criterion  # the others are drawn small
    drawn, axes = figure(400, 270) if is_asked else figure(260, 180)
    _draw(axes, selection, known, kind.column)
    if is_asked:
        axes.set_ylabel(which)
        legend_above(drawn, axes)
    best = min(sound, key=lambda row: kind.loss(_value(row, kind.column)))
    text = f"{name} of {len(known)} candidates, {which}; best: {describe(best)}. The ring marks what was chosen."
    if len(sound) < len(known):
        text += " Crosses: collapsed."
    if kind.held_out:
        text += " Bars: the standard error over the folds."
    return Drawing(name, to_svg(drawn, f"selection-{key}", name, text), text)


def _likelihood(selection: Selection) -> Drawing | None:
    known = _keep_known(selection, "mean_log_likelihood")
    if len([row for row in known if not row.collapsed]) < 2:
        return None
    drawn, axes = figure(400, 270)
    _draw(axes, selection, known, "mean_log_likelihood")
    bends = [row for row in known if selection.elbow.get(row.structure) == row.n_components]
    for row in bends:
        axes.plot(row.n_components, row.mean_log_likelihood or 0.0, marker="s", markersize=13, **_RING)
    axes.set_ylabel("nats per row")
    legend_above(drawn, axes)
    name = "Log-likelihood"
    text = "Log-likelihood of all rows; it grows with each component. The ring marks what was chosen."
    if bends:
        text += " Squares: where the curve of a structure bends most."
    return Drawing(name, to_svg(drawn, "selection-likelihood", name, text), text)


def _looks(selection: Selection) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each structure: first of all families, then of low rank and of those with noise."""
    kinds = dict.fromkeys([*STRUCTURES, *sorted(row.structure for row in selection.rows)])
    return dict(zip(kinds, zip(component_colours(len(kinds)), cycle(_MARKERS), strict=False), strict=False))


def _draw(axes: Axes, selection: Selection, known: list[Row], column: str) -> None:
    looks = _looks(selection)
    for kind in dict.fromkeys(row.structure for row in known):
        colour, marker = looks[kind]
        own = [row for row in known if row.structure == kind and (not row.collapsed or row.name == selection.best)]
        x, y = [row.n_components for row in own], [_value(row, column) for row in own]
        errors = [row.held_out_error or 0.0 for row in own] if column == "held_out" else None
        axes.errorbar(x, y, errors, marker=marker, markersize=5, capsize=2.5, label=kind, color=colour)
    low, high = axes.get_ylim()
    for row in known:
        if not _is_sound(row, selection):
            at = min(max(_value(row, column), low), high)  # without a bound, they must not flatten the others
            colour, _ = looks[row.structure]
            axes.plot(row.n_components, at, "x", color=colour, markersize=6, markeredgewidth=1.8, clip_on=False)
    axes.plot(selection.chosen.n_components, _value(selection.chosen, column), marker="o", markersize=13, **_RING)
    axes.set_ylim(low, high)
    axes.set_xlabel("components")
    axes.yaxis.set_major_formatter(lambda value, place: _widen_minus(f"{value:,.10g}"))
    axes.grid(axis="y")
    axes.locator_params(axis="x", integer=True)


def _is_sound(row: Row, selection: Selection) -> bool:
    """Return whether a candidate's criterion means something; that of the chosen one is drawn in any case."""
    return not row.collapsed or row.name == selection.best


def _keep_known(selection: Selection, column: str) -> list[Row]:
    """Return the rows that have a value in the column."""
    return [row for row in selection.rows if getattr(row, column) is not None]


def _value(row: Row, column: str) -> float:
    return float(getattr(row, column))


def _inline(criterion: str) -> str:
    name = title(criterion)
    return name if name[1].isupper() else name[0].lower() + name[1:]


def _widen_minus(text: str) -> str:
    """Return the text with a minus as wide as a digit where it begins a number."""
    return format_signed(text) if text[:1] in "-±0123456789" else text
