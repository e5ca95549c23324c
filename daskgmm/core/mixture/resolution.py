"""The resolution of columns: the step of which all values are multiples, but for an offset.

Whole numbers, rounded readings and pixels have no bounded likelihood as a density: a component can sit on one value.
They are known to the precision of their step only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array
from .mixture import Mixture

Resolution = float | Sequence[float]  # one step for all columns, or one for each; "auto" is `find_steps`

_FIRST_ROWS = 5_000  # which show that a column is continuous
_MAX_REMAINDERS = 60  # of Euclid's algorithm; each halves the step at least
_MIN_STEP_ERRORS = 100.0  # times its own error that a step must be
_THETA_TERMS = 6  # terms of theta: below 1e-15 of it from there on, at step^2 / 12
_STEP_TOLERANCE = 0.02  # of a step: how far from multiples values may be


def find_steps(rows: NDArray[np.generic]) -> Array:
    """Return the step of each column of rows (n, d), 0 where there is none that rounding does not explain.

    It is the greatest common divisor of the differences between values, by Euclid's algorithm within the error of the
    type. No step is smaller than what the type holds of the largest value.
    """
    return np.array([_step(rows[:, column]) for column in range(rows.shape[1])], dtype=np.float64)


def steps_of(resolution: Resolution, n_features: int) -> Array:
    """Return the steps (n_features,) that the user gives; raise ValueError for another number of them."""
    steps = np.asarray(resolution, dtype=np.float64)
    if steps.ndim and len(steps) != n_features:
        raise ValueError(f"resolution has {len(steps)} steps, but there are {n_features} features: give one for each")
    return np.broadcast_to(steps, (n_features,)).copy()


def _step(values: NDArray[np.generic]) -> float:
    if values.dtype.kind == "b":
        return 1.0
    if values.dtype.kind in "iu":
        return _step_of_integers(values)
    numbers = values.astype(np.float64)
    numbers = numbers[~np.isnan(numbers)]  # values are missing
    error = _spacing(values.dtype, numbers)
    if len(numbers) > 2 * _FIRST_ROWS and _common_step(np.unique(numbers[:_FIRST_ROWS]), error) == 0:
        return error
    return max(_common_step(np.unique(numbers), error), error)


def _step_of_integers(values: NDArray[np.generic]) -> float:
    distinct = np.unique(values)
    differences = distinct[1:].astype(object) - distinct[:-1].astype(object)  # Python's integers: no overflow
    return float(np.gcd.reduce(differences)) if len(differences) else 1.0


def _spacing(dtype: np.dtype[np.generic], numbers: Array) -> float:
    """Return the distance of neighbouring numbers at the largest value: of single precision where all values fit."""
    largest = float(np.abs(numbers).max(initial=0.0))
    with np.errstate(over="ignore"):
        single = dtype.itemsize <= 4 or bool((numbers.astype(np.float32) == numbers).all())
    return float(np.finfo(np.float32 if single else np.float64).eps) * largest


def _common_step(distinct: Array, error: float) -> float:
    """Return the step of the differences of sorted values, each known to `error`; 0 where there is none."""
    gaps = np.diff(distinct)
    gaps = gaps[gaps > 4 * error]
    if not len(gaps):
        return 0.0
    step, step_error = float(gaps.min()), 2 * error
    for _ in range(_MAX_REMAINDERS):
        if step < _MIN_STEP_ERRORS * step_error:
            return 0.0
        multiples = np.round(gaps / step)
        remainders, errors = np.abs(gaps - multiples * step), multiples * step_error + 2 * error
        left = remainders > np.minimum(errors, _STEP_TOLERANCE * step)
        if not left.any():
            step = float(gaps.sum() / multiples.sum())
            return step if _are_multiples(distinct, step) else 0.0
        smallest = int(np.argmin(np.where(left, remainders, np.inf)))
        step, step_error = float(remainders[smallest]), float(errors[smallest])
    return 0.0


def _are_multiples(distinct: Array, step: float) -> bool:
    ratios = (distinct - distinct[0]) / step
    return bool((np.abs(ratios - np.round(ratios)) <= _STEP_TOLERANCE).all())


def lattice_excess(mixture: Mixture, steps: Array) -> float:
    """Return by how much the mean log-density of multiples of the steps exceeds their log-probability, in nats.

    The densities of all multiples, times the step, add up to more than 1 for a component that is narrower than about
    half a step: it gains without describing the rows any better. Summed feature by feature, each given those before it,
    that is the product of theta(v) over the features, with v the variance that is left in units of step^2, and

        theta(v) = sum_m exp(-m^2 / 2 v) / sqrt(2 pi v) = 1 + 2 sum_m>0 exp(-2 pi^2 m^2 v)       (Poisson's summation)
    """
    known = steps > 0
    if not known.any():
        return 0.0
    left = mixture.structure.layout.conditional_variances(mixture.covariances, mixture.means.shape)[:, known]
    waves = np.arange(1, _THETA_TERMS + 1) ** 2 * (left / steps[known] ** 2)[:, :, None]
    theta = 1 + 2 * np.exp(-2 * np.pi**2 * waves).sum(axis=2)
    return float(mixture.weights @ np.log(theta).sum(axis=1))
