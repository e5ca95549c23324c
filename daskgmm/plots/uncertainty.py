"""How certain the labels are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..core.arrays.types import Array
from ..report.html.colours import component_colours
from .base import axes_or_new, fitted_mixture, predict_rows, sample_rows

_BINS = 40


@dataclass(eq=False)
class UncertaintyDisplay:
    """A histogram of the probability of each row's most probable component, in the colours of the components."""

    certainty: Array  # (m,)
    labels: NDArray[np.integer]  # (m,)
    n_components: int
    figure_: Figure = field(init=False)
    ax_: Axes = field(init=False)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, n_rows: int = 20_000, ax: Axes | None = None
    ) -> UncertaintyDisplay:
        """Draw at most n_rows rows of X."""
        model = fitted_mixture(estimator)
        resp = predict_rows(model, sample_rows(model, X, n_rows), "probabilities")
        return cls(resp.max(axis=1), resp.argmax(axis=1), resp.shape[1]).plot(ax)

    def plot(self, ax: Axes | None = None) -> UncertaintyDisplay:
        """Draw; return self."""
        self.ax_ = axes_or_new(ax)
        parts = [self.certainty[self.labels == one] for one in range(self.n_components)]
        shares = [np.full(len(part), 100 / len(self.certainty)) for part in parts]
        low = min(float(self.certainty.min()), 0.5)
        bins = np.linspace(low, 1, _BINS + 1).tolist()
        self.ax_.hist(parts, bins=bins, weights=shares, stacked=True, color=component_colours(self.n_components))
        self.ax_.set_xlabel("probability of the most probable component")
        self.ax_.set_ylabel("percent of the rows")
        self.figure_ = self.ax_.figure  # type: ignore[assignment] # of a figure, not of a part of one
        return self
