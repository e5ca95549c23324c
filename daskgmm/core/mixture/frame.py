"""The frame: the coordinates z = (x - centre) / scale in which the kernels compute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..arrays.types import Array


@dataclass(frozen=True, eq=False)
class Frame:
    """One centre and one scale for a whole data set, each (d,), in the units of the features."""

    centre: Array
    scale: Array

    @classmethod
    def from_variance(cls, centre: Array, variance: Array) -> Frame:
        """Return the frame whose scale is the standard deviation.

        A constant feature gets the mean variance of the others, so that units stay out of it, and 1 where all are.
        """
        varies = variance > 0
        other = variance[varies].mean() if varies.any() else 1.0
        return cls(centre, np.sqrt(np.where(varies, variance, other)))

    @property
    def n_features(self) -> int:
        return len(self.centre)

    @cached_property
    def unit(self) -> float:
        """Mean squared scale: the unit of an isotropic variance."""
        return float(np.mean(self.scale**2))

    @cached_property
    def isotropy_weights(self) -> Array:
        """G (d,), with sum_i g_i z_i^2 = |x - centre|^2 / unit: an isotropic form in a scaled frame."""
        return self.scale**2 / self.unit

    def to_z(self, points: Array) -> Array:
        """Return points (..., d) in the frame's coordinates."""
        return (points - self.centre) / self.scale

    def to_x(self, points: Array) -> Array:
        """Return points (..., d), given in the frame's coordinates, in the units of the features."""
        return self.centre + self.scale * points
