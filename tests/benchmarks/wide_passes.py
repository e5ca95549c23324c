"""Passes over many features, E-step and M-step, of low rank and full covariances: seconds of the processor."""

import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from daskgmm.core.em.e_step import Expectation
from daskgmm.core.em.m_step import maximize
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.low_rank import LowRankMatrices, low_rank_name
from daskgmm.core.mixture.mixture import Mixture

_FACTORS = 16


def run(tiny: bool = False) -> str:
    """Return the seconds for 1e5 rows, from two sizes of fewer rows: what a row adds, and what no row does."""
    d, k, sizes = (24, 3, (200, 400)) if tiny else (1024, 64, (1024, 2560))
    mixture = _mixture(d, k, 2 if tiny else _FACTORS)
    rows = np.random.default_rng(0).permutation(mixture.sample(sizes[1], np.random.default_rng(0))[0])
    full = _full(mixture)
    contestants = {
        f"low_rank, {2 if tiny else _FACTORS} factors": lambda n: _step(mixture, rows[:n]),
        "the same, products in float32": lambda n: _step(mixture, rows[:n].astype(np.float32), np.float32),
        "full": lambda n: _step(full, rows[:n]),
        "scikit-learn's full": lambda n: _peer(full, rows[:n]),
    }
    lines = [f"d = {d}, k = {k}, one thread of BLAS if OPENBLAS_NUM_THREADS=1 is set"]
    for name, step in contestants.items():
        _, few, many = (_seconds(step, n) for n in (sizes[0], *sizes))  # the first one compiles
        slope = (many - few) / (sizes[1] - sizes[0])
        lines.append(
            f"{name:32s} {slope * 100_000:9.2f} s for 1e5 rows, {max(few - slope * sizes[0], 0):.2f} s for the rest"
        )
    return "\n".join(lines)


def _mixture(d: int, k: int, q: int) -> Mixture:
    rng = np.random.default_rng(1)
    matrices = LowRankMatrices(rng.uniform(0.5, 1.5, (k, d)), rng.normal(size=(k, d, q)) / np.sqrt(q))
    return Mixture(low_rank_name(q, "own"), np.full(k, 1 / k), rng.normal(size=(k, d)), matrices.values)


def _full(mixture: Mixture) -> Mixture:
    return Mixture("full", mixture.weights, mixture.means, mixture.matrices().dense)


def _step(mixture: Mixture, rows: np.ndarray, dtype: type = np.float64) -> Callable[[], object]:
    data = summarise_rows(rows)
    expect = Expectation(rows, None, data, dtype)
    return lambda: maximize(mixture, expect((mixture,))[0], data)


def _peer(mixture: Mixture, rows: np.ndarray) -> Callable[[], object]:
    """Return scikit-learn's E-step and M-step, by the methods that its fit calls in each iteration."""
    peer = GaussianMixture(mixture.n_components, max_iter=1)
    peer.weights_, peer.means_, peer.covariances_ = mixture.weights, mixture.means, mixture.covariances
    whitening = np.linalg.inv(np.linalg.cholesky(mixture.covariances))
    peer.precisions_cholesky_ = np.swapaxes(whitening, 1, 2)
    return lambda: peer._m_step(rows, peer._e_step(rows)[1])


def _seconds(step: Callable[[int], Callable[[], object]], n: int) -> float:
    call = step(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.process_time()
        call()
    return time.process_time() - start
