"""The entropies of clusters of components."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.arrays.types import Array
from ..report.html.colours import component_colours
from .base import axes_or_new


@dataclass(eq=False)
class MergingDisplay:
    """Entropy over the number of clusters, with the chosen number marked."""

    entropies: Array  # of 1, 2, ..., k clusters, nats
    n_clusters: int
    figure_: Figure = field(init=False)
    ax_: Axes = field(init=False)

    @classmethod
    def from_merged(cls, merged: Any, *, ax: Axes | None = None) -> MergingDisplay:
        """Draw what `merge_components` returned."""
        return cls(merged.entropies, merged.n_clusters).plot(ax)

    def plot(self, ax: Axes | None = None) -> MergingDisplay:
        """Draw; return self."""
        self.ax_ = axes_or_new(ax)
        (colour,) = component_colours(1)
        self.ax_.plot(np.arange(1, len(self.entropies) + 1), self.entropies, color=colour, marker=".")
        self.ax_.plot(self.n_clusters, self.entropies[self.n_clusters - 1], "o", color=colour, markersize=9)
        self.ax_.locator_params(axis="x", integer=True)
        self.ax_.set_xlabel("number of clusters")
        self.ax_.set_ylabel("entropy, nats")
        self.figure_ = self.ax_.figure  # type: ignore[assignment] # of a figure, not of a part of one
        return self
