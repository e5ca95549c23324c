"""One EM iteration over 1e6 x 8, k = 8, on 2 cores: daskgmm beside scikit-learn, Spark MLlib, dask-ml's KMeans, BLAS.

Each fits twice from the same parameters, once with more iterations, its early stopping off; what is timed is the
difference, divided by the iterations that it says it has made. Spark's GaussianMixture takes no parameters to start
from: it starts from its own, and an iteration costs the same. `lloyd` is KMeans, for the scale; `BLAS` is the two bare
products of an iteration in tiles of 512 rows, which no kernel in this form can be faster than.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import dask
import dask.array as da
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnGaussianMixture
from threadpoolctl import threadpool_limits

from daskgmm import GaussianMixture
from daskgmm.core.mixture.feature_map import FeatureMap
from daskgmm.core.mixture.mixture import Mixture

from .problems import problem

try:
    from pyspark.ml.clustering import GaussianMixture as SparkGaussianMixture
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import DataFrame, SparkSession
except ImportError:  # the extra [bench]
    SparkSession = None
if shutil.which("java") is None:  # which Spark runs on
    SparkSession = None
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dask_ml.cluster import KMeans
except ImportError:  # the extra [bench]
    KMeans = None

_CORES, _TILE = 2, 512
Fit = Callable[[int], int]  # most iterations -> iterations made


def run(tiny: bool = False) -> str:
    """Return medians of an iteration, the ranges, and the ratios to daskgmm's, round by round."""
    rows, mixture = problem(8, 8, 4_000 if tiny else 1_000_000)
    few, more, rounds = (1, 3, 1) if tiny else (2, 12, 5)
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(_CORES))
        stack.enter_context(dask.config.set(scheduler="threads", num_workers=_CORES))
        fits: dict[str, Fit | None] = {
            "daskgmm": partial(_daskgmm, rows, mixture),
            "scikit-learn": partial(_scikit_learn, rows, mixture),
            "Spark MLlib": stack.enter_context(_spark(rows)) if SparkSession else None,
            "dask-ml lloyd": partial(_lloyd, da.from_array(rows, chunks=(-(-len(rows) // 16), 8)), mixture)
            if KMeans
            else None,
            "BLAS": partial(_products, rows, mixture),
        }
        seconds = _in_turn({name: fit for name, fit in fits.items() if fit}, few, more, rounds)
    return "\n".join(_line(name, seconds.get(name), seconds["daskgmm"]) for name in fits)


def _line(name: str, own: list[float] | None, ours: list[float]) -> str:
    if own is None:
        return f"{name:14s} not installed (the extra [bench]; Spark needs Java 17)"
    median = statistics.median(own)
    ratio = statistics.median(one / other for one, other in zip(own, ours, strict=True))
    line = f"{name:14s} {median * 1e3:9.1f} ms an iteration ({min(own) * 1e3:.1f} to {max(own) * 1e3:.1f})"
    return f"{line}   {name} / daskgmm: {ratio:.2f}"


def _in_turn(fits: dict[str, Fit], few: int, more: int, rounds: int) -> dict[str, list[float]]:
    """Return seconds of one iteration, round by round, after a round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in fits}
    for number in range(rounds + 1):
        for name, fit in fits.items():
            (short, n_few), (long, n_more) = _timed(fit, few), _timed(fit, more)
            if number:
                seconds[name].append((long - short) / (n_more - n_few))
    return seconds


def _timed(fit: Fit, most: int) -> tuple[float, int]:
    start = time.perf_counter()
    made = fit(most)
    return time.perf_counter() - start, made


def _start(mixture: Mixture) -> dict[str, Any]:
    return {
        "weights_init": mixture.weights,
        "means_init": mixture.means + 0.5,
        "precisions_init": np.linalg.inv(mixture.covariances),
        "tol": 0.0,
        "reg_covar": 0.0,
    }


def _daskgmm(rows: np.ndarray, mixture: Mixture, most: int) -> int:
    return _fitted(GaussianMixture(mixture.n_components, max_iter=most, **_start(mixture)), rows)


def _scikit_learn(rows: np.ndarray, mixture: Mixture, most: int) -> int:
    return _fitted(SklearnGaussianMixture(mixture.n_components, max_iter=most, **_start(mixture)), rows)


def _fitted(model: Any, rows: np.ndarray) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return int(model.fit(rows).n_iter_)


def _lloyd(rows: da.Array, mixture: Mixture, most: int) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = KMeans(mixture.n_components, init=mixture.means + 0.5, max_iter=most, tol=0.0)
        return int(model.fit(rows).n_iter_)


@contextmanager
def _spark(rows: np.ndarray) -> Iterator[Fit]:
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master(f"local[{_CORES}]").appName("peers")
    settings = {"spark.ui.enabled": "false", "spark.driver.memory": "4g", "spark.log.level": "ERROR"}
    for name, value in settings.items():
        builder = builder.config(name, value)
    with tempfile.TemporaryDirectory() as directory:
        session = builder.getOrCreate()
        try:
            yield partial(_spark_fit, _spark_rows(session, rows, Path(directory) / "rows.csv"))
        finally:
            session.stop()


def _spark_rows(session: SparkSession, rows: np.ndarray, path: Path) -> DataFrame:
    """Return the rows as vectors that are held in Spark's memory."""
    np.savetxt(path, rows, delimiter=",", fmt="%.17g")
    names = [f"x{feature}" for feature in range(rows.shape[1])]
    table = session.read.csv(str(path), schema=", ".join(f"{name} DOUBLE" for name in names))
    vectors = VectorAssembler(inputCols=names, outputCol="features").transform(table).select("features")
    vectors = vectors.repartition(_CORES).cache()
    assert vectors.count() == len(rows)
    return vectors


def _spark_fit(vectors: DataFrame, most: int) -> int:
    return int(SparkGaussianMixture(k=8, maxIter=most, tol=0.0, seed=0).fit(vectors).summary.numIter)


def _products(rows: np.ndarray, mixture: Mixture, most: int) -> int:
    """Make the two products of `most` iterations, on as many threads as there are cores."""
    n_columns = FeatureMap.FULL.n_columns(rows.shape[1])
    tiles = -(-len(rows) // _TILE // _CORES) * most

    def products() -> None:
        rng = np.random.default_rng(0)
        theta, phi = rng.random((mixture.n_components, n_columns)), rng.random((n_columns, _TILE))
        joint, sums = np.empty((len(theta), _TILE)), np.empty_like(theta)
        for _ in range(tiles):
            np.dot(theta, phi, out=joint)
            np.dot(joint, phi.T, out=sums)

    with threadpool_limits(1):
        threads = [Thread(target=products) for _ in range(_CORES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return most
