"""What the discriminant axes are made of: their correlations with the features."""

from __future__ import annotations

import numpy as np

from ...core.scoring.discriminant import loadings as loadings_of
from ...text import harmless, shorten_apart
from .report_data import ReportData
from .svg import ACCENT, FAINT, GRID, INK, Drawing, panels, to_svg

_MAX_FEATURES = 12
_MAX_NAME_LENGTH = 22  # characters


def loadings(data: ReportData) -> Drawing | None:
    """Return the correlation of each feature with the two axes of the view; None if these are the features."""
    if data.mixture.n_features < 3:
        return None
    values = loadings_of(data.view, data.viewed)
    chosen = np.sort(np.argsort(-np.abs(values).max(axis=1), kind="stable")[:_MAX_FEATURES])
    names = shorten_apart([harmless(data.names[one]) for one in chosen], _MAX_NAME_LENGTH)
    at = np.arange(len(chosen))[::-1]
    drawn, axes = panels(400, 80 + 22 * len(chosen), values.shape[1])
    for axis, (panel, title) in enumerate(zip(axes, ("first axis", "second axis"), strict=False)):
        panel.barh(at, values[chosen, axis], 0.62, color=ACCENT)
        panel.axvline(0, color=GRID, linewidth=0.8)
        panel.set_xlim(-1.05, 1.05)
        panel.set_xticks([-1, 0, 1], ["\N{MINUS SIGN}1", "0", "1"])
        panel.set_yticks(at, names if axis == 0 else [""] * len(at))
        panel.tick_params(axis="y", length=0, labelcolor=INK)
        panel.set_title(title, color=FAINT)
        panel.set_xlabel("correlation")
        panel.spines["left"].set_visible(False)
    title = "What the axes are made of"
    most = f"the {len(chosen)} features of {len(values)} that have most to do with them"
    which = most if len(chosen) < len(values) else "each feature"
    text = f"Loadings: the correlation of {which} with the discriminant axes, over all components together."
    return Drawing(title, to_svg(drawn, "loadings", title, text), text)
