"""The table of the components: sizes, nearest neighbours, and means with standard deviations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.arrays.types import Array
from ...text import format_signed, harmless, shorten_apart, two_digits, with_precision
from .colours import LEFT_OUT, text_on
from .report_data import ReportData

_MAX_NAME_LENGTH = 26  # characters of a feature's name above its column; the page has the whole name as a title
_PAGE_WIDTH = 92  # characters of a row that fit on a sheet of A4
_OF_SIZES, _PER_FEATURE = 46, 3  # characters of all columns but features, and of the space between


def component_table(data: ReportData) -> dict[str, Any]:
    """Return the table that the template shows; features that do not fit next to the sizes are in tables below them."""
    features = data.shown_features
    rows = [
        *(_row(data, int(component), features) for component in data.shown_components),
        *_noise_row(data, features),
    ]
    titles = [data.model.names[feature] for feature in features]
    names = shorten_apart([harmless(name) for name in titles], _MAX_NAME_LENGTH)
    return {
        "groups": _groups(rows, names),
        "names": names,
        "titles": titles,
        "rows": rows,
        "has_entropy": bool(len(data.rows)),
        "has_labelled": bool(data.record.course.labelled),
        "has_nearest": bool(data.nearest),
        "is_reduced": data.model.projection is not None,
    }


def _groups(rows: list[dict[str, Any]], names: tuple[str, ...]) -> list[list[int]]:
    """Return the places of the features of each table, as many as fit next to each other."""
    groups: list[list[int]] = [[]]
    used = _OF_SIZES
    for at, name in enumerate(names):
        widest = max((len(text) for row in rows for text in row["values"][at]), default=0)
        width = max(widest, min(len(name), _MAX_NAME_LENGTH // 2)) + _PER_FEATURE
        if used + width > _PAGE_WIDTH and (groups[-1] or len(groups) == 1):
            groups.append([])
            used = _OF_SIZES // 4
        groups[-1].append(at)
        used += width
    return groups


def _row(data: ReportData, component: int, features: NDArray[np.intp]) -> dict[str, Any]:
    mixture = data.mixture
    weight, nearest = float(mixture.weights[component]), data.nearest.get(component)
    entropy = float(data.entropies[component]) if len(data.rows) else float("nan")
    return {
        "number": component,
        "colour": data.colours[component],
        "ink": text_on(data.colours[component]),
        "weight": f"{weight:.4f}" if weight >= 5e-5 or weight == 0 else f"{weight:.1e}",
        "percent": f"{100 * weight / max(float(mixture.all_weights.max()), 1e-300):.1f}",
        "labelled": f"{data.record.course.labelled[component]:,}" if data.record.course.labelled else None,
        "size": f"{weight * data.model.summary.weight_sum:,.0f}",
        "nearest": None if nearest is None else (nearest[0], f"{max(nearest[1], 0):.2f}", f"{np.exp(-nearest[1]):.2f}"),
        "entropy": f"{entropy:.2f}" if np.isfinite(entropy) else "–",
        "values": _values(
            data.model.marginals.means[component, features], data.feature_deviations[component, features]
        ),
    }


def _values(means: Array, deviations: Array) -> list[tuple[str, str]]:
    return [
        (format_signed(with_precision(float(mean), float(deviation))), f"± {two_digits(float(deviation))}")
        for mean, deviation in zip(means, deviations, strict=True)
    ]


def _noise_row(data: ReportData, features: NDArray[np.intp]) -> list[dict[str, Any]]:
    """Return the row of the noise, if there is any."""
    noise, mixture = data.mixture.noise, data.mixture
    if noise is None:
        return []
    row = {
        "number": "noise",
        "colour": LEFT_OUT,
        "ink": text_on(LEFT_OUT),
        "weight": f"{noise.weight:.4f}",
        "percent": f"{100 * noise.weight / float(mixture.all_weights.max()):.1f}",
        "size": f"{noise.weight * data.model.summary.weight_sum:,.0f}",
        "labelled": None,
        "nearest": None,
        "entropy": "–",
        "values": [("–", "")] * len(features),
    }
    return [row]
