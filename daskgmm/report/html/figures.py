"""The figures of a report, each drawn from the report data; None where there is nothing to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...text import pluralize
from .colours import LEFT_OUT, rgb
from .report_data import ReportData
from .svg import ACCENT, FAINT, GRID, INK, Drawing, figure, to_svg

if TYPE_CHECKING:
    pass

_WIDTH, _HEIGHT = 400, 290
_HEAT_COLOUR = "#e69f00"
_MAX_CELLS, _MAX_MAP_COMPONENTS = 12, 60


def overlap(data: ReportData) -> Drawing | None:
    """Return the map of the Bhattacharyya coefficients of all pairs of components."""
    if len(data.compared) < 2:
        return None
    chosen = np.sort(np.argsort(-data.mixture.weights[data.compared], kind="stable")[:_MAX_MAP_COMPONENTS])
    components, values = data.compared[chosen], data.overlap[np.ix_(chosen, chosen)]
    k = len(components)
    drawn, axes = figure(_WIDTH, 350)
    shades = np.empty((k, k, 4))
    shades[..., :3], shades[..., 3] = rgb(_HEAT_COLOUR), np.where(np.eye(k, dtype=bool), 0.0, np.clip(values, 0, 1))
    axes.imshow(shades, interpolation="nearest")
    axes.set_aspect("equal")
    lines = np.arange(k + 1) - 0.5 if k <= _MAX_CELLS else np.array([-0.5, k - 0.5])
    axes.hlines(lines, -0.5, k - 0.5, color=GRID, linewidth=0.6)
    axes.vlines(lines, -0.5, k - 0.5, color=GRID, linewidth=0.6)
    if k <= _MAX_CELLS:
        for row, column in np.argwhere(~np.eye(k, dtype=bool)):
            value = values[row, column]
            axes.text(
                column,
                row,
                _share(value),
                ha="center",
                va="center",
                fontsize=10,
                color="#111" if value > 0.45 else INK,
            )
    for at, component in enumerate(components):
        axes.plot(at, at, "s", color=data.colours[component], markersize=min(220 / k, 14))
    step = max(1, -(-k // 20))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(0, k, step), [str(one) for one in components[::step]])
        axis.set_tick_params(length=0)
    axes.xaxis.set_tick_params(rotation=90 if k > _MAX_CELLS else 0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("component")
    axes.set_ylabel("component")
    title = "Which clusters overlap"
    text = (
        f"Bhattacharyya coefficient of each pair of {all_or(data.by_weight, k, 'heaviest components')}: 0 where they "
        "lie apart, 1 where they are the same. The squares on the diagonal are the components' colours."
    )
    return Drawing(title, to_svg(drawn, "overlap", title, text), text)


def _share(value: float) -> str:
    return "0" if value < 0.005 else f"{value:.2f}".removeprefix("0")


def certainty(data: ReportData) -> Drawing | None:
    """Draw how certain the labels of the sampled rows are, by component."""
    if not len(data.rows) or len(data.mixture.all_weights) < 2:
        return None
    drawn, axes = figure(_WIDTH, _HEIGHT)
    edges = np.linspace(0, 1, 41)
    heaviest, total = data.by_weight[:_MAX_CELLS], data.row_weights.sum()
    bottom = np.zeros(len(edges) - 1)
    rest = ~np.isin(data.scored.labels, heaviest)
    parts = [(data.scored.labels == one, data.colours[one]) for one in heaviest] + [(rest, LEFT_OUT)]
    for members, colour in parts:
        counts, _ = np.histogram(data.certainties[members], edges, weights=data.row_weights[members])
        axes.bar(edges[:-1], 100 * counts / total, np.diff(edges), 100 * bottom / total, align="edge", color=colour)
        bottom += counts
    axes.set_xlim(min(max(0.0, float(data.certainties.min()) - 0.03), 0.5), 1.0)
    axes.set_xlabel("probability of the most probable component")
    axes.set_ylabel("percent of the rows")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    sure = data.row_weights[data.certainties >= 0.9].sum() / total
    title = "How certain the labels are"
    text = (
        f"Of {len(data.rows):,} {data.sampled} {100 * sure:.0f} percent belong to their component with a "
        f"probability of 0.9 or more; colours are those of the components{_of_grey(data)}."
    )
    return Drawing(title, to_svg(drawn, "certainty", title, text), text)


def _of_grey(data: ReportData) -> str:
    """Return the legend of the grey bars: components without a bar of their own, and the noise."""
    lighter = data.mixture.n_components - _MAX_CELLS
    grey = [f"the {pluralize(lighter, 'lighter component')}"] if lighter > 0 else []
    grey += ["the noise"] if data.mixture.noise is not None else []
    return f", grey those of {' and '.join(grey)}" if grey else ""


def phases(data: ReportData) -> Drawing | None:
    """Return the seconds of each part of the job."""
    spans = [span for span in data.record.course.spans if span.seconds > 0]
    if not spans:
        return None
    drawn, axes = figure(_WIDTH, 60 + 30 * len(spans))
    at, seconds = np.arange(len(spans))[::-1], [span.seconds for span in spans]
    axes.barh(at, seconds, 0.6, color=ACCENT)
    for height, span in zip(at, spans, strict=True):
        axes.text(
            span.seconds + 0.015 * max(seconds), height, _seconds(span.seconds), va="center", fontsize=11, color=FAINT
        )
    axes.set_yticks(at, [span.name for span in spans])
    axes.set_xlim(0, 1.18 * max(seconds))
    axes.set_xlabel("seconds")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_color(GRID)
    title = "Where the time went"
    text = (
        f"{sum(seconds):.1f} seconds in all: " + ", ".join(f"{one.name} {_seconds(one.seconds)}" for one in spans) + "."
    )
    return Drawing(title, to_svg(drawn, "phases", title, text), text)


def _seconds(seconds: float) -> str:
    return "under 0.01 s" if seconds < 0.01 else f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.2g} s"


def all_or(components: NDArray[np.intp], most: int, what: str) -> str:
    """Return which components are drawn: all of them, or the most there is place for."""
    return "all components" if len(components) <= most else f"the {most} {what} of {len(components)}"
