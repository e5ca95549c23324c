"""Simulated embeddings of 256 features, and the same of unit norm, beside scikit-learn's PCA + GaussianMixture.

Both fit 20 full covariances to 50 principal components of the scaled columns: the same projection, so that densities
compare. Judged are rows that neither has seen. Kernels are compiled before. For another number of rows than 1e6:
python -m tests.benchmarks.embeddings --rows 100000
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Peer
from sklearn.pipeline import make_pipeline

from daskgmm import GaussianMixture

from .timing import time_call

_ROWS, _UNSEEN = 1_000_000, 20_000
_ROWS_PER_DRAW = 10_000  # rows that are drawn at once
_APART, _WITHIN, _NOISE = 0.35, 0.5, 0.05  # standard deviations: of centres, of rows about them, of each feature


@dataclass(frozen=True)
class Shape:
    """How the embeddings are drawn: k groups in `n_factors` of d dimensions; and what is fitted."""

    k: int = 20
    d: int = 256
    n_factors: int = 32
    n_axes: int = 50  # principal components


def run(tiny: bool = False, n_rows: int = _ROWS) -> str:
    """Return a line for each kind of rows and each fit."""
    shape = Shape(3, 24, 4, 6) if tiny else Shape()
    n, n_unseen = (600, 100) if tiny else (n_rows, min(_UNSEEN, n_rows // 5))
    GaussianMixture(shape.k, reduce={"features": shape.n_axes}, max_iter=2).fit(_draw(2000, shape)[0])
    lines = [f"{n:,} x {shape.d} float32, k = {shape.k}, {shape.n_axes} principal components"]
    lines.append("| rows | fit | s of processor | s | passes | nats a row, unseen | adjusted Rand index |")
    for name in ("embedding", "unit norm"):
        rows, groups = _draw(n + n_unseen, shape)
        if name == "unit norm":
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        lines += [f"| {name} | {line} |" for line in _compare(rows, groups, n, shape)]
    return "\n".join(lines)


def _compare(rows: np.ndarray, groups: np.ndarray, n: int, shape: Shape) -> Iterator[str]:
    """Yield the line of each fit of the first n rows: what it took, and how good it is on the others."""
    own = GaussianMixture(shape.k, reduce={"features": shape.n_axes}, random_state=0)
    taken = _time(lambda: own.fit(rows[:n]))
    yield f"daskgmm | {taken} | {own.n_iter_} | {_judge(own, rows[n:], groups[n:])}"
    scale = own.projection_.scale.astype(np.float32)
    rows /= scale
    mixture = Peer(shape.k, random_state=0)
    peer = make_pipeline(PCA(shape.n_axes, random_state=0), mixture)
    taken = _time(lambda: peer.fit(rows[:n]))
    yield f"scikit-learn | {taken} | {mixture.n_iter_} | {_judge(peer, rows[n:], groups[n:])}"


def _time(call: Callable[[], object]) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        took, _ = time_call(call)
    return f"{took.processor:.1f} | {took.seconds:.1f}"


def _judge(model: BaseEstimator, rows: np.ndarray, groups: np.ndarray) -> str:
    agreement = adjusted_rand_score(groups, model.predict(rows))
    return f"{np.mean(model.score_samples(rows)):.4f} | {agreement:.4f}"


def _draw(n: int, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (n, d) of float32 in groups of own covariances, and the group of each."""
    rng = np.random.default_rng(0)
    k, q = shape.k, shape.n_factors
    groups = rng.choice(k, n, p=rng.dirichlet(np.full(k, 5.0)))
    centres = _APART * rng.standard_normal((k, q))
    factors = _WITHIN * (np.eye(q) + 0.6 * rng.standard_normal((k, q, q)) / np.sqrt(q))
    turn = np.linalg.qr(rng.standard_normal((shape.d, q)))[0].T
    rows = np.empty((n, shape.d), np.float32)
    for at in range(0, n, _ROWS_PER_DRAW):
        part = groups[at : at + _ROWS_PER_DRAW]
        points = np.matmul(rng.standard_normal((len(part), 1, q)), factors[part])[:, 0] + centres[part]
        rows[at : at + _ROWS_PER_DRAW] = points @ turn + _NOISE * rng.standard_normal((len(part), shape.d))
    return rows, groups


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.embeddings", description=__doc__)
    parser.add_argument("--rows", type=int, default=_ROWS, help="how many are fitted")
    print(run(n_rows=parser.parse_args().rows))
