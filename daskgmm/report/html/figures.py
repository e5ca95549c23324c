"""The figures of a report, each drawn from the story; None where there is nothing to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays.types import Array
from .colours import LEFT_OUT
from .report_data import Story
from .svg import ACCENT, FAINT, GRID, INK, Drawing, figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 400, 290
_HEAT = "#e69f00"
_HEXAGONS = 64  # across
_MOST_ELLIPSES, _MOST_NUMBERS, _MOST_CELLS, _MOST_MAP = 60, 30, 12, 60
_APART = 0.045  # of the width and height: numbers that are closer would hide each other
_CIRCLE = np.linspace(0, 2 * np.pi, 73)


def density(story: Story) -> Drawing | None:
    """Return the components' 1 and 2 sigma ellipses, over the sampled rows; of more than two features in the view."""
    if story.mixture.n_features < 2 or story.view.axes.shape[1] < 2:
        return None
    drawn, axes = figure(_WIDTH, 350)
    means, covariances = story.view.gaussians(story.mixture)
    points = story.view.project(story.rows)
    filled = story.by_weight[story.mixture.weights[story.by_weight] > 0]
    low, high = _window(points, means[filled], covariances[filled])
    if len(points):
        _hexagons(axes, points, story, (low, high))
    for component in filled[:_MOST_ELLIPSES][::-1]:
        _ellipses(axes, means[component], covariances[component], story.colours[component])
    _numbers(axes, means[filled[:_MOST_NUMBERS]], filled[:_MOST_NUMBERS], story, (low, high))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_xlabel(story.view_names[0])
    axes.set_ylabel(story.view_names[1])
    axes.locator_params(nbins=6)
    title = "Where the clusters lie"
    text = (
        f"{_of_axes(story)}{_of_hexagons(len(points))}. Ellipses mark one and "
        f"two standard deviations of {_all_or(filled, _MOST_ELLIPSES, 'heaviest components')}."
    )
    return Drawing(title, to_svg(drawn, "density", title, text), text)


def _of_axes(story: Story) -> str:
    return "The two features" if story.mixture.n_features == 2 else "The two directions in which components differ most"


def _window(points: Array, means: Array, covariances: Array) -> tuple[Array, Array]:
    """Return the corners that show all but the most outlying rows, and the ellipses."""
    reach = 2.2 * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    low, high = (means - reach).min(axis=0), (means + reach).max(axis=0)
    if len(points):
        inner, outer = np.quantile(points, [0.002, 0.998], axis=0)
        margin = 0.05 * np.maximum(outer - inner, 1e-9)
        centres = means.min(axis=0), means.max(axis=0)  # seen in any case; wide components need not be
        low, high = np.minimum(inner - margin, centres[0] - margin), np.maximum(outer + margin, centres[1] + margin)
    wide = np.maximum(high - low, 1e-9 * np.maximum(1.0, np.abs(low)))
    return low, low + wide


def _hexagons(axes: Axes, points: Array, story: Story, window: tuple[Array, Array]) -> None:
    low, high = window
    inside = ((points >= low) & (points <= high)).all(axis=1) & (story.scored.labels >= 0)
    if not inside.any():
        return
    labels = story.drawn_labels[inside]
    of_grid: dict[str, Any] = {
        "gridsize": (_HEXAGONS, round(_HEXAGONS * 0.48)),
        "extent": (low[0], high[0], low[1], high[1]),
        "mincnt": 1,
        "linewidths": 0.0,
    }
    x, y = points[inside].T
    counts = axes.hexbin(x, y, C=np.ones(len(x)), reduce_C_function=len, visible=False, **of_grid)
    hexagons = axes.hexbin(x, y, C=labels, reduce_C_function=_commonest, rasterized=True, **of_grid)
    shares = np.log1p(np.asarray(counts.get_array())) / np.log1p(np.asarray(counts.get_array()).max())
    colours = np.array([_rgb(story.label_colours[int(label)]) for label in np.asarray(hexagons.get_array())])
    hexagons.set_array(None)
    hexagons.set_facecolor(np.column_stack([colours, 0.15 + 0.75 * shares]))  # type: ignore[arg-type]
    counts.remove()


def _of_hexagons(n_rows: int) -> str:
    if not n_rows:
        return ""
    return (
        f", with {n_rows:,} sampled rows: a hexagon has the colour of most of its rows, stronger where there are more"
    )


def _commonest(labels: Any) -> int:
    return int(np.bincount(np.asarray(labels, dtype=np.intp)).argmax())


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _ellipses(axes: Axes, mean: Array, covariance: Array, colour: str) -> None:
    values, vectors = np.linalg.eigh(covariance)
    shape = vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * np.array([np.cos(_CIRCLE), np.sin(_CIRCLE)]))
    for size, width in ((1, 1.8), (2, 1.0)):
        x, y = mean[:, None] + size * shape
        axes.plot(x, y, color=INK, linewidth=width + 1.4, alpha=0.25)
        axes.plot(x, y, color=colour, linewidth=width)


