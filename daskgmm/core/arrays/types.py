"""The types of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NO_MATRIX: Array = np.zeros((0, 0))  # in place of a d x d matrix that is not needed


def for_each(numbers: NDArray[Any], like: Array) -> NDArray[Any]:
    """Return numbers (k,) in a shape in which each meets its own of the k entries of `like`, (k, ...)."""
    return numbers.reshape(-1, *[1] * (like.ndim - 1))
