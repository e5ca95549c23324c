"""Stacks: mixtures over one feature map whose products with a tile are one, so that phi is built once for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..arrays.types import Array
from ..mixture.statistics import Statistics
from .missing import pattern
from .natural_parameters import Coefficients, FeatureMapParams, expect_together

MAX_COMPONENTS = 256  # of a stack: its joint log-probabilities of a tile stay in the cache of a core

Stack = tuple[int, ...]  # numbers of the mixtures


def batch_by_map(coefficients: Sequence[Coefficients]) -> list[Stack]:
    """Return which mixtures go together: those over one feature map in one precision, up to MAX_COMPONENTS.

    A mixture with own centres or of low rank goes alone. The stacks depend on the mixtures alone, so the same pass
    gives the same bits wherever it runs.
    """
    stacks: dict[object, list[list[int]]] = {}
    for number, one in enumerate(coefficients):
        key = (one.feature_map, one.theta.dtype) if isinstance(one, FeatureMapParams) else number
        groups = stacks.setdefault(key, [[]])
        if groups[-1] and _n_components(coefficients, [*groups[-1], number]) > MAX_COMPONENTS:
            groups.append([])
        groups[-1].append(number)
    return [tuple(group) for groups in stacks.values() for group in groups]


def expect_stacked(
    coefficients: Sequence[Coefficients],
    stacks: Sequence[Stack],
    rows: NDArray[np.floating],
    row_weights: Array | None,
) -> tuple[Statistics, ...]:
    """Return the statistics of a block of rows, one for each of the mixtures."""
    found: dict[int, Statistics] = {}
    for stack in stacks:
        members = [coefficients[number] for number in stack]
        shared = [one for one in members if isinstance(one, FeatureMapParams)]
        done = expect_together(shared, rows, row_weights) if shared else (members[0].expect(rows, row_weights),)
        found.update(zip(stack, done, strict=True))
    return tuple(found[number] for number in range(len(coefficients)))


def expect_with_gaps(
    coefficients: Sequence[Coefficients],
    stacks: Sequence[Stack],
    rows: NDArray[np.floating],
    row_weights: Array | None,
) -> tuple[Statistics, ...]:
    """Return the statistics of a block of rows in which values may be missing; without gaps those of `expect_stacked`.

    A row without any value says nothing: it counts in the sum of the weights, and has the log-density 0.
    """
    found = pattern(rows, row_weights)
    if found is None:
        return expect_stacked(coefficients, stacks, rows, row_weights)
    weights = None if row_weights is None else row_weights[found.complete]
    complete = expect_stacked(coefficients, stacks, np.take(rows, found.complete, axis=0), weights)
    weight_of_empty = float(len(found.empty) if row_weights is None else row_weights[found.empty].sum())
    together = (a + one.expect_missing(rows, row_weights, found) for a, one in zip(complete, coefficients, strict=True))
    return tuple(replace(one, weight_sum=one.weight_sum + weight_of_empty) for one in together)


def _n_components(coefficients: Sequence[Coefficients], numbers: Sequence[int]) -> int:
    members = (coefficients[number] for number in numbers)
    return sum(len(one.theta) for one in members if isinstance(one, FeatureMapParams))
