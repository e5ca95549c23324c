"""Components of two fits matched, as texts that a terminal and a page show alike."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ..core.em.fitted_model import Model
from ..core.mixture.projection import Projection
from ..core.scoring.matching import Comparison, compare, noise_weights
from ..errors import DataError

HEADINGS = ("A", "B", "distance", "weight", "change", "mean", "moved most", "spread")
CAPTION = (
    "distance: Bhattacharyya, 0 where both are equal; mean: shift in pooled standard deviations, over all features and "
    "of the one that moved most; spread: ratio of the standard deviations"
)

_ROUNDING = 5e-5  # distances and shifts below are rounding: they read as 0


def match_components(first: Model, second: Model) -> tuple[float, list[tuple[str, ...]]]:
    """Return the total variation of the weights, and a row under HEADINGS for each pair of components.

    Components that are left over and the noise have rows of their own. Raises DataError if the fits are over other
    features.
    """
    features = _features(first, second)
    result = compare(first.mixture, second.mixture)
    return result.weight_variation, _rows(result, first, second, features)


def _features(first: Model, second: Model) -> tuple[str, ...]:
    """Return the names of the features that both fits are over."""
    if (first.projection or second.projection) and not _same_projection(first.projection, second.projection):
        raise DataError("the fits cannot be compared: their mixtures are of other principal components")
    sizes = first.n_features, second.n_features
    if sizes[0] != sizes[1]:
        raise DataError(f"the fits cannot be compared: one is over {sizes[0]} features, the other over {sizes[1]}")
    names, others = first.feature_names, second.feature_names
    for at, (one, other) in enumerate(zip(names or (), others or (), strict=False)):  # either may have none
        if one != other:
            raise DataError(f"the fits cannot be compared: feature {at} is {one!r} in one and {other!r} in the other")
    if first.projection is not None:
        return first.mixture_names
    return names or others or first.names


def _same_projection(one: Projection | None, other: Projection | None) -> bool:
    if one is None or other is None:
        return False
    return all(np.array_equal(getattr(one, each.name), getattr(other, each.name)) for each in fields(Projection))


def _rows(result: Comparison, first: Model, second: Model, features: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return a row for each pair of components, each that is left over, and the noise."""
    rows: list[tuple[str, ...]] = [
        (
            str(one.first),
            str(one.second),
            _short(one.distance, 4),
            f"{one.weights[0]:.4f}",
            f"{one.weights[1] - one.weights[0]:+.4f}",
            _short(one.moved, 3),
            f"{features[one.moved_most]} {one.shift[one.moved_most]:+.3g}" if one.moved >= _ROUNDING else "",
            f"x {one.spread_ratio:.3g}",
        )
        for one in result.matches
    ]
    for component in result.only_first:
        weight = first.mixture.weights[component]
        rows.append((str(component), "-", "", f"{weight:.4f}", f"{-weight:+.4f}", "", "", ""))
    for component in result.only_second:
        weight = second.mixture.weights[component]
        rows.append(("-", str(component), "", "0.0000", f"{weight:+.4f}", "", "", ""))
    noise = ["-" if one.mixture.noise is None else "noise" for one in (first, second)]
    if "noise" in noise:
        before, after = noise_weights(first.mixture, second.mixture)
        rows.append((*noise, "", f"{before:.4f}", f"{after - before:+.4f}", "", "", ""))
    return rows


def _short(value: float, digits: int) -> str:
    return "0" if value < _ROUNDING else f"{value:.{digits}g}"
