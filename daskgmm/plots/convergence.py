"""The log-likelihood of each iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..report.html.colours import component_colours
from .base import axes_or_new, fitted_mixture


@dataclass(eq=False)
class ConvergenceDisplay:
    """Mean log-likelihood over the iterations on all rows."""

    lower_bounds: Sequence[float]  # nats per row
    converged: bool
    figure_: Figure = field(init=False)
    ax_: Axes = field(init=False)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> ConvergenceDisplay:
        """Draw the course of a fit."""
        model = fitted_mixture(estimator)
        return cls(model.lower_bounds_, model.converged_).plot(ax)

    def plot(self, ax: Axes | None = None) -> ConvergenceDisplay:
        """Draw; return self."""
        self.ax_ = axes_or_new(ax)
        self.ax_.plot(range(len(self.lower_bounds)), self.lower_bounds, color=component_colours(1)[0], marker=".")
        self.ax_.locator_params(axis="x", integer=True)
        self.ax_.set_xlabel("iteration")
        self.ax_.set_ylabel("log-likelihood, nats per row")
        self.ax_.set_title("converged" if self.converged else "not converged")
        self.figure_ = self.ax_.figure  # type: ignore[assignment] # of a figure, not of a part of one
        return self
