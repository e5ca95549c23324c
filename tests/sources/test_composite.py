import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskgmm.errors import DataError
from daskgmm.sources.composite import Concatenated, NonZero, Stacked
from daskgmm.sources.readable import NpyReader

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((12, 7)), RNG.integers(0, 9, (12, 7))
PARTS = [RNG.standard_normal((n, 3)) for n in (4, 1, 0, 9)]


def slices(limit):
    bound = st.none() | st.integers(-limit - 2, limit + 2)
    return st.builds(slice, bound, bound, st.none() | st.integers(1, 3))


@given(slices(12), slices(7), slices(2))
def test_any_part_of_stacked_arrays_is_that_of_the_stack(rows, columns, features):
    stacked = Stacked.of({"a": A, "b": B})
    np.testing.assert_array_equal(stacked[rows, columns, features], np.stack([A, B], -1)[rows, columns, features])


@given(slices(14), slices(3))
def test_any_part_of_concatenated_arrays_is_that_of_the_whole(rows, columns):
    whole = Concatenated.of({str(n): part for n, part in enumerate(PARTS)})
    expected = np.concatenate(PARTS)
    assert whole.shape == expected.shape
    np.testing.assert_array_equal(whole[rows, columns], expected[rows, columns])
    np.testing.assert_array_equal(whole[(rows,)], expected[rows])


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("int64", "int64"), "int64"),
        (("float32", "float32"), "float32"),
        (("uint8", "int16"), "float32"),
        (("float32", "int32"), "float64"),
        (("float32", "float64"), "float64"),
    ],
)
def test_stacked_values_keep_their_type_or_take_one_that_holds_all(dtypes, expected):
    arrays = {dtype + str(n): np.array([3], dtype) for n, dtype in enumerate(dtypes)}
    stacked = Stacked.of(arrays)
    assert stacked.dtype == expected
    assert stacked[(slice(None),)].dtype == expected


def test_stacked_shapes_that_differ_are_named():
    with pytest.raises(DataError, match=r"one shape to be stacked, but they have: a \(12, 7\), c \(7,\)"):
        Stacked.of({"a": A, "c": B[0]})


def test_stacked_text_is_refused():
    with pytest.raises(DataError, match=r"data\.arrays: name holds <U2, not numbers"):
        Stacked.of({"name": np.array(["ab"])})


def test_a_piece_of_another_width_or_kind_is_named():
    with pytest.raises(DataError, match=r"two has the shape \(2, 4\), but one has \(2, 3\): only the first axis may"):
        Concatenated.of({"one": np.zeros((2, 3)), "two": np.zeros((2, 4))})
    with pytest.raises(DataError, match="two holds int64, but one holds float64: give one kind"):
        Concatenated.of({"one": np.zeros((2, 3)), "two": np.zeros((2, 3), "int64")})


def test_a_mask_counts_numbers_that_are_not_zero():
    values = np.array([0.0, 1.0, -2.0, np.nan])
    np.testing.assert_array_equal(NonZero.of("m", values, False)[(slice(None),)], [False, True, True, False])
    np.testing.assert_array_equal(NonZero.of("m", values, True)[(slice(None),)], [True, False, False, False])


def test_composed_readers_are_pickled(tmp_path):
    np.save(tmp_path / "a.npy", A)
    reader = NpyReader.open(tmp_path / "a.npy")
    stacked, concatenated = Stacked.of({"a": reader}), Concatenated.of({"a": reader, "b": reader})
    for array in (stacked, concatenated, NonZero.of("a", reader, False)):
        part = (slice(3, 20), slice(1, 4))
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[part], array[part])
