"""Two fits side by side as tables on a terminal."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table

from ...core.em.fitted_model import Model
from ...core.mixture.projection import Projection
from ...core.scoring.matching import Comparison, compare, noise_weights
from ...errors import DataError
from ...text import counted, shown
from .split_table import split_table

_CAPTION = (
    "distance: Bhattacharyya, 0 where both are equal; mean: shift in pooled standard deviations, over all features and "
    "of the one that moved most; spread: ratio of the standard deviations"
)

_HEADINGS = ("A", "B", "distance", "weight", "change", "mean", "moved most", "spread")


def comparison(first: Model, second: Model, names: tuple[str, str] = ("A", "B"), width: int = 100) -> RenderableType:
    """Return what differs between two fits for that many columns; raise DataError if they are over other features."""
    features = _features(first, second)
    result = compare(first.mixture, second.mixture)
    facts = Table(show_header=False, box=None)
    for letter, name, model in zip("AB", names, (first, second), strict=True):
        facts.add_row(letter, shown(name), _in_one_line(model))
    facts.add_row("", "weights", f"total variation {result.weight_variation:.4f}")
    return Group(facts, "", *split_table(_HEADINGS, _rows(result, first, second, features), width, n_keys=2), _CAPTION)


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


def _in_one_line(model: Model) -> str:
    mixture, summary = model.mixture, model.summary
    return (
        f"{counted(mixture.n_components, 'component')}, {mixture.covariance_type}; "
        f"log-likelihood {summary.log_likelihood:.6f} nats/row, BIC {summary.bic:,.3f}"
    )


def _rows(result: Comparison, first: Model, second: Model, features: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return a row for each pair of components, each that is left over, and the noise."""
    rows: list[tuple[str, ...]] = [
        (
            str(one.first),
            str(one.second),
            f"{one.distance:.4g}",
            f"{one.weights[0]:.4f}",
            f"{one.weights[1] - one.weights[0]:+.4f}",
            f"{one.moved:.3g}",
            f"{shown(features[one.moved_most])} {one.shift[one.moved_most]:+.3g}",
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
