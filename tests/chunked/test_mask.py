import numpy as np
import pytest

from daskgmm.chunked.mask import presence

ROWS = np.array([[1.0, 2.0], [np.nan, 2.0], [-9.0, np.nan], [3.0, -9.0]])


def test_without_weights_presence_is_boolean():
    valid = np.array([True, False, True, True])
    counts = presence(ROWS, None, valid)
    assert counts.dtype == bool
    np.testing.assert_array_equal(counts, valid)


@pytest.mark.parametrize(
    ("fill_value", "expected"),
    [(np.nan, [True, False, False, True]), (-9.0, [True, True, False, False]), (7.0, [True] * 4)],
)
def test_a_row_in_which_any_feature_is_the_fill_value_is_left_out(fill_value, expected):
    np.testing.assert_array_equal(presence(ROWS, None, None, [fill_value]), expected)


def test_mask_and_fill_value_and_weights_combine():
    weights = np.array([2.0, 3.0, 4.0, np.nan])
    valid = np.array([True, True, True, False])
    np.testing.assert_array_equal(presence(ROWS, weights, valid, [np.nan]), [2, 0, 0, 0])


@pytest.mark.parametrize("fill_value", [1e20, -999.9])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fill_value_is_met_in_the_precision_of_the_rows(dtype, fill_value):
    rows = np.array([[fill_value], [1.0]], dtype)
    np.testing.assert_array_equal(presence(rows, None, None, [fill_value]), [False, True])


def test_a_fill_value_of_float32_is_met_beside_columns_of_float64():
    rows = np.stack([np.array([-999.9, 1.0], np.float32).astype(float), [2.0, -999.9]], axis=1)
    np.testing.assert_array_equal(presence(rows, None, None, [-999.9]), [False, False])


def test_large_whole_fill_values_mask_no_neighbours():
    rows = np.array([[2**53], [2**53 + 1], [5]])
    np.testing.assert_array_equal(presence(rows, None, None, [2**53 + 1]), [True, False, True])


@pytest.mark.parametrize("fill_value", [-9999.0, 255.0, 3.5, np.nan])
def test_integers_are_compared_with_any_fill_value(fill_value):
    rows = np.array([[255], [3]], np.uint8)
    np.testing.assert_array_equal(presence(rows, None, None, [fill_value]), [fill_value != 255, True])


def test_rows_of_a_grid_keep_their_shape():
    grid = np.zeros((2, 3, 4))
    grid[1, 2, 3] = np.nan
    counts = presence(grid, None, None, [np.nan])
    assert counts.shape == (2, 3)
    assert not counts[1, 2]
    assert counts.sum() == 5


def test_a_row_in_which_a_feature_is_any_of_the_fill_values_is_left_out():
    rows = np.array([[1.0, np.inf], [np.nan, 2.0], [-9.0, 1.0], [3.0, -np.inf], [5.0, 6.0]])
    counts = presence(rows, None, None, [np.nan, np.inf, -np.inf, -9])
    np.testing.assert_array_equal(counts, [False, False, False, False, True])
