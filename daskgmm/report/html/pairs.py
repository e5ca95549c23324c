"""The features in which components differ most, two by two, in their own units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...text import harmless, shorten_apart
from .report_data import ReportData
from .scatter import Scatter, of_ellipses, of_hexagons, of_outside
from .svg import Drawing, grid, to_svg

_MAX_FEATURES = 4
_PANEL, _EDGE = 250, 60  # units of a pair of axes, and of the names beside it
_HEXAGONS, _NUMBERS = 40, 12
_MAX_NAME_LENGTH = 24  # characters


def pairs(data: ReportData) -> Drawing | None:
    """Return the lower half of the matrix of all pairs of features; None if the view has the features themselves."""
    if data.mixture.n_features < 3:
        return None
    features = [int(one) for one in np.sort(data.separating[:_MAX_FEATURES])]
    names = shorten_apart([harmless(data.names[one]) for one in features], _MAX_NAME_LENGTH)
    size = len(features) - 1
    drawn, axes = grid(_PANEL * size + _EDGE, _PANEL * size + _EDGE, size)
    scatters = scatters_of(data, features)
    outside = sorted({component for scatter in scatters.values() for component in scatter.outside(data)})
    for (row, column), panel in np.ndenumerate(axes):
        if column > row:
            panel.set_visible(False)
            continue
        scatters[column, row + 1].draw(panel, data, hexagons=_HEXAGONS, numbers=_NUMBERS)
        panel.locator_params(nbins=4)
        panel.tick_params(labelleft=column == 0, labelbottom=row == size - 1)
        if row == size - 1:
            panel.set_xlabel(names[column])
        if column == 0:
            panel.set_ylabel(names[row + 1])
    title = "Pairs of features"
    noun = "features" if data.model.projection is None else "principal components"
    most = f"The {len(features)} {noun} of {data.mixture.n_features} in which components differ most"
    which = f"The {noun}" if len(features) == data.mixture.n_features else most
    units = ", in their own units" if data.model.projection is None else ""
    text = f"{which}, two by two{units}{of_hexagons(data)}. {of_ellipses(data)}{of_outside(outside)}"
    return Drawing(title, to_svg(drawn, "pairs", title, text), text)


def scatters_of(data: ReportData, features: list[int]) -> dict[tuple[int, int], Scatter]:
    """Return each pair of features by their places; a feature has the same limits in all of them."""
    alone = {(x, y): _scatter(data, features[x], features[y]) for y in range(len(features)) for x in range(y)}
    limits = [
        np.array([np.array(one.window)[:, pair.index(at)] for pair, one in alone.items() if at in pair])
        for at in range(len(features))
    ]
    lows, highs = np.array([(one[:, 0].min(), one[:, 1].max()) for one in limits]).T
    return {(x, y): replace(scatter, window=(lows[[x, y]], highs[[x, y]])) for (x, y), scatter in alone.items()}


def _scatter(data: ReportData, x: int, y: int) -> Scatter:
    """Return the rows and the components on two features."""
    axes = np.zeros((data.mixture.n_features, 2))
    axes[[x, y], [0, 1]] = 1.0
    means, covariances = data.mixture.means[:, [x, y]], data.mixture.matrices().project(axes)
    return Scatter.of(data, data.rows[:, [x, y]], means, covariances)
