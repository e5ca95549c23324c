"""Rows by their component, with ellipses, on two features or on all pairs of some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..core.arrays.types import Array
from ..core.mixture.mixture import Mixture
from ..core.scoring.discriminant import feature_separation
from ..report.html.colours import LEFT_OUT, component_colours
from ..report.html.ellipse import ellipse
from .base import axes_or_new, fitted_mixture, mixture_of, names_of, numbers_of, predict_rows, sample_rows

_MAX_FEATURES = 4  # that are drawn if none are named
_BINS = 40


@dataclass(eq=False)
class ClustersDisplay:
    """Rows in the colours of their components, and the components' ellipses of one and two standard deviations.

    With two features one pair of axes, with more a matrix of all pairs, whose diagonal has the marginals.
    """

    mixture: Mixture
    rows: Array  # (m, d)
    labels: NDArray[np.integer]  # (m,)
    names: tuple[str, ...]
    features: tuple[int, ...]
    figure_: Figure = field(init=False)
    axes_: NDArray[Any] = field(init=False)  # (f, f), or (1, 1) for two features

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        features: Sequence[int | str] | None = None,
        n_rows: int = 5000,
        ax: Axes | None = None,
    ) -> ClustersDisplay:
        """Draw at most n_rows rows of X on features given by name or number.

        `features` None takes the four, or fewer, in which the components differ most; `ax` serves for two features.
        """
        model = fitted_mixture(estimator)
        mixture, names, rows = mixture_of(model), names_of(model), sample_rows(model, X, n_rows)
        if features is None:
            chosen = sorted(np.argsort(-feature_separation(mixture), kind="stable")[:_MAX_FEATURES].tolist())
        else:
            chosen = numbers_of(features, names)
        return cls(mixture, rows, predict_rows(model, rows, "labels"), names, tuple(chosen)).plot(ax)

    def plot(self, ax: Axes | None = None) -> ClustersDisplay:
        """Draw; return self."""
        n = len(self.features)
        if n == 2:
            only = axes_or_new(ax)
            self.axes_ = np.array([[only]])
            self._pair(only, *self.features)
            only.set_xlabel(self.names[self.features[0]])
            only.set_ylabel(self.names[self.features[1]])
        else:
            size = max(2.2 * n, 4.0)
            _, self.axes_ = plt.subplots(n, n, figsize=(size, size), squeeze=False, layout="constrained", sharex="col")
            self._matrix()
        self.figure_ = self.axes_[0, 0].figure
        return self

    def _matrix(self) -> None:
        for (row, column), axes in np.ndenumerate(self.axes_):
            x, y = self.features[column], self.features[row]
            if row == column:
                self._marginal(axes, x)
            else:
                self._pair(axes, x, y)
            if row == len(self.features) - 1:
                axes.set_xlabel(self.names[x])
            if column == 0:
                axes.set_ylabel(self.names[y] if row else "rows")

    def _pair(self, axes: Axes, x: int, y: int) -> None:
        colours = np.array((*component_colours(self.mixture.n_components), LEFT_OUT))
        axes.scatter(self.rows[:, x], self.rows[:, y], s=4, c=colours[self.labels], alpha=0.4, linewidths=0)
        pair = [x, y]
        covariances = self.mixture.matrices().project(np.eye(self.mixture.n_features)[:, pair])
        for component in np.flatnonzero(self.mixture.weights > 0):
            for size, width in ((1, 1.8), (2, 0.9)):
                outline = ellipse(self.mixture.means[component, pair], covariances[component], size)
                axes.plot(*outline, color=colours[component], linewidth=width)
        axes.autoscale_view()

    def _marginal(self, axes: Axes, feature: int) -> None:
        colours = component_colours(self.mixture.n_components)
        parts = [self.rows[self.labels == one, feature] for one in range(self.mixture.n_components)]
        axes.hist(parts, bins=_BINS, stacked=True, color=colours)
