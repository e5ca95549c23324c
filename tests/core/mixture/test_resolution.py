"""The resolution of columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.mixture.resolution import find_steps, lattice_excess, steps_of

RNG = np.random.default_rng(0)
N = 30_000


def step(values):
    return float(find_steps(np.asarray(values)[:, None])[0])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.round(RNG.normal(size=N) * 5), 1.0),
        (np.round(RNG.normal(size=N) * 5, 1), 0.1),
        (np.round(RNG.normal(size=N) * 5, 1).astype(np.float32), 0.1),
        (np.round(RNG.normal(size=N) * 50) / 4, 0.25),
        (RNG.integers(0, 256, N) / 255, 1 / 255),
        ((RNG.integers(0, 256, N) / 255).astype(np.float32), 1 / 255),
        (np.round(RNG.normal(size=N) * 1000) * 0.0305 + 17.3, 0.0305),
        (1e6 + np.round(RNG.normal(size=N), 2), 0.01),
        ((RNG.random(N) < 0.05) * 1.0, 1.0),
        (RNG.integers(0, 100, N) * 10, 10.0),
        (RNG.integers(0, 9, N).astype(np.uint8), 1.0),
        (np.array([-(2**62), 0, 2**62]), 2.0**62),
        (RNG.random(N) < 0.5, 1.0),
        (np.full(N, 7), 1.0),
        (np.round(RNG.normal(size=N) * 5) + 0.5 * (np.arange(N) == N - 1), 0.5),  # one row in so many is enough
    ],
)
def test_the_step_of_rounded_values_is_found(values, expected):
    assert step(values) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        RNG.normal(size=N),
        RNG.normal(size=50),
        RNG.normal(size=N).astype(np.float32),
        1e6 + RNG.random(N),
        np.where(RNG.random(N) < 0.3, 0.0, RNG.normal(size=N)),
        np.log1p(RNG.poisson(3, N)),
        np.full(N, 0.1),
        np.full(3, np.pi),
    ],
)
def test_continuous_values_have_the_step_of_their_type_alone(values):
    assert step(values) <= 2e-7 * np.abs(values).max()


@settings(max_examples=50, deadline=None)
@given(
    unit=st.sampled_from([1.0, 0.1, 0.25, 1 / 3, 1e-3, 7.0, 0.0305]),
    offset=st.floats(-1000, 1000),
    numbers=st.lists(st.integers(-500, 500), min_size=20, max_size=60, unique=True),
)
def test_the_step_of_any_multiples_is_their_greatest_common_divisor(unit, offset, numbers):
    expected = unit * np.gcd.reduce(np.diff(sorted(numbers)))
    assert step(offset + unit * np.array(numbers)) == pytest.approx(expected, rel=1e-6)


def test_steps_are_given_for_all_columns_or_one_for_each():
    np.testing.assert_array_equal(steps_of(0.5, 3), [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(steps_of([1, 0, 2], 3), [1, 0, 2])
    with pytest.raises(ValueError, match="2 steps, but there are 3 features"):
        steps_of([1, 2], 3)


@pytest.mark.parametrize("variance", [1 / 12, 0.2, 0.5, 4.0])
def test_the_excess_is_that_of_the_densities_of_all_multiples(variance):
    mixture = Mixture("spherical", np.ones(1), np.zeros((1, 1)), np.array([variance * 9]))
    lattice = 3.0 * np.arange(-60, 61)
    total = 3.0 * (np.exp(-(lattice**2) / (18 * variance)) / np.sqrt(2 * np.pi * 9 * variance)).sum()
    assert lattice_excess(mixture, np.array([3.0])) == pytest.approx(np.log(total), abs=1e-12)


def test_the_excess_of_several_columns_adds_up_and_columns_without_a_step_have_none():
    narrow = np.diag([1 / 12, 1.0, 1 / 12])
    mixture = Mixture("full", np.array([0.25, 0.75]), np.zeros((2, 3)), np.array([narrow, 100 * np.eye(3)]))
    one = lattice_excess(Mixture("diag", np.ones(1), np.zeros((1, 1)), np.array([[1 / 12]])), np.ones(1))
    assert lattice_excess(mixture, np.array([1.0, 0.0, 1.0])) == pytest.approx(0.25 * 2 * one)
    assert lattice_excess(mixture, np.zeros(3)) == 0.0
