"""The density of one feature: rows, components and their sum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..core.arrays.types import Array
from ..report.html.colours import component_colours
from .base import axes_or_new, fitted_mixture, mixture_of, names_of, numbers_of, sample_rows

_BINS = 60
_STEPS = np.linspace(-5, 5, 101)  # standard deviations around each mean at which curves are drawn


@dataclass(eq=False)
class MarginalsDisplay:
    """A histogram of one feature with the density of each component, times its weight, and of the mixture."""

    values: Array  # (m,)
    weights: Array  # (k,)
    means: Array  # (k,)
    deviations: Array  # (k,)
    name: str
    figure_: Figure = field(init=False)
    ax_: Axes = field(init=False)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, feature: int | str = 0, n_rows: int = 20_000, ax: Axes | None = None
    ) -> MarginalsDisplay:
        """Draw a feature, given by name or number, of at most n_rows rows of X."""
        model = fitted_mixture(estimator)
        mixture, names = mixture_of(model), names_of(model)
        (number,) = numbers_of([feature], names)
        deviations = np.sqrt(mixture.variances[:, number])
        values = sample_rows(model, X, n_rows)[:, number]
        return cls(values, mixture.weights, mixture.means[:, number], deviations, names[number]).plot(ax)

    def plot(self, ax: Axes | None = None) -> MarginalsDisplay:
        """Draw; return self."""
        self.ax_ = axes_or_new(ax)
        self.ax_.hist(self.values, bins=_BINS, density=True, color="0.85")
        at = np.unique((self.means[:, None] + self.deviations[:, None] * _STEPS).ravel())  # no narrow one is missed
        at = at[(at >= self.values.min()) & (at <= self.values.max())]
        densities = self._densities(at)
        for density, colour in zip(densities, component_colours(len(self.weights)), strict=True):
            self.ax_.plot(at, density, color=colour, linewidth=1.2)
        self.ax_.plot(at, densities.sum(axis=0), color="black", linewidth=1.2, label="mixture")
        self.ax_.set_xlabel(self.name)
        self.ax_.set_ylabel("density")
        self.ax_.legend()
        self.figure_ = self.ax_.figure  # type: ignore[assignment] # of a figure, not of a part of one
        return self

    def _densities(self, at: Array) -> Array:
        """Return the weighted density of each component, (k, len(at))."""
        distance = (at - self.means[:, None]) / self.deviations[:, None]
        densities: Array = (self.weights / self.deviations)[:, None] * np.exp(-(distance**2) / 2) / np.sqrt(2 * np.pi)
        return densities
