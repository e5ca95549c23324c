"""Twelve hard mixtures: 2 to 32 features, 5 to 50 overlapping components, weights down to 0.2%; always the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from daskgmm.core.mixture.mixture import Mixture

_BLOCK = 65_536  # rows that are drawn at a time


@dataclass(frozen=True)
class Hard:
    """A mixture that is hard to find."""

    d: int
    k: int
    spread: float  # of the means, in mean standard deviations of the components and divided by d ** 0.25
    smallest: float  # weight of the smallest component; the others grow from there by a constant ratio
    condition: float = 10.0  # largest variance / smallest of each component
    seed: int = 0

    @property
    def name(self) -> str:
        return f"d={self.d} k={self.k} {self.smallest:.1%}"

    @property
    def mixture(self) -> Mixture:
        """The mixture that rows are drawn from."""
        rng = np.random.default_rng([self.seed, self.d, self.k])
        log_variances = rng.uniform(-0.5, 0.5, (self.k, self.d)) * np.log(self.condition)
        axes = np.linalg.qr(rng.standard_normal((self.k, self.d, self.d)))[0]
        covariances = (axes * np.exp(log_variances)[:, None, :]) @ axes.transpose(0, 2, 1)
        means = self.spread * self.d**-0.25 * rng.standard_normal((self.k, self.d))
        return Mixture("full", rng.permutation(_weights(self.k, self.smallest)), means, covariances)

    def rows(self, n: int) -> np.ndarray:
        """Return n rows (n, d) in random order."""
        return np.concatenate(list(self._blocks(n)))

    def _blocks(self, n: int) -> Iterator[np.ndarray]:
        mixture, rng = self.mixture, np.random.default_rng([self.seed, 1])
        for at in range(0, n, _BLOCK):
            yield rng.permutation(mixture.sample(min(_BLOCK, n - at), rng)[0])


def _weights(k: int, smallest: float) -> np.ndarray:
    """Return weights that grow by a constant ratio from the smallest one on."""

    def weights(log_ratio: float) -> np.ndarray:
        powers = np.exp(log_ratio * np.arange(k) / (k - 1))
        return powers / powers.sum()

    return weights(brentq(lambda log_ratio: weights(log_ratio)[0] - smallest, 0, 30))


SUITE = (
    Hard(2, 5, 1.5, 0.002),
    Hard(2, 20, 5.0, 0.005),
    Hard(2, 50, 8.0, 0.002),
    Hard(3, 10, 3.0, 0.01),
    Hard(4, 30, 3.5, 0.002),
    Hard(5, 8, 2.0, 0.02),
    Hard(8, 8, 1.2, 0.002, condition=5.0),
    Hard(8, 25, 2.0, 0.005, condition=5.0),
    Hard(12, 12, 1.5, 0.01, condition=3.0),
    Hard(16, 40, 1.6, 0.002, condition=3.0),
    Hard(24, 10, 1.2, 0.005, condition=2.0),
    Hard(32, 16, 1.2, 0.002, condition=2.0),
)


def compile_kernels(fit: Callable[[Hard, np.ndarray], object], tiny: bool) -> None:
    """Fit parts of some mixtures, so that all kernels are compiled before anything is timed.

    Few and many rows, few, more and many columns, and components far apart for their sizes take kernels of their own.
    """
    for n in (2_000,) if tiny else (2_000, 110_000):
        for hard in (SUITE[0], SUITE[6], SUITE[10], replace(SUITE[6], spread=1e7)):
            some = replace(hard, k=3, smallest=0.2)
            fit(some, some.rows(n))
