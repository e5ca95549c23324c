"""Components as ellipses over the sampled rows, on two axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays.types import Array
from .colours import rgb, text_on
from .ellipse import ellipse
from .figures import all_or
from .report_data import ReportData, spread_of_most
from .svg import INK, Drawing, figure, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 400, 350
_HEXAGONS = 64  # across
_MAX_ELLIPSES, _MAX_NUMBERS, _MAX_LEGEND = 60, 30, 6
_MIN_LABEL_DISTANCE = 0.045  # of the width and height: numbers that are closer would hide each other


@dataclass(frozen=True, eq=False)
class Scatter:
    """Sampled rows and components on two axes."""

    points: Array  # (m, 2)
    means: Array  # (k, 2)
    covariances: Array  # (k, 2, 2)
    window: tuple[Array, Array]  # corners (2,) of what is drawn

    @classmethod
    def of(cls, data: ReportData, points: Array, means: Array, covariances: Array) -> Scatter:
        """Return them with a window that no light component far off makes too wide."""
        shown = data.choose_mapped(means, np.diagonal(covariances, axis1=1, axis2=2))
        members = np.isin(data.drawn_labels, shown) if len(shown) < len(data.filled) else np.ones(len(points), bool)
        window = _window(points[members], means[shown], covariances[shown])
        return cls(points, means, covariances, window)

    def outside(self, data: ReportData) -> list[int]:
        """Return the numbers of the components whose means are not in the window, the heaviest first."""
        low, high = self.window
        return [int(one) for one in data.filled if (self.means[one] < low).any() or (self.means[one] > high).any()]

    def draw(self, axes: Axes, data: ReportData, *, hexagons: int = _HEXAGONS, numbers: int = _MAX_NUMBERS) -> None:
        """Draw hexagons of the rows, and ellipses and numbers of the components."""
        low, high = self.window
        if len(self.points):
            _hexagons(axes, self.points, data, self.window, hexagons)
        for component in data.filled[:_MAX_ELLIPSES][::-1]:
            _ellipses(axes, self.means[component], self.covariances[component], data.colours[component])
        written = data.filled[:numbers]
        _numbers(axes, self.means[written], written, data, self.window)
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])


def density(data: ReportData) -> Drawing | None:
    """Return the components' 1 and 2 sigma ellipses, over the sampled rows; of more than two features in the view."""
    if data.mixture.n_features < 2 or data.view.axes.shape[1] < 2:
        return None
    drawn, axes = figure(_WIDTH, _HEIGHT)
    scatter = Scatter.of(data, data.view.project(data.rows), *data.view.gaussians(data.mixture))
    scatter.draw(axes, data)
    axes.set_xlabel(data.view_names[0])
    axes.set_ylabel(data.view_names[1])
    axes.locator_params(nbins=6)
    title = "Where the clusters lie"
    text = f"{_of_axes(data)}{of_hexagons(data)}. {of_ellipses(data)}{of_outside(scatter.outside(data))}"
    return Drawing(title, to_svg(drawn, "density", title, text), text)


def _of_axes(data: ReportData) -> str:
    return "The two features" if data.mixture.n_features == 2 else "The two directions in which components differ most"


def of_hexagons(data: ReportData) -> str:
    """Return the legend of the hexagons; empty if there are none."""
    if not len(data.rows):
        return ""
    return (
        f", with {len(data.rows):,} {data.sampled}: a hexagon has the colour of most of its rows, stronger where "
        "there are more"
    )


def of_ellipses(data: ReportData) -> str:
    """Return the legend of the ellipses."""
    which = all_or(data.filled, _MAX_ELLIPSES, "heaviest components")
    return f"Ellipses mark one and two standard deviations of {which}."


def of_outside(components: list[int]) -> str:
    """Return which components lie too far from all others to be drawn with them; nothing if none does."""
    if not components:
        return ""
    listed = ", ".join(map(str, components[:_MAX_LEGEND]))
    more = f" and {len(components) - _MAX_LEGEND} more" if len(components) > _MAX_LEGEND else ""
    noun = "Component" if len(components) == 1 else "Components"
    return f" {noun} {listed}{more} of few rows lie{'s' * (len(components) == 1)} far outside of the picture."


def _window(points: Array, means: Array, covariances: Array) -> tuple[Array, Array]:
    """Return the corners that show all but the most outlying rows, and the centres of the components."""
    reach = 2.2 * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    low, high = (means - reach).min(axis=0), (means + reach).max(axis=0)
    if len(points):
        inner, outer = spread_of_most(points, 0.002)
        margin = 0.05 * np.maximum(outer - inner, 1e-9)
        centres = means.min(axis=0), means.max(axis=0)  # seen in any case; wide components need not be
        low, high = np.minimum(inner - margin, centres[0] - margin), np.maximum(outer + margin, centres[1] + margin)
    wide = np.maximum(high - low, 1e-9 * np.maximum(1.0, np.abs(low)))
    return low, low + wide


def _hexagons(axes: Axes, points: Array, data: ReportData, window: tuple[Array, Array], across: int) -> None:
    low, high = window
    inside = ((points >= low) & (points <= high)).all(axis=1) & (data.scored.labels >= 0)
    if not inside.any():
        return
    labels = data.drawn_labels[inside]
    of_grid: dict[str, Any] = {
        "gridsize": (across, round(across * 0.48)),
        "extent": (low[0], high[0], low[1], high[1]),
        "mincnt": 1,
        "linewidths": 0.0,
    }
    x, y = points[inside].T
    counts = axes.hexbin(x, y, C=np.ones(len(x)), reduce_C_function=len, visible=False, **of_grid)
    hexagons = axes.hexbin(x, y, C=labels, reduce_C_function=_commonest, rasterized=True, **of_grid)
    shares = np.log1p(np.asarray(counts.get_array())) / np.log1p(np.asarray(counts.get_array()).max())
    colours = np.array([rgb(data.label_colours[int(label)]) for label in np.asarray(hexagons.get_array())])
    hexagons.set_array(None)
    hexagons.set_facecolor(np.column_stack([colours, 0.15 + 0.75 * shares]))  # type: ignore[arg-type]
    counts.remove()


def _commonest(labels: Any) -> int:
    return int(np.bincount(np.asarray(labels, dtype=np.intp)).argmax())


def _ellipses(axes: Axes, mean: Array, covariance: Array, colour: str) -> None:
    for size, width in ((1, 1.8), (2, 1.0)):
        x, y = ellipse(mean, covariance, size)
        axes.plot(x, y, color=INK, linewidth=width + 1.4, alpha=0.25)
        axes.plot(x, y, color=colour, linewidth=width)


def _numbers(
    axes: Axes, means: Array, components: NDArray[np.intp], data: ReportData, window: tuple[Array, Array]
) -> None:
    """Write the numbers of the components at their means, but for those that would hide a heavier one's."""
    low, high = window
    places = (means - low) / (high - low)
    written: list[int] = []
    for at, component in enumerate(components):
        hides = any(np.abs(places[at] - places[other]).max() < _MIN_LABEL_DISTANCE for other in written)
        if hides or (places[at] < 0).any() or (places[at] > 1).any():
            continue
        written.append(at)
        colour = data.colours[component]
        box = {"boxstyle": "circle,pad=0.25", "facecolor": colour, "edgecolor": "white", "linewidth": 0.8}
        look: dict[str, Any] = {"fontsize": 10, "color": text_on(colour), "bbox": box, "zorder": 5}
        axes.text(means[at, 0], means[at, 1], str(component), ha="center", va="center", **look)
