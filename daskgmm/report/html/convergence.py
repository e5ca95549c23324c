"""The way to the optimum: restarts and finalists on the sample, then all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...provenance import TrialHistory
from ...text import format_signed, pluralize
from .colours import LEFT_OUT
from .report_data import ReportData
from .svg import ACCENT, FAINT, Drawing, legend_above, panels, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FINALIST = "#e69f00"
_MIN_SPAN, _MAX_STEEPNESS = 2e-3, 4  # nats per row that are drawn at least; of the late steps, that are drawn at most
_CHOSEN_STYLE: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5}


def convergence(data: ReportData) -> Drawing | None:
    """Return the log-likelihood of each iteration of all trials; None where none is known."""
    on_sample = _drop_unknown(data.record.beginning.curves)
    on_rows = _drop_unknown(data.record.course.curves)
    if not on_sample and not on_rows:
        return None
    drawn, axes = panels(400, 290, bool(on_sample) + bool(on_rows))
    places = iter(axes)
    if on_sample:
        _sample(next(places), on_sample)
        legend_above(drawn, axes[0])
    if on_rows:
        _rows(next(places), on_rows)
    axes[0].set_ylabel("log-likelihood, nats per row")
    title, text = "Convergence", _text(on_sample, on_rows)
    return Drawing(title, to_svg(drawn, "convergence", title, text), text)


def _drop_unknown(curves: Sequence[TrialHistory]) -> list[TrialHistory]:
    return [curve for curve in curves if curve.history]


def _sample(axes: Axes, curves: list[TrialHistory]) -> None:
    """Draw the restarts, and after the end of the one that was chosen the finalists, which continue from there."""
    restarts = [curve for curve in curves if curve.stage == "restart"]
    finalists = [curve for curve in curves if curve.stage == "finalist"]
    begin = max((len(curve.history) for curve in restarts if curve.chosen), default=0)
    for number, curve in enumerate(restarts):
        label = "restarts" if number == 0 else None
        _line(axes, 0, curve, color=LEFT_OUT, linewidth=1.2, label=label)
    for number, curve in enumerate(finalists):
        label = "finalists" if number == 0 else None
        _line(axes, begin, curve, color=_FINALIST, linewidth=1.8, label=label)
    for curve in restarts:
        if curve.chosen:
            axes.plot(len(curve.history) - 1, curve.history[-1], color=LEFT_OUT, **_CHOSEN_STYLE)
    _settle(axes, curves, "on the sample")


def _rows(axes: Axes, curves: list[TrialHistory]) -> None:
    for curve in curves:
        look = {"color": ACCENT, "linewidth": 2.0} if curve.chosen else {"color": LEFT_OUT, "linewidth": 1.2}
        _line(axes, 0, curve, marker="o" if len(curve.history) <= 30 else "", markersize=4, **look)
    _settle(axes, curves, "on all rows")


def _line(axes: Axes, begin: int, curve: TrialHistory, **look: Any) -> None:
    axes.plot(begin + np.arange(len(curve.history)), curve.history, **look)


def _settle(axes: Axes, curves: list[TrialHistory], title: str) -> None:
    """Cut away the first steep steps, where they would flatten all that comes after."""
    ends = min(curve.history[-1] for curve in curves)
    late = min(min(curve.history[min(2, len(curve.history) - 1) :]) for curve in curves)
    lowest, high = min(min(curve.history) for curve in curves), max(max(curve.history) for curve in curves)
    least = max(_MIN_SPAN, 1e-6 * abs(high))
    low = min(ends, max(lowest, high - _MAX_STEEPNESS * max(high - late, least)))
    span = max(high - low, least)
    axes.set_ylim(low - 0.1 * span, high + 0.1 * span)
    axes.yaxis.set_major_formatter(lambda value, place: f"{value:,.8g}".replace("-", "\N{MINUS SIGN}"))
    if all(len(curve.history) == 1 for curve in curves):
        axes.set_xlim(-0.5, 0.5)
        axes.set_xticks([0])
    else:
        axes.locator_params(axis="x", nbins=5, integer=True)
    axes.locator_params(axis="y", nbins=6)
    axes.grid(axis="y")
    axes.set_title(title, color=FAINT)
    axes.set_xlabel("iteration")


def _text(on_sample: list[TrialHistory], on_rows: list[TrialHistory]) -> str:
    texts = []
    restarts = sum(curve.stage == "restart" for curve in on_sample)
    if restarts:
        which = pluralize(restarts, "restart") if restarts > 1 else "one start"
        texts.append(f"Left: {which} on part of the sample; the best goes on over the whole of it.")
    if on_rows:
        best = next((curve for curve in on_rows if curve.chosen), on_rows[0])
        first, last = (format_signed(f"{best.history[at]:.7g}") for at in (0, -1))
        way = f"from {first} to {last}" if first != last else f"{pluralize(len(best.history), 'pass')}, at {last}"
        texts.append(
            f"{'Right: on' if on_sample else 'On'} all rows, {way} nats per row; each point is a pass that gained "
            "something."
        )
    return " ".join(texts)
