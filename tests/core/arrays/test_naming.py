import pickle

import numpy as np
import pytest

from daskgmm.core.arrays.naming import Naming, NotFiniteError

FILES = (("a.npy", 3), ("empty.npy", 0), ("b.npy", 5))


@pytest.mark.parametrize(
    ("place", "name"),
    [((0,), "row 0 of a.npy"), ((2,), "row 2 of a.npy"), ((3,), "row 0 of b.npy"), ((4, 7), "row (1, 7) of b.npy")],
)
def test_a_row_is_named_by_its_number_in_its_file(place, name):
    assert Naming(files=FILES).row(place) == name


def test_a_value_is_named_by_row_and_column_with_the_names_that_are_known():
    assert Naming(("x", "y"), FILES).value((4,), 1) == "row 1, column 1 (y) of b.npy"
    assert Naming().value((4,), 1) == "row 4, column 1"


@pytest.mark.parametrize(
    ("fill_values", "kinds", "advice"),
    [
        ((), ("nan",), "data.mask: nan"),
        ((), ("nan", "-inf"), "data.mask: [nan, -inf]"),
        ((np.nan,), ("inf",), "data.mask: [nan, inf]"),
        ((-np.inf, -9999), ("nan",), "data.mask: [-inf, -9999, nan]"),
    ],
)
def test_the_advised_mask_holds_what_is_set_and_what_is_met(fill_values, kinds, advice):
    assert Naming(fill_values=fill_values).advice(kinds).endswith(f": {advice}")


def test_the_advice_is_of_weights_outside_of_jobs_and_of_the_array_that_is_a_mask():
    assert "sample_weight to 0" in Naming().advice(("nan",))
    assert "the array that data.mask names" in Naming(fill_values=(), has_mask=True).advice(("nan",))


def test_an_error_that_comes_from_a_worker_is_named_again():
    error = pickle.loads(pickle.dumps(NotFiniteError((4,), 1, -np.inf)))
    assert str(error).startswith("row 4, column 1 is -inf: ")
    named = error.with_naming(Naming(("x", "y"), FILES, (np.nan,)))
    assert str(named) == (
        "row 1, column 1 (y) of b.npy is -inf: fill them, or leave those rows out: data.mask: [nan, -inf]"
    )
