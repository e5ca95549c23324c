"""The pass of a bootstrap over chunked rows."""

import dask.array as da
import numpy as np

from daskgmm.chunked.resampling import ResampledExpectation
from daskgmm.chunked.rows import Rows
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.selection.resampling import Resampling, expect_resampled
from tests import oracles


def test_a_pass_adds_up_the_chunks_with_the_weights_of_their_own_rows_in_one_batch_or_many():
    parameters = oracles.random_parameters("full", 2, 3, seed=1, spread=1.0)
    values, _ = oracles.draw(parameters, 300)
    mixture, summary, resampling = Mixture(*parameters), summarise_rows(values), Resampling(seed=9)
    rows = Rows(da.from_array(values, chunks=(70, 3)))
    coefficients = (prepare(mixture, summary, some_rows=True),) * 3
    expected = expect_resampled(values, None, coefficients, (0, 2, 5), 0, resampling)
    at_once = ResampledExpectation(rows, summary, resampling)((mixture,) * 3, (0, 2, 5))
    one_by_one = ResampledExpectation(rows, summary, resampling, batch_bytes=1)((mixture,) * 3, (0, 2, 5))
    for found, alone, sums in zip(at_once, one_by_one, expected, strict=True):
        np.testing.assert_allclose(found.sums, sums.sums, rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(found.sums, alone.sums)
