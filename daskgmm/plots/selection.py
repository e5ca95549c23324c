"""The criterion of each candidate of a selector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.utils.validation import check_is_fitted

from ..core.selection.criterion import CRITERIA
from ..report.html.colours import component_colours
from .base import axes_or_new


@dataclass(eq=False)
class SelectionDisplay:
    """A curve of the criterion over the numbers of components for each covariance type; the best is marked."""

    results: Mapping[str, Any]  # GaussianMixtureSelector.results_
    best: tuple[int, str]  # its n_components and covariance_type
    criterion: str
    figure_: Figure = field(init=False)
    ax_: Axes = field(init=False)

    @classmethod
    def from_estimator(cls, selector: Any, *, ax: Axes | None = None) -> SelectionDisplay:
        """Draw the candidates of a fitted GaussianMixtureSelector."""
        check_is_fitted(selector)
        best = selector.best_params_
        return cls(selector.results_, (best["n_components"], best["covariance_type"]), selector.criterion).plot(ax)

    def plot(self, ax: Axes | None = None) -> SelectionDisplay:
        """Draw; return self. Candidates that failed are left out."""
        self.ax_ = axes_or_new(ax)
        sizes, types = np.asarray(self.results["n_components"]), np.asarray(self.results["covariance_type"])
        values = np.array([np.nan if one is None else one for one in self.results["criterion"]], dtype=float)
        names = list(dict.fromkeys(types.tolist()))
        for name, colour in zip(names, component_colours(len(names)), strict=True):
            own = (types == name) & np.isfinite(values)
            order = np.argsort(sizes[own], kind="stable")
            self.ax_.plot(sizes[own][order], values[own][order], marker=".", color=colour, label=name)
            if name == self.best[1]:
                at = own & (sizes == self.best[0])
                self.ax_.plot(sizes[at], values[at], "o", color=colour, markersize=9)
        self.ax_.locator_params(axis="x", integer=True)
        self.ax_.set_xlabel("number of components")
        self.ax_.set_ylabel(
            "mean held-out log-likelihood" if self.criterion == "heldout" else CRITERIA[self.criterion].title
        )
        self.ax_.legend(title="covariance type")
        self.figure_ = self.ax_.figure  # type: ignore[assignment] # of a figure, not of a part of one
        return self
