"""Where components of a mixture differ: the axes and the features that tell them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays.types import Array
from ..mixture.frame import Frame
from ..mixture.matrices import Matrices
from ..mixture.mixture import Mixture

_MIN_AXIS_RATIO = 1e-9  # of the widest axis: narrower ones are rounding
_TIE_TOLERANCE = 1e-6  # by how much a criterion counts beside the one before it


@dataclass(frozen=True, eq=False)
class View:
    """A linear map from rows to the few axes in which components differ most."""

    frame: Frame
    axes: Array  # (d, q), of the frame's coordinates; the variance within components is 1 along each
    separations: Array  # (q,), variance between components over that within along each axis

    def project(self, rows: Array) -> Array:
        """Return rows (n, d) in the axes, (n, q)."""
        return self.frame.to_z(rows) @ self.axes

    def gaussians(self, mixture: Mixture) -> tuple[Array, Array]:
        """Return means (k, q) and covariances (k, q, q) of the components in the axes."""
        return self.project(mixture.means), mixture.matrices(self.frame).project(self.axes)


def discriminant_view(mixture: Mixture, n_axes: int = 2) -> View:
    """Return the axes v that maximise v^T B v / v^T W v, the variance between components over that within.

        W = sum_k w_k Sigma_k,      B = sum_k w_k (mu_k - mu)(mu_k - mu)^T,      B v = lambda W v

    (Fisher 1936; Rao 1948; Fukunaga 1990, chapter 10). Means span k - 1 axes at most; those beyond are the ones in
    which the covariances differ most, by sum_k w_k (I - W^-1/2 Sigma_k W^-1/2)^2 (SAVE: Cook and Weisberg 1991), and
    then the widest.
    """
    frame = mixture.frame
    matrices, weights = mixture.matrices(frame), mixture.shares
    within = matrices.mean(weights)
    widths, basis = np.linalg.eigh(within)
    kept = widths > _MIN_AXIS_RATIO * widths[-1]
    basis, widths = basis[:, kept], widths[kept]
    to_white = basis / np.sqrt(widths)
    means = frame.to_z(mixture.means) @ to_white
    between = (means.T * weights) @ means
    wide = np.diag(widths / widths[-1])
    criterion = between + _TIE_TOLERANCE * _scale(between) * (
        _sum_differences(matrices, weights, to_white) + _TIE_TOLERANCE * wide
    )
    _, vectors = np.linalg.eigh(criterion)
    chosen = vectors[:, ::-1][:, :n_axes]
    return View(frame, _fix_signs(to_white @ chosen), np.einsum("iq,ij,jq->q", chosen, between, chosen))


def loadings(view: View, mixture: Mixture) -> Array:
    """Return the correlation of each feature with each axis of the view, over the rows of the mixture, (d, q).

    They are the structure coefficients of discriminant analysis: unlike its weights they mean something too if
    features are collinear. 0 for features that do not vary.
    """
    shares, z = mixture.shares, view.frame.to_z(mixture.means)
    differences = z - shares @ z
    within = mixture.matrices(view.frame)
    with_axes = within.mean(shares) @ view.axes + differences.T @ (shares[:, None] * (differences @ view.axes))
    variances = shares @ (within.diagonals + differences**2)
    of_axes = np.einsum("iq,iq->q", view.axes, with_axes)
    scale = np.sqrt(np.outer(variances, of_axes))
    found: Array = np.divide(with_axes, scale, out=np.zeros_like(with_axes), where=scale > 0)
    return np.clip(found, -1.0, 1.0)


def feature_separation(mixture: Mixture) -> Array:
    """Return for each feature the variance between components over the mean variance within them, (d,)."""
    variances = mixture.variances
    between = mixture.shares @ (mixture.means - mixture.shares @ mixture.means) ** 2
    ratio: Array = between / (mixture.shares @ variances)
    return ratio


def _scale(between: Array) -> float:
    largest = float(np.trace(between))
    return largest if largest > 0 else 1.0


def _sum_differences(matrices: Matrices, weights: Array, to_white: Array) -> Array:
    """Return sum_k w_k (I - A_k)^2 over the whitened covariances A_k, scaled to at most 1."""
    total = np.zeros((to_white.shape[1],) * 2)
    for component, weight in enumerate(weights):
        difference = np.eye(len(total)) - matrices[component : component + 1].project(to_white)[0]
        total += weight * difference @ difference
    largest = float(np.trace(total))
    return total / largest if largest > _MIN_AXIS_RATIO else np.zeros_like(total)


def _fix_signs(axes: Array) -> Array:
    """Return the axes with the sign that makes the largest part of each positive: rounding must not turn them."""
    largest = np.argmax(np.abs(axes), axis=0)
    return axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
