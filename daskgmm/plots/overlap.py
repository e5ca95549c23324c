"""Which components overlap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.arrays.types import Array
from ..core.scoring.bhattacharyya import bhattacharyya_distances
from .base import axes_or_new, fitted_mixture, mixture_of

_MAX_CELLS = 12  # components whose values are written into the cells


@dataclass(eq=False)
class OverlapDisplay:
    """Bhattacharyya coefficients of all pairs of components: 0 apart, 1 the same."""

    overlap: Array  # (k, k)
    figure_: Figure = field(init=False)
    ax_: Axes = field(init=False)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> OverlapDisplay:
        """Draw the overlap of the components."""
        mixture = mixture_of(fitted_mixture(estimator))
        return cls(np.exp(-bhattacharyya_distances(mixture, mixture))).plot(ax)

    def plot(self, ax: Axes | None = None) -> OverlapDisplay:
        """Draw; return self."""
        self.ax_ = axes_or_new(ax)
        k = len(self.overlap)
        drawn = self.ax_.imshow(np.where(np.eye(k, dtype=bool), np.nan, self.overlap), cmap="Blues", vmin=0, vmax=1)
        if k <= _MAX_CELLS:
            for row, column in np.argwhere(~np.eye(k, dtype=bool)):
                value = self.overlap[row, column]
                ink = "white" if value > 0.6 else "black"
                self.ax_.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=8)
        self.ax_.locator_params(integer=True)
        self.ax_.set_xlabel("component")
        self.ax_.set_ylabel("component")
        self.figure_ = self.ax_.figure  # type: ignore[assignment] # of a figure, not of a part of one
        self.figure_.colorbar(drawn, ax=self.ax_, label="Bhattacharyya coefficient")
        return self
