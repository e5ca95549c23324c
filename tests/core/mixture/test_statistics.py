"""Statistics merge."""

import numpy as np
import pytest

from daskgmm.core.em.e_step import expect
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.mixture.statistics import Statistics
from tests import oracles

PARAMETERS = oracles.random_parameters("full", 3, 2)


@pytest.fixture
def statistics():
    rows, _ = oracles.draw(PARAMETERS, 50)
    return expect(rows, None, (prepare(Mixture(*PARAMETERS), summarise_rows(rows)),))[0]


def fields(statistics):
    return (statistics.sums.tolist(), statistics.log_likelihood, statistics.entropy, statistics.weight_sum)


def test_zero_is_neutral(statistics):
    zero = Statistics.zero(*statistics.sums.shape, statistics.centred)
    assert fields(zero + statistics) == fields(statistics) == fields(statistics + zero)


def test_counts_sum_to_the_weight(statistics):
    assert statistics.counts.sum() == pytest.approx(statistics.weight_sum, rel=1e-13)
    assert statistics.mean_log_likelihood == statistics.log_likelihood / 50


@pytest.mark.parametrize("other", [Statistics.zero(3, 6, True), Statistics.zero(3, 3, False)])
def test_statistics_about_different_points_or_of_different_maps_do_not_add(statistics, other):
    with pytest.raises(ValueError, match="do not add"):
        statistics + other


def test_adding_leaves_the_parts_unchanged(statistics):
    before = fields(statistics)
    total = statistics + statistics
    assert fields(statistics) == before
    np.testing.assert_array_equal(total.sums, 2 * statistics.sums)