def _numbers(axes: Axes, means: Array, components: NDArray[np.intp], story: Story, window: tuple[Array, Array]) -> None:
    """Write the numbers of the components at their means, but for those that would hide a heavier one's."""
    low, high = window
    places = (means - low) / (high - low)
    written: list[int] = []
    for at, component in enumerate(components):
        hides = any(np.abs(places[at] - places[other]).max() < _APART for other in written)
        if hides or (places[at] < 0).any() or (places[at] > 1).any():
            continue
        written.append(at)
        colour = story.colours[component]
        box = {"boxstyle": "circle,pad=0.25", "facecolor": colour, "edgecolor": "white", "linewidth": 0.8}
        look: dict[str, Any] = {"fontsize": 10, "color": text_on(colour), "bbox": box, "zorder": 5}
        axes.text(means[at, 0], means[at, 1], str(component), ha="center", va="center", **look)


def text_on(colour: str) -> str:
    """Return black or white, whichever has the larger contrast (WCAG 2) to the colour."""
    luminance = float(np.dot((0.2126, 0.7152, 0.0722), np.array(_rgb(colour)) ** 2.2))
    return "#111111" if (luminance + 0.05) ** 2 > 1.05 * 0.055 else "#ffffff"


def overlap(story: Story) -> Drawing | None:
    """Return the map of the Bhattacharyya coefficients of all pairs of components."""
    if len(story.compared) < 2:
        return None
    chosen = np.sort(np.argsort(-story.mixture.weights[story.compared], kind="stable")[:_MOST_MAP])
    components, values = story.compared[chosen], story.overlap[np.ix_(chosen, chosen)]
    k = len(components)
    drawn, axes = figure(_WIDTH, 350)
    shades = np.empty((k, k, 4))
    shades[..., :3], shades[..., 3] = _rgb(_HEAT), np.where(np.eye(k, dtype=bool), 0.0, np.clip(values, 0, 1))
    axes.imshow(shades, interpolation="nearest")
    axes.set_aspect("equal")
    lines = np.arange(k + 1) - 0.5 if k <= _MOST_CELLS else np.array([-0.5, k - 0.5])
    axes.hlines(lines, -0.5, k - 0.5, color=GRID, linewidth=0.6)
    axes.vlines(lines, -0.5, k - 0.5, color=GRID, linewidth=0.6)
    if k <= _MOST_CELLS:
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
        axes.plot(at, at, "s", color=story.colours[component], markersize=min(220 / k, 14))
    step = max(1, -(-k // 20))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(0, k, step), [str(one) for one in components[::step]])
        axis.set_tick_params(length=0)
    axes.xaxis.set_tick_params(rotation=90 if k > _MOST_CELLS else 0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("component")
    axes.set_ylabel("component")
    title = "Which clusters overlap"
    text = (
        f"Bhattacharyya coefficient of each pair of {_all_or(story.by_weight, k, 'heaviest components')}: 0 where they "
        "lie apart, 1 where they are the same. The squares on the diagonal are the components' colours."
    )
    return Drawing(title, to_svg(drawn, "overlap", title, text), text)


def _share(value: float) -> str:
    return "0" if value < 0.005 else f"{value:.2f}".removeprefix("0")


def certainty(story: Story) -> Drawing | None:
    """Return how certain the labels of the sampled rows are, by component."""
    if not len(story.rows) or len(story.mixture.all_weights) < 2:
        return None
    drawn, axes = figure(_WIDTH, _HEIGHT)
    edges = np.linspace(0, 1, 41)
    heaviest, total = story.by_weight[:_MOST_CELLS], story.row_weights.sum()
    bottom = np.zeros(len(edges) - 1)
    rest = ~np.isin(story.scored.labels, heaviest)
    parts = [(story.scored.labels == one, story.colours[one]) for one in heaviest] + [(rest, LEFT_OUT)]
    for members, colour in parts:
        counts, _ = np.histogram(story.certainties[members], edges, weights=story.row_weights[members])
        axes.bar(edges[:-1], 100 * counts / total, np.diff(edges), 100 * bottom / total, align="edge", color=colour)
        bottom += counts
    axes.set_xlim(min(max(0.0, float(story.certainties.min()) - 0.03), 0.5), 1.0)
    axes.set_xlabel("probability of the most probable component")
    axes.set_ylabel("percent of the rows")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    sure = story.row_weights[story.certainties >= 0.9].sum() / total
    title = "How certain the labels are"
    text = (
        f"Of {len(story.rows):,} sampled rows {100 * sure:.0f} percent belong to their component with a probability of "
        "0.9 or more; colours are those of the components."
    )
    return Drawing(title, to_svg(drawn, "certainty", title, text), text)


def phases(story: Story) -> Drawing | None:
    """Return the seconds of each part of the job."""
    spans = [span for span in story.record.course.spans if span.seconds > 0]
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


def _all_or(components: NDArray[np.intp], most: int, what: str) -> str:
    return "all components" if len(components) <= most else f"the {most} {what} of {len(components)}"
