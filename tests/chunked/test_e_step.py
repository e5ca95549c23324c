"""A pass over chunked rows."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.chunked.e_step import Expectation
from daskgmm.chunked.rows import Rows
from daskgmm.core.em.loop import EMOptions, State, Trial, iterate
from daskgmm.core.em.m_step import maximize
from daskgmm.core.init.starts import in_memory
from daskgmm.core.kernels import natural_parameters as coefficients
from daskgmm.core.mixture.data_summary import summarise_rows
from daskgmm.core.mixture.mixture import Mixture
from tests import oracles

N = 40
PARAMETERS = {name: oracles.random_parameters(name, 3, 2, seed=1, spread=1.0) for name in oracles.STRUCTURES}
MIXTURES = tuple(Mixture(*parameters) for parameters in PARAMETERS.values())
ROWS = oracles.draw(PARAMETERS["full"], N)[0]
WEIGHTS = np.random.default_rng(2).uniform(0, 3, N)


def compositions(n):
    """Chunks of n rows, of any sizes."""
    return st.sets(st.integers(1, n - 1)).map(lambda inner: tuple(np.diff([0, *sorted(inner), n]).tolist()))


def assert_like_in_memory(rows, array, row_weights, kernel_mixtures=MIXTURES):
    found = summarise_rows(array, row_weights)
    chunked = Expectation(rows, found)(kernel_mixtures)
    whole = in_memory(array, row_weights)(kernel_mixtures)
    for mixture, ours, theirs in zip(kernel_mixtures, chunked, whole, strict=True):
        np.testing.assert_allclose(ours.sums, theirs.sums, rtol=1e-10, atol=1e-10 * np.abs(theirs.sums).max())
        assert ours.log_likelihood == pytest.approx(theirs.log_likelihood, rel=1e-10)
        # Entropy is the difference of two numbers of the size of the log-likelihood, and so is its error.
        assert ours.entropy == pytest.approx(theirs.entropy, rel=1e-10, abs=1e-12 * abs(theirs.log_likelihood))
        assert ours.weight_sum == pytest.approx(theirs.weight_sum, rel=1e-13)
        oracles.assert_agree(maximize(mixture, ours, found), maximize(mixture, theirs, found), 1e-10)


@pytest.mark.parametrize("kernel", ["shared", "centred"])
@pytest.mark.parametrize("weighted", [False, True])
@given(chunks=compositions(N))
def test_any_chunking_gives_the_same_answer(chunks, weighted, kernel):
    row_weights = WEIGHTS if weighted else None
    rows = Rows(
        da.from_array(ROWS, chunks=(chunks, 2)),
        None if row_weights is None else da.from_array(WEIGHTS, chunks=(chunks,)),
    )
    bound = {"shared": np.inf, "centred": -1.0}[kernel]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coefficients, "MAX_ERROR", dict.fromkeys(coefficients.MAX_ERROR, bound))
        assert_like_in_memory(rows, ROWS, row_weights)


def test_chunks_of_one_row_give_the_same_answer():
    rows = Rows(da.from_array(ROWS, chunks=(1, 2)), da.from_array(WEIGHTS, chunks=1))
    assert len(rows.block_sizes) == N
    assert_like_in_memory(rows, ROWS, WEIGHTS)


@given(first=compositions(5), second=compositions(8))
def test_any_chunking_of_a_grid_gives_the_same_answer(first, second):
    grid, row_weights = ROWS.reshape(5, 8, 2), WEIGHTS.reshape(5, 8)
    rows = Rows(da.from_array(grid, chunks=(first, second, 2)), da.from_array(row_weights, chunks=(first, second)))
    assert_like_in_memory(rows, ROWS, WEIGHTS)


def test_chunks_without_rows_do_no_harm():
    """As a boolean mask leaves them."""
    chunks = (0, 15, 0, 25, 0)
    assert_like_in_memory(Rows(da.from_array(ROWS, chunks=(chunks, 2))), ROWS, None)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_a_pass_over_chunks_equals_the_loop_over_rows(covariance_type):
    true = oracles.step(ROWS, WEIGHTS, PARAMETERS[covariance_type])
    rows = Rows(da.from_array(ROWS, chunks=(7, 2)), da.from_array(WEIGHTS, chunks=7))
    found = summarise_rows(ROWS, WEIGHTS)
    mixture = Mixture(*PARAMETERS[covariance_type])
    (statistics,) = Expectation(rows, found)((mixture,))
    assert statistics.log_likelihood == pytest.approx(true.log_likelihood, rel=1e-10)
    oracles.assert_agree(maximize(mixture, statistics, found), true.parameters, 1e-10)


def test_the_data_are_read_once_for_all_mixtures_of_a_pass():
    reads = []

    def read(block):
        if block.size:
            reads.append(len(block))
        return block

    array = da.from_array(ROWS, chunks=(10, 2)).map_blocks(read, meta=np.empty((0, 2)))
    expect = Expectation(Rows(array), summarise_rows(ROWS))
    together = expect(MIXTURES)
    assert sorted(reads) == [10] * 4
    for mixture, one in zip(MIXTURES, together, strict=True):
        np.testing.assert_array_equal(expect((mixture,))[0].sums, one.sums)


@pytest.mark.parametrize("covariance_type", oracles.STRUCTURES)
def test_the_loop_over_chunks_goes_where_the_loop_in_memory_goes(covariance_type):
    array, _ = oracles.draw(oracles.random_parameters(covariance_type, 3, 2, seed=3), 500)
    mixture = Mixture(*oracles.random_parameters(covariance_type, 3, 2, seed=4, spread=1.5))
    sample, options = in_memory(array, None), EMOptions(tol=0.0, max_iter=10)
    expect = Expectation(Rows(da.from_array(array, chunks=(77, 2))), sample.data_summary)
    state = State(sample.data_summary, (Trial(mixture),))
    ours, theirs = iterate(state, expect, options).best, iterate(state, sample, options).best
    np.testing.assert_allclose(ours.history, theirs.history, rtol=1e-12)
    oracles.assert_agree(ours.mixture, theirs.mixture, 1e-10)


def test_float32_products_are_a_choice_of_the_pass():
    rows = Rows(da.from_array(ROWS, chunks=(10, 2)))
    single, double = (Expectation(rows, summarise_rows(ROWS), dtype)(MIXTURES)[0] for dtype in (np.float32, np.float64))
    assert single.log_likelihood != double.log_likelihood
    assert single.log_likelihood == pytest.approx(double.log_likelihood, rel=1e-4)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", ">f8"])
def test_rows_of_any_type_give_what_float64_gives(dtype):
    array = np.random.default_rng(5).integers(0, 100, size=(200, 2))
    scaled = tuple(
        Mixture("full", np.array([0.5, 0.5]), means, np.array([np.eye(2) * 500] * 2))
        for means in (np.array([[20.0, 30.0], [80.0, 70.0]]),)
    )
    rows = Rows(da.from_array(array.astype(dtype), chunks=(33, 2)))
    assert_like_in_memory(rows, array.astype(float), None, scaled)
