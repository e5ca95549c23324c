"""A fit that machines fail under gives the model that it would have given, or says in one line why it stopped."""

import pytest

from .faults.faults import FAULTS
from .faults.trying import reference, tried

pytestmark = [pytest.mark.slow, pytest.mark.rotated(every=5)]


@pytest.fixture(scope="module")
def expected():
    with reference() as found:
        yield found


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_survived_with_the_same_bits_or_named_in_one_line(fault, expected, tmp_path):
    tried(fault, expected, tmp_path)
