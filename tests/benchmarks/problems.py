"""Problems that all contestants get: rows of a known mixture, and parameters to start from."""

import numpy as np

from daskgmm.core.mixture.mixture import Mixture

SHAPES = [(2, 3), (2, 50), (8, 8), (16, 16), (32, 16), (32, 32), (32, 100), (64, 32), (128, 16)]


def problem(d: int, k: int, n: int, covariance_type: str = "full", seed: int = 0) -> tuple[np.ndarray, Mixture]:
    """Return rows (n, d) of a mixture of k overlapping Gaussians, shuffled, and the mixture."""
    rng = np.random.default_rng(seed)
    factors = np.eye(d) + 0.3 * rng.standard_normal((k, d, d)) / np.sqrt(d)
    full = Mixture("full", np.full(k, 1 / k), 2 * rng.standard_normal((k, d)), factors @ factors.transpose(0, 2, 1))
    rows, _ = full.sample(n, rng)
    covariances = {
        "full": full.covariances,
        "tied": full.covariances.mean(axis=0),
        "diag": np.diagonal(full.covariances, axis1=1, axis2=2).copy(),
        "spherical": np.diagonal(full.covariances, axis1=1, axis2=2).mean(axis=1),
    }
    return rng.permutation(rows), Mixture(covariance_type, full.weights, full.means, covariances[covariance_type])


def n_rows(d: int, k: int, tiny: bool) -> int:
    """Return how many rows make 50 MB: more than caches hold, as data do that somebody wants to fit on a cluster."""
    return 600 if tiny else min(50_000_000 // (8 * d), 2**24 // k)
