"""Kernels of a process that compiles them, and of one that loads them from the cache."""

import os
import subprocess
import sys

import pytest

# Statistics by both kernels, of dense and diagonal covariances, and a compiled run, with and without weights.
PROGRAM = """
import numpy as np
from daskgmm.core.em.loop import EMOptions
from daskgmm.core.em.short_runs import run_short
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.mixture import Mixture

for d, name in ((3, "full"), (7, "full"), (7, "diag")):
    rng = np.random.default_rng(d)
    rows, row_weights = rng.normal(size=(2000, d)), rng.uniform(0.5, 2, 2000)
    covariances = np.tile(np.eye(d), (3, 1, 1)) if name == "full" else np.ones((3, d))
    near = Mixture(name, np.ones(3) / 3, rng.normal(size=(3, d)), covariances)
    for weights in (None, row_weights):
        sample = in_memory(rows, weights)
        for shift in (0.0, 1e7):
            mixture = Mixture(name, near.weights, near.means + shift, covariances)
            print(*(one.hex() for one in sample((mixture,))[0].sums.ravel().tolist()))
        (trial,) = run_short(sample, [near], EMOptions(0, 6, None), [6])
        print(*(level.hex() for level in trial.history), *(one.hex() for one in trial.mixture.means.ravel().tolist()))
"""


@pytest.mark.slow
def test_a_process_that_compiles_computes_the_bits_of_one_that_loads_from_the_cache(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM]
    compiles, loads = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert len(compiles.splitlines()) == 18
    assert compiles == loads
