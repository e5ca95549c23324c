"""The candidates of a sweep: what each criterion says of them."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from .canvas import INK, Drawing, figure, to_svg
from .story import Story

_CRITERIA = {
    "bic": ("BIC", "smaller is better"),
    "icl": ("ICL", "smaller is better"),
    "aic": ("AIC", "smaller is better"),
    "aicc": ("AICc", "smaller is better"),
    "heldout": ("Log-likelihood of held-out rows", "larger is better"),
}
_COLOURS = {"full": "#0072b2", "tied": "#e69f00", "diag": "#009e73", "spherical": "#cc79a7"}
_MARKERS = {"full": "o", "tied": "s", "diag": "^", "spherical": "D"}


def curves(story: Story) -> tuple[Drawing, ...]:
    """Return a figure for each criterion that the candidates have a value of."""
    drawings = (_curve(story, key, *words) for key, words in _CRITERIA.items())
    return tuple(one for one in drawings if one is not None)


def _curve(story: Story, key: str, title: str, which: str) -> Drawing | None:
    known = [one for one in story.candidates if _number(one, key) and _number(one, "n_components")]
    if len(known) < 2:
        return None
    drawn, axes = figure(400, 270)
    for kind in dict.fromkeys(str(one.get("covariance_type", "full")) for one in known):
        own = [one for one in known if str(one.get("covariance_type", "full")) == kind]
        own.sort(key=lambda one: float(one["n_components"]))
        x, y = [one["n_components"] for one in own], [one[key] for one in own]
        axes.plot(x, y, marker=_MARKERS.get(kind, "o"), markersize=5, color=_COLOURS.get(kind, INK), label=kind)
    chosen = next((one for one in known if one.get("chosen")), None)
    if chosen is not None:
        ring: dict[str, Any] = {
            "markersize": 13,
            "markerfacecolor": "none",
            "markeredgecolor": INK,
            "markeredgewidth": 1.4,
        }
        axes.plot(chosen["n_components"], chosen[key], "o", **ring)
    axes.set_xlabel("components")
    axes.set_ylabel(which)
    axes.yaxis.set_major_formatter(lambda value, place: f"{value:,.10g}".replace("-", "\N{MINUS SIGN}"))
    axes.grid(axis="y")
    axes.locator_params(axis="x", integer=True)
    axes.legend()
    best = (max if key == "heldout" else min)(known, key=lambda one: float(one[key]))
    text = (
        f"{title} of {len(known)} candidates, {which}; best with {best['n_components']} components"
        f"{' (' + str(best['covariance_type']) + ')' if 'covariance_type' in best else ''}. "
        "The ring marks what was chosen."
    )
    return Drawing(title, to_svg(drawn, f"selection-{key}", title, text), text)


def _number(candidate: Mapping[str, Any], key: str) -> bool:
    value = candidate.get(key)
    return isinstance(value, int | float) and isfinite(value)
