"""How features go together within each component."""

from __future__ import annotations

import numpy as np

from ...core.arrays.types import Array
from ...text import harmless, shorten_apart
from .colours import rgb
from .report_data import ReportData
from .svg import INK, Drawing, figure, to_svg

MAX_COMPONENTS, MAX_FEATURES = 6, 8
_MAX_NAME_LENGTH = 12  # characters
_POSITIVE, _NEGATIVE = "#0072b2", "#d55e00"
_ZERO_CORRELATION = 5e-3  # correlations that are 0 to two digits


def correlations(data: ReportData) -> tuple[Drawing, ...]:
    """Return the correlations within each of the heaviest components, or of all if they share them; none of none."""
    features = [int(one) for one in np.sort(data.separating[:MAX_FEATURES])]
    if len(features) < 2:
        return ()
    components = data.filled[:MAX_COMPONENTS]
    values = correlations_of(data, features)[components]
    if (np.abs(values - np.eye(len(features))) < _ZERO_CORRELATION).all():
        return ()
    names = shorten_apart([harmless(data.names[one]) for one in features], _MAX_NAME_LENGTH)
    if len(components) > 1 and np.allclose(values, values[0], atol=1e-9):
        return (_matrix(values[0], names, "all components", "correlations-all"),)
    return tuple(
        _matrix(one, names, f"component {component}", f"correlations-{component}")
        for component, one in zip(components, values, strict=True)
    )


def correlations_of(data: ReportData, features: list[int]) -> Array:
    """Return the correlations of some features within each component, (k, f, f)."""
    covariances = data.mixture.matrices().take_features(features).dense
    deviations = np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), 1e-300))
    found: Array = covariances / (deviations[:, :, None] * deviations[:, None, :])
    return found


def _matrix(values: Array, names: tuple[str, ...], which: str, key: str) -> Drawing:
    size = len(values)
    drawn, axes = figure(260, 240)
    shades = np.empty((size, size, 4))
    shades[..., :3] = np.where(values[..., None] > 0, rgb(_POSITIVE), rgb(_NEGATIVE))
    shades[..., 3] = np.where(np.eye(size, dtype=bool), 0.0, 0.75 * np.clip(np.abs(values), 0, 1))
    axes.imshow(shades, interpolation="nearest")
    for row, column in np.argwhere(~np.eye(size, dtype=bool)):
        text = f"{values[row, column]:.2f}".replace("0.", ".").replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", fontsize=10 if size < 7 else 8, color=INK)
    axes.set_xticks(range(size), names, rotation=90, fontsize=9)
    axes.set_yticks(range(size), names, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    title = f"Correlations, {which}"
    text = f"Correlation of each pair of features within {which}."
    return Drawing(title, to_svg(drawn, key, title, text), text)
