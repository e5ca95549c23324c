"""Each feature by itself: the histogram of the sampled rows, and the mixture's density over it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.arrays.types import Array
from ...text import format_signed
from .colours import LEFT_OUT
from .report_data import ReportData, spread_of_most
from .svg import INK, Drawing, figure, to_svg

_WIDTH, _HEIGHT = 260, 180
_POINTS, _MAX_BINS = 160, 60
_NARROW_GRID = np.concatenate([np.linspace(-4, 4, 17), [-8, -6, -5, 5, 6, 8]])  # deviations from a narrow mean


def marginals(data: ReportData) -> tuple[Drawing, ...]:
    """Return a small figure for each feature that is drawn, where there are several."""
    several = data.mixture.n_features > 1
    return tuple(_marginal(data, int(feature)) for feature in data.drawn_features if several)


def only_feature(data: ReportData) -> Drawing | None:
    """Return the figure of a single feature, as large as others; None where there are several."""
    return _marginal(data, 0, 400, 350) if data.mixture.n_features == 1 else None


def _marginal(data: ReportData, feature: int, width: float = _WIDTH, height: float = _HEIGHT) -> Drawing:
    drawn, axes = figure(width, height)
    values, weights = data.rows[:, feature], data.row_weights
    low, high = _range(data, feature, values)
    scale = high - low  # densities are drawn per this range, so that no unit makes them huge or tiny
    if len(values):
        edges = _edges(values, low, high)
        counts, _ = np.histogram(values, edges, weights=weights)
        heights = counts / weights.sum() * scale / np.diff(edges)
        axes.bar(edges[:-1], heights, np.diff(edges), align="edge", color=LEFT_OUT, alpha=0.35, linewidth=0)
    grid = _grid(data, feature, low, high)
    densities = _densities(data, feature, grid) * scale
    total = densities.sum(axis=0) + _noise_density(data, feature) * scale
    axes.plot(grid, total, color=INK, linewidth=2.6)  # first, for components that lie apart are all of it
    for component in data.shown_components[::-1]:
        axes.plot(grid, densities[component], color=data.colours[component], linewidth=1.4)
    even = np.interp(np.linspace(low, high, _POINTS), grid, total)  # a narrow peak must not flatten all others
    top = max(float(np.quantile(even, 0.98)) * 1.15, float(heights.max()) if len(values) else 0.0)
    axes.set_ylim(0, top or 1.0)
    axes.set_xlim(low, high)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params(axis="x", nbins=5)
    name = data.names[feature]
    text = (  # for those who do not see it: on the page one caption serves all
        f"Distribution of {name}, from {format_signed(f'{data.record.beginning.minimum[feature]:.5g}')} to "
        f"{format_signed(f'{data.record.beginning.maximum[feature]:.5g}')}: sampled rows as bars, the mixture as "
        "curves."
    )
    return Drawing(name, to_svg(drawn, f"feature-{feature}", name, text), text)


def _range(data: ReportData, feature: int, values: Array) -> tuple[float, float]:
    """Return the range of the feature that is drawn: all but the most outlying rows, with a least width."""
    low, high = data.record.beginning.minimum[feature], data.record.beginning.maximum[feature]
    if len(values):
        inner, outer = spread_of_most(values[:, None], 0.001)[:, 0]
        low, high = max(low, inner - 0.1 * (outer - inner)), min(high, outer + 0.1 * (outer - inner))
    least = 8 * np.finfo(float).eps * max(abs(low), abs(high), 1e-290)
    if high - low <= least:  # a constant feature
        middle, half = (low + high) / 2, max(3 * float(data.deviations[:, feature].max()), 16 * least)
        low, high = middle - half, middle + half
    return float(low), float(high)


def _grid(data: ReportData, feature: int, low: float, high: float) -> Array:
    """Return the points (n,) at which densities are drawn: evenly spread, and close where a drawn one is narrow."""
    own = data.shown_components
    means, deviations = data.mixture.means[own, feature, None], data.deviations[own, feature, None]
    narrow = deviations[:, 0] < (high - low) / _POINTS * 4
    around = (means + _NARROW_GRID * deviations)[narrow].ravel()
    inside = around[(around > low) & (around < high)]
    return np.unique(np.concatenate([np.linspace(low, high, _POINTS), inside]))


def _edges(values: Array, low: float, high: float) -> Array:
    """Return the edges of bins: whole numbers have a bin each, or as many of them as make 60 bins."""
    inside = values[(values >= low) & (values <= high)]
    n_bins = int(np.clip(2 * len(inside) ** (1 / 3), 5, _MAX_BINS))
    if np.array_equal(inside, np.rint(inside)) and 1 <= high - low < 2**50:
        step = -(-(np.floor(high) - np.ceil(low) + 1) // _MAX_BINS)
        return np.arange(np.ceil(low), np.floor(high) + 1 + step, step) - 0.5
    return np.linspace(low, high, n_bins + 1)


def _densities(data: ReportData, feature: int, grid: Array) -> NDArray[np.float64]:
    """Return w_k N(x | mu_k, sigma_k^2) of the feature on a grid of points, (k, points)."""
    mixture = data.mixture
    deviations = np.maximum(data.deviations[:, feature], 1e-300)[:, None]
    with np.errstate(over="ignore", under="ignore"):
        whitened = (grid - mixture.means[:, feature, None]) / deviations
        bells: Array = np.exp(-np.minimum(whitened**2, 1400) / 2) / (np.sqrt(2 * np.pi) * deviations)
    return mixture.weights[:, None] * bells


def _noise_density(data: ReportData, feature: int) -> float:
    """Return the density of the feature in the noise, times its weight; 0 if its box is not known."""
    noise = data.mixture.noise
    if noise is None or noise.box is None:
        return 0.0
    lowest, highest = noise.box
    return noise.weight / (highest[feature] - lowest[feature])
