"""The noise component: a uniform density for rows that belong to no Gaussian (Banfield and Raftery 1993)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError
from ..arrays.types import Array
from .frame import Frame

NOISE = -1  # label of a row whose most probable component is the noise
N_PARAMETERS = 2  # the weight and the hypervolume, as mclust counts them
VOLUME_AND_MISSING = (
    "noise of a given hypervolume has no density of some of the features alone, since its sides are not known: take "
    "noise true, which is uniform on the box of all rows"
)


@dataclass(frozen=True)
class Noise:
    """A component of density 1 / V at every row."""

    weight: float  # with the weights of the Gaussians it adds up to 1
    log_volume: float  # log V, in the units of the features
    box: tuple[tuple[float, ...], tuple[float, ...]] | None = None  # lowest and highest corner; None if V was given

    @classmethod
    def of_box(cls, lowest: Array, highest: Array) -> Noise:
        """Return the noise of a box with these corners (d,), whose weight is still to be chosen."""
        corners = tuple(map(float, lowest)), tuple(map(float, highest))
        return cls(0.0, float(np.log(highest - lowest).sum()), corners)

    @property
    def log_constant(self) -> float:
        """log(weight / V); -inf for a weight of 0."""
        with np.errstate(divide="ignore"):
            return float(np.log(self.weight) - self.log_volume)

    def log_density(self, rows: NDArray[np.number]) -> Array:
        """Return log(weight / V_o) of rows (n, d), V_o being the volume of the columns that are not NaN, (n,)."""
        density = np.full(len(rows), self.log_constant)
        if self.box is not None:
            lowest, highest = np.array(self.box)
            density += np.isnan(rows) @ np.log(highest - lowest)
        return density

    def take_features(self, features: Sequence[int]) -> Noise:
        """Return the noise of some features, by the sides of the box; raise ConfigurationError if these are unknown."""
        if self.box is None:
            raise ConfigurationError(VOLUME_AND_MISSING)
        lowest, highest = np.array(self.box)[:, list(features)]
        return replace(Noise.of_box(lowest, highest), weight=self.weight)

    def scale(self, frame: Frame) -> Noise:
        """Return the noise of rows in the coordinates of a frame."""
        log_volume = self.log_volume - float(np.log(frame.scale).sum())
        if self.box is None:
            return replace(self, log_volume=log_volume)
        lowest, highest = frame.to_z(np.array(self.box))
        return replace(self, log_volume=log_volume, box=(tuple(lowest.tolist()), tuple(highest.tolist())))

    def sample(self, n_samples: int, random_state: np.random.Generator) -> Array:
        """Return rows (n_samples, d) drawn from the box; raise ConfigurationError if it is not known."""
        if self.box is None:
            raise ConfigurationError(
                "rows of the noise cannot be drawn, since its hypervolume was given without a box: fit with noise=True"
            )
        lowest, highest = np.array(self.box)
        rows: Array = lowest + (highest - lowest) * random_state.random((n_samples, len(lowest)))
        return rows
