"""The colour of each component: the same in every plot, told apart by colour-blind people, on light and on dark."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...core.arrays.types import Array

# Okabe and Ito (2008), Color universal design, without black and yellow; then, one after the other, that which is
# furthest from all before it and from grey, in OKLab as people without and with deuteranopia or protanopia see it.
_FIRST_COLOURS = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#861f4a", "#8ed653", "#0018fc", "#c03cfc"),
    *("#b42400", "#9cccb4", "#0048b4", "#9c4878", "#900084", "#9cb478", "#84ccf0", "#543ce4", "#9084d8", "#d81848"),
)
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
_LIGHTNESSES, _CHROMA = (0.60, 0.74, 0.52, 0.67, 0.56, 0.78, 0.63), 0.13
LEFT_OUT = "#9a9a9a"  # of rows that are left out, and of all components together


def component_colours(n_components: int) -> tuple[str, ...]:
    """Return the colour of each component as #rrggbb; that of a component does not depend on how many there are.

    The first twenty are a palette for colour-blind people. The others go round the hues of OKLCH (Ottosson 2020) by the
    golden angle, so that neighbours differ in hue, and through seven lightnesses, which all people see.
    """
    more = np.arange(max(n_components - len(_FIRST_COLOURS), 0))
    return (_FIRST_COLOURS + tuple(_hex(one) for one in _oklch(more)))[:n_components]


def component_rgb(n_components: int) -> NDArray[np.uint8]:
    """Return the colours as (k + 1, 3); the last is that of rows that are left out."""
    colours = (*component_colours(n_components), LEFT_OUT)
    return np.array([[int(one[at : at + 2], 16) for at in (1, 3, 5)] for one in colours], dtype=np.uint8)


def text_on(colour: str) -> str:
    """Return black or white, whichever has the larger contrast (WCAG 2) to the colour: 4.58 at least."""
    encoded = np.array(rgb(colour))
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    luminance = float(np.dot((0.2126, 0.7152, 0.0722), linear))
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def rgb(colour: str) -> tuple[float, float, float]:
    """Return the red, green and blue of #rrggbb, from 0 to 1."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _oklch(numbers: NDArray[np.intp]) -> Array:
    """Return linear-light colours (n, 3) of the given places in the sequence."""
    lightness = np.asarray(_LIGHTNESSES)[numbers % len(_LIGHTNESSES)]
    hue = 0.4 + numbers * _GOLDEN_ANGLE
    lab = np.stack([lightness, _CHROMA * np.cos(hue), _CHROMA * np.sin(hue)], axis=1)
    cones = (lab @ np.array(_LAB_TO_CONES).T) ** 3
    linear: Array = np.clip(cones @ np.array(_CONES_TO_RGB).T, 0, 1)
    return linear


_LAB_TO_CONES = (
    (1, 0.3963377774, 0.2158037573),
    (1, -0.1055613458, -0.0638541728),
    (1, -0.0894841775, -1.2914855480),
)
_CONES_TO_RGB = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)


def _hex(linear: Array) -> str:
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(one)):02x}" for one in encoded)
