"""Many finished fits on one page, in the look of a report: without scripts, and nothing of it is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.em.fitted_model import Model
from ...errors import DataError
from ...text import format_signed, pluralize, shorten_apart
from ..compared_runs import CAPTION, COLUMNS, Run, rank_runs, table_rows, why_incomparable
from ..matched_components import CAPTION as MATCHES_CAPTION
from ..matched_components import HEADINGS, match_components
from .colours import component_colours
from .narrative import join_words
from .page import render
from .svg import Drawing, figure, legend_above, style, to_svg

_MARKERS = "os^Dv<>P*X"
_MAX_MATCHED_RUNS, _MAX_DRAWN_RUNS = 8, 10  # runs
_MAX_NAME_LENGTH = 28  # characters, in a legend
_MAX_STEEPNESS = 3  # times the late rise of a curve, which is drawn at most


@dataclass(frozen=True)
class Matched:
    """The components of the best run beside those of another one."""

    name: str
    text: str
    rows: list[tuple[str, ...]]


def runs_page(runs: Sequence[Run]) -> str:
    """Return the runs as HTML: their table, their curves, and what moved from the best of them to the others."""
    return render("runs.html", contents(runs))


def contents(runs: Sequence[Run]) -> dict[str, Any]:
    """Return all that the template shows."""
    ranked = rank_runs(runs)
    with style():
        drawings = [one for one in (_criterion(ranked), _ways(ranked)) if one is not None]
    return {
        "headline": f"{pluralize(len(runs), 'fit')} compared",
        "summary": _summary(ranked),
        "warnings": why_incomparable(runs) + _unconverged(ranked),
        "names": list(COLUMNS),
        "rows": [[cells[0], *map(format_signed, cells[1:])] for cells in table_rows(ranked)],
        "caption": f"{CAPTION[0].upper()}{CAPTION[1:]}.",
        "drawings": drawings,
        "best": ranked[0].name,
        "match_names": HEADINGS,
        "match_caption": f"{MATCHES_CAPTION[0].upper()}{MATCHES_CAPTION[1:]}.",
        "matches": [_match(ranked[0], other) for other in ranked[1 : 1 + _MAX_MATCHED_RUNS]],
        "n_unmatched": max(len(ranked) - 1 - _MAX_MATCHED_RUNS, 0),
    }


def _summary(ranked: Sequence[Run]) -> str:
    best, second = ranked[0], ranked[1]
    if why_incomparable(ranked):
        return f"The runs are in the order of their BIC, which starts with {best.name}."
    ahead = second.model.summary.bic - best.model.summary.bic
    return f"By BIC, {best.name} is the best, {_describe(best.model)}: {ahead:,.2f} ahead of {second.name}."


def _describe(model: Model) -> str:
    mixture = model.mixture
    noise = "" if mixture.noise is None else " and noise"
    return f"{pluralize(mixture.n_components, 'component')} of {mixture.covariance_type} covariance{noise}"


def _unconverged(ranked: Sequence[Run]) -> list[str]:
    names = [run.name for run in ranked if not run.model.summary.converged]
    return [f"Stopped before they converged: {join_words(names)}."] if names else []


def _criterion(ranked: Sequence[Run]) -> Drawing | None:
    """Return the BIC of runs over their numbers of components, by covariance type; None if all have the same number."""
    if len({run.model.mixture.n_components for run in ranked}) < 2 or why_incomparable(ranked):
        return None
    drawn, axes = figure(400, 290)
    kinds = sorted({_kind(run) for run in ranked})
    for at, (kind, colour) in enumerate(zip(kinds, component_colours(len(kinds)), strict=True)):
        own = sorted((run.model.mixture.n_components, run.model.summary.bic) for run in ranked if _kind(run) == kind)
        look: Any = {"marker": _MARKERS[at % len(_MARKERS)], "color": colour, "markersize": 6}
        axes.plot(*zip(*own, strict=True), linewidth=1.2, label=kind, **look)
    axes.set_xlabel("components")
    axes.set_ylabel("BIC, smaller is better")
    axes.yaxis.set_major_formatter(lambda value, place: format_signed(f"{value:,.10g}"))
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y")
    legend_above(drawn, axes)
    title, text = "BIC by the number of components", "Each point is a run; lines join those of one covariance type."
    return Drawing(title, to_svg(drawn, "runs-bic", title, text), text)


def _kind(run: Run) -> str:
    return COLUMNS["type"](run)


def _ways(ranked: Sequence[Run]) -> Drawing | None:
    """Return the log-likelihood of each pass of the first runs, as far as their records tell it."""
    known = [(run, _history(run)) for run in ranked[:_MAX_DRAWN_RUNS]]
    known = [(run, history) for run, history in known if history]
    if max((len(history) for _, history in known), default=0) < 2 or why_incomparable(ranked):
        return None
    drawn, axes = figure(400, 290)
    names = shorten_apart([run.name for run, _ in known], _MAX_NAME_LENGTH)
    colours = component_colours(len(known))
    for at, ((_, history), name, colour) in enumerate(zip(known, names, colours, strict=True)):
        look: Any = {"marker": _MARKERS[at % len(_MARKERS)], "color": colour, "markersize": 4}
        axes.plot(range(len(history)), history, linewidth=1.4, label=name, **look)
    axes.set_ylim(*_find_range([history for _, history in known]))
    axes.set_xlabel("iteration")
    axes.set_ylabel("log-likelihood, nats per row")
    axes.yaxis.set_major_formatter(lambda value, place: format_signed(f"{value:,.8g}"))
    axes.locator_params(axis="x", nbins=6, integer=True)
    axes.grid(axis="y")
    legend_above(drawn, axes)
    title = "Convergence on all rows"
    text = f"{_of_runs(len(known), len(ranked))}; each point is a pass that gained something."
    return Drawing(title, to_svg(drawn, "runs-convergence", title, text), text)


def _of_runs(drawn: int, of: int) -> str:
    return f"All {of} runs" if drawn == of else f"{drawn} of {pluralize(of, 'run')}, those whose passes are known"


def _history(run: Run) -> tuple[float, ...]:
    """Return the log-likelihood of each pass that led to the model; nothing if no record tells it."""
    curves = () if run.record is None else run.record.course.curves
    return next((curve.history for curve in curves if curve.chosen), ())


def _find_range(histories: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the range in which the ends of all curves are told apart: the first steep steps may lie below it."""
    high, ends = max(map(max, histories)), min(one[-1] for one in histories)
    late = min(one[min(2, len(one) - 1)] for one in histories)
    low = max(min(map(min, histories)), high - _MAX_STEEPNESS * (high - min(late, ends)))
    margin = 0.06 * max(high - low, 1e-6 * abs(high), 1e-9)
    return low - margin, high + margin


def _match(best: Run, other: Run) -> Matched:
    try:
        variation, rows = match_components(best.model, other.model)
    except DataError as error:
        return Matched(other.name, f"{str(error)[0].upper()}{str(error)[1:]}.", [])
    text = f"{_describe(other.model)}; total variation of the weights {variation:.4f}."
    return Matched(other.name, text, [tuple(map(format_signed, row)) for row in rows])
