"""The outline of a Gaussian of two features, for figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays.types import Array

_CIRCLE = np.linspace(0, 2 * np.pi, 73)


def ellipse(mean: Array, covariance: Array, n_deviations: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the x and y of the ellipse of that many standard deviations."""
    values, vectors = np.linalg.eigh(covariance)
    scaled = vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * np.array([np.cos(_CIRCLE), np.sin(_CIRCLE)]))
    x, y = mean[:, None] + n_deviations * scaled
    return x, y
