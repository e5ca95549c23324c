"""Passes that EM still takes."""

import pytest

from daskgmm.core.em.aitken import passes_left
from daskgmm.core.em.loop import remaining_gain


@pytest.mark.parametrize("ratio", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-8])
def test_of_gains_that_shrink_by_a_constant_ratio_the_passes_are_counted_right(ratio, tol):
    history = [-1.0]
    for power in range(5):
        history.append(history[-1] + ratio**power)
    foreseen = passes_left(history[-1] - history[-2], remaining_gain(tuple(history)), tol)
    taken = 0
    while remaining_gain(tuple(history)) >= tol:
        history.append(history[-1] + ratio ** (len(history) - 1))
        taken += 1
    assert foreseen == pytest.approx(taken, abs=1)


def test_without_an_estimate_nothing_is_foreseen():
    assert passes_left(None, None, 1e-4) is None
    assert passes_left(1.0, None, 1e-4) is None
    assert passes_left(1e-3, 1e-2, 0.0) is None


def test_below_tol_no_pass_is_left():
    assert passes_left(1e-6, 1e-5, 1e-4) == 0
