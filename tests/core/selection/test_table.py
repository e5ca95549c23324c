"""The table of a sweep."""

import numpy as np
import pytest

from daskgmm.core.selection.table import Row, paired_error


def row(name, *folds):
    return Row(name, "full", 2, 5, held_out_folds=folds)


def test_the_error_of_a_held_out_difference_is_that_of_the_differences_on_each_fold():
    one, other = row("full-2", -3.0, -5.0, -7.0), row("full-3", -3.1, -5.2, -7.0)
    expected = np.std([0.1, 0.2, 0.0], ddof=1) / np.sqrt(3)
    assert paired_error(one, other) == pytest.approx(expected)
    assert paired_error(one, one) is None
    assert paired_error(row("full-2"), row("full-3")) is None
