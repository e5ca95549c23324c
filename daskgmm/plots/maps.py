"""Components of the rows of a grid of two axes: a segmentation, or a map with its coordinates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import DataError
from ..report.html.colours import component_colours
from .base import axes_or_new, fitted_mixture

_LEFT_OUT = "#00000000"


@dataclass(eq=False)
class MapDisplay:
    """The component of each row of a grid, rows of the grid downwards, or along its coordinates if it has some."""

    labels: NDArray[np.integer]  # (height, width)
    n_components: int
    names: tuple[str, str] = ("row", "column")  # of the axes
    coordinates: tuple[NDArray[Any], NDArray[Any]] | None = None  # of both axes
    figure_: Figure = field(init=False)
    ax_: Axes = field(init=False)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, ax: Axes | None = None) -> MapDisplay:
        """Draw the labels of X (height, width, features); those of xarray are drawn along their coordinates."""
        model = fitted_mixture(estimator)
        labels = model.predict(X)
        values = np.asarray(labels)
        if values.ndim != 2:
            raise DataError(f"a map takes rows on a grid of two axes, and these lie on one of shape {values.shape}")
        k = len(model.weights_)
        if not hasattr(labels, "coords"):
            return cls(values, k).plot(ax)
        first, second = labels.dims
        numeric = all(one in labels.coords and labels.coords[one].dtype.kind in "iuf" for one in labels.dims)
        coordinates = (labels.coords[first].values, labels.coords[second].values) if numeric else None
        return cls(values, k, (str(first), str(second)), coordinates).plot(ax)

    def plot(self, ax: Axes | None = None) -> MapDisplay:
        """Draw; return self."""
        self.ax_ = axes_or_new(ax)
        colours = ListedColormap(component_colours(self.n_components)).with_extremes(under=_LEFT_OUT)
        look: Any = {"cmap": colours, "norm": BoundaryNorm(np.arange(self.n_components + 1) - 0.5, colours.N)}
        drawn: Any
        if self.coordinates is None:
            drawn = self.ax_.imshow(self.labels, interpolation="nearest", **look)
        else:
            down, along = self.coordinates
            drawn = self.ax_.pcolormesh(along, down, self.labels, shading="nearest", **look)
        self.figure_ = self.ax_.figure  # type: ignore[assignment] # of a figure, not of a part of one
        ticks = np.arange(0, self.n_components, max(1, -(-self.n_components // 20)))
        self.figure_.colorbar(drawn, ax=self.ax_, label="component", ticks=ticks)
        self.ax_.set_xlabel(self.names[1])
        self.ax_.set_ylabel(self.names[0])
        return self
