"""The sufficient statistics of rows under a mixture; what a pass returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays.types import Array


@dataclass(frozen=True, eq=False)
class Statistics:
    """Sums over rows; they merge by `+` and are never n x k.

    With the shared centre the sums are about the frame's centre, with own centres (`centred`) about each mean.
    """

    sums: Array  # T (k, F), sum_n r_nk phi(z_n)
    log_likelihood: float  # sum_n weight_n log p(x_n)
    entropy: float  # -sum_n weight_n sum_k r_nk log r_nk
    weight_sum: float  # sum_n weight_n
    centred: bool

    def __add__(self, other: Statistics) -> Statistics:
        if self.centred != other.centred or self.sums.shape != other.sums.shape:
            raise ValueError(f"statistics of two different passes do not add: {self.sums.shape} and {other.sums.shape}")
        return Statistics(
            self.sums + other.sums,
            self.log_likelihood + other.log_likelihood,
            self.entropy + other.entropy,
            self.weight_sum + other.weight_sum,
            self.centred,
        )

    def scale(self, factor: float) -> Statistics:
        """Return the statistics of rows of `factor` times the weights."""
        if factor == 1:
            return self
        return Statistics(
            factor * self.sums,
            factor * self.log_likelihood,
            factor * self.entropy,
            factor * self.weight_sum,
            self.centred,
        )

    @property
    def counts(self) -> Array:
        """N_k = sum_n r_nk, (k,)."""
        return self.sums[:, 0]

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit of row weight, in nats."""
        return self.log_likelihood / self.weight_sum

    @classmethod
    def zero(cls, k: int, n_columns: int, centred: bool) -> Statistics:
        """Return the statistics of no rows."""
        return cls(np.zeros((k, n_columns)), 0.0, 0.0, 0.0, centred)
