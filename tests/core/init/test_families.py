"""Moves of components whose covariances have something in common."""

import numpy as np
import pytest

from daskgmm.core.em.loop import EMOptions, Trial
from daskgmm.core.init.exchanges import split_again
from daskgmm.core.init.split_merge import split_merge
from daskgmm.core.init.starts import SeedOptions, in_memory, run_em_on_sample, start
from daskgmm.core.mixture.covariance import FAMILIES, STRUCTURES
from daskgmm.core.mixture.floor import DEFAULT_REG_COVAR, Floor
from daskgmm.core.mixture.mixture import project


def overlapping(n=400):
    """Rows of four groups on a square, two of which overlap."""
    rng = np.random.default_rng(0)
    places = np.array([[0.0, 0.0], [1.2, 0.0], [8.0, 0.0], [8.0, 7.0]])
    return rng.normal(size=(n, 2)) + places[rng.integers(4, size=n)]


@pytest.mark.parametrize("name", FAMILIES)
def test_moves_never_lower_the_objective_and_stay_in_the_family(name):
    sample = in_memory(overlapping(), None)
    floor = Floor.of(sample.data_summary, DEFAULT_REG_COVAR)
    em = EMOptions(1e-3, 40, floor, accelerate=True)
    options = SeedOptions(3, name, "random_from_data", in_parts=False, em=em)
    before = run_em_on_sample(sample, options, start(sample, options, 4))
    after = split_merge(sample, options, [before.mixture])[0]
    assert isinstance(after, Trial)
    assert after.history[-1] >= before.history[-1] - 1e-9
    np.testing.assert_allclose(project(after.mixture).covariances, after.mixture.covariances, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", FAMILIES)
def test_pairs_that_are_split_again_have_covariances_of_their_own_number(name):
    sample = in_memory(overlapping(), None)
    mixture = start(sample, SeedOptions(4, name), 0)
    for _, exchange in split_again(sample, mixture, None, 3):
        shape, ours = STRUCTURES[name].layout.shape(2, 2), mixture.take(exchange.components)
        assert ours.covariances.shape == exchange.replacement.covariances.shape == shape
        if STRUCTURES[name].shared:
            np.testing.assert_array_equal(ours.covariances, exchange.replacement.covariances)
