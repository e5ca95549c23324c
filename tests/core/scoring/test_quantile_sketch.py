import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.core.scoring.quantile_sketch import Counts

FLOATS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50)


@given(FLOATS, st.floats(0, 1))
def test_the_share_below_a_quantile_is_as_near_as_any_bound_of_the_values_comes(values, share):
    """The oracle tries each value, and just above the largest; ties of a bin are one value to 5 digits."""
    array = np.array(values)
    counts = Counts.of(array)
    below = (array < counts.quantile(share)).mean()
    edges = np.concatenate([[0], np.cumsum(counts.weights)]) / len(array)
    assert abs(below - share) == pytest.approx(np.abs(edges - share).min(), abs=1e-12)


@given(FLOATS, FLOATS)
def test_counts_of_two_parts_are_the_counts_of_the_whole(first, second):
    merged = Counts.of(np.array(first)) + Counts.of(np.array(second))
    whole = Counts.of(np.array(first + second))
    np.testing.assert_array_equal(merged.bins, whole.bins)
    np.testing.assert_array_equal(merged.weights, whole.weights)


def test_a_quantile_agrees_with_numpys_to_five_digits():
    values = -20 + 10 * np.random.default_rng(0).standard_normal(200_000)
    counts = Counts.of(values)
    for share in (0.0001, 0.001, 0.01, 0.5, 0.99):
        assert counts.quantile(share) == pytest.approx(np.quantile(values, share), rel=2**-16, abs=0.02)
        assert (values < counts.quantile(share)).mean() == pytest.approx(share, abs=1e-4)


def test_weights_count_rows_and_rows_without_weight_are_none():
    values = np.array([1.0, 2.0, 3.0, np.nan])
    weighted = Counts.of(values, np.array([2.0, 1.0, 0.5, 0.0]))
    repeated = Counts.of(np.array([1.0, 1.0, 2.0, 3.0]))
    assert weighted.weights.tolist() == [2, 1, 0.5]
    assert weighted.quantile(0.6) == repeated.quantile(0.5)


def test_counts_are_few_however_many_rows_there_are():
    counts = Counts.of(np.random.default_rng(0).standard_normal(1_000_000) - 30)
    assert len(counts.bins) < 50_000
