"""The table of criteria."""

from dataclasses import fields

import pytest

from daskgmm.core.selection.criterion import CRITERIA
from daskgmm.core.selection.table import Row


@pytest.mark.parametrize("kind", CRITERIA.values(), ids=CRITERIA)
def test_the_values_of_a_criterion_are_a_column_of_the_table_and_of_two_the_better_one_has_the_smaller_loss(kind):
    assert kind.column in {field.name for field in fields(Row)}
    better, worse = (2.0, 1.0) if kind.larger_is_better else (1.0, 2.0)
    assert kind.loss(better) < kind.loss(worse)
    assert ("larger" if kind.larger_is_better else "smaller") in kind.direction
