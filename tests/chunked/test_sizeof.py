import numpy as np
from dask.sizeof import sizeof

from daskgmm.chunked.map_reduce import FAN_IN
from daskgmm.core.em.e_step import expect
from daskgmm.core.init.starts import in_memory
from daskgmm.core.kernels.natural_parameters import prepare
from daskgmm.core.mixture.data_summary import summarise_rows
from tests.benchmarks.problems import problem


def test_dask_knows_what_the_values_of_tasks_weigh():
    assert FAN_IN  # the module that has told dask is imported
    rows, mixture = problem(20, 10, 1000)
    data_summary = summarise_rows(rows)
    coefficients = (prepare(mixture, data_summary),)
    statistics = expect(rows, None, coefficients)
    assert coefficients[0].theta.nbytes <= sizeof(coefficients) < 2 * coefficients[0].theta.nbytes
    assert statistics[0].sums.nbytes <= sizeof(statistics) < statistics[0].sums.nbytes + 2000
    assert data_summary.scatter.nbytes <= sizeof(data_summary) < data_summary.scatter.nbytes + 4000
    assert rows.nbytes <= sizeof(in_memory(rows, np.ones(1000))) < 2 * rows.nbytes
