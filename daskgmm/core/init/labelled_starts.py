"""Starts with labelled rows: each component that has some begins at them, the others at rows far from them."""

from __future__ import annotations

import numpy as np

from ...blas import single_threaded
from ...errors import SingularCovarianceError
from ..arrays.types import Array
from ..em.e_step import Expectation
from ..mixture.mixture import Mixture, project
from .k_means import nearest
from .sparse_rows import sparse_rows
from .starts import NOISE_SHARES, Restart, SeedOptions, mixture_of_parts, run_em_on_sample, standardise


def restart_labelled(sample: Expectation, options: SeedOptions, seed: int) -> Restart:
    """Return the trial to which EM on the sample and the labelled rows leads from one seeded start."""
    try:
        with single_threaded():
            mixture = _start(sample, options, seed)
        return run_em_on_sample(sample, options, mixture)
    except SingularCovarianceError as error:
        return error


def _start(sample: Expectation, options: SeedOptions, seed: int) -> Mixture:
    """Return the mixture of the rows by the nearest centre."""
    rng = np.random.default_rng(seed)
    z, weights = standardise(sample)
    labels = nearest(z, _centres(sample, z, weights, rng))
    if options.noise is not None:
        labels[sparse_rows(z, weights, NOISE_SHARES[seed % 2])] = options.n_components
    return project(mixture_of_parts(sample, z, weights, labels, options, rng), options.em.floor)


def _centres(sample: Expectation, z: Array, weights: Array, rng: np.random.Generator) -> Array:
    """Return the means of labelled components, and for each other one a row, by k-means++ from these on, (k, d)."""
    labelled = sample.labelled
    assert labelled is not None, "these starts are for labelled rows"
    centres, known = sample.data_summary.frame.to_z(labelled.means), labelled.counts > 0
    distances = np.full(len(z), np.inf)
    for mean in centres[known]:
        distances = np.minimum(distances, ((z - mean) ** 2).sum(axis=1))
    for component in np.flatnonzero(~known):
        shares = weights * np.where(np.isfinite(distances), distances, 1.0)
        shares = shares if shares.sum() > 0 else weights
        centres[component] = z[rng.choice(len(z), p=shares / shares.sum())]
        distances = np.minimum(distances, ((z - centres[component]) ** 2).sum(axis=1))
    return centres
