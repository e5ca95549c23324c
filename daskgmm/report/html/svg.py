"""Drawing: matplotlib figures as SVG that takes its ink and its font from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID, ACCENT = "#010203", "#010204", "#010205", "#010206"  # stand-ins for what the page's style says
_VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)", GRID: "var(--grid)", ACCENT: "var(--accent)"}
_DPI = 72  # a unit of the SVG is then a point of the figure
_IMAGE_DPI = 144  # of images within the SVG
_STYLE = {
    "svg.fonttype": "none",  # texts stay texts
    "svg.hashsalt": "daskgmm",  # the same data give the same bytes
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.unicode_minus": True,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "text.color": INK,
    "text.parse_math": False,  # a $ in the name of a feature is no formula
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.solid_joinstyle": "round",
    "path.simplify_threshold": 0.3,
    "figure.facecolor": "none",
    "figure.edgecolor": "none",
    "axes.facecolor": "none",
    "figure.dpi": _DPI,
    "legend.frameon": False,
    "legend.fontsize": 11.5,
    "legend.labelcolor": FAINT,
}


@dataclass(frozen=True)
class Drawing:
    """A figure on the page."""

    title: str
    svg: str
    caption: str


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of the report, whatever the user's own style of matplotlib is."""
    from matplotlib import rc_context, rcParamsDefault  # slow to import, and for reports only

    looks: Any = {name: value for name, value in rcParamsDefault.items() if name != "backend"} | _STYLE
    with rc_context(looks):
        yield


def figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of width x height units with one pair of axes; nothing of it is global."""
    made, (axes,) = panels(width, height, 1)
    return made, axes


def panels(width: float, height: float, n_panels: int) -> tuple[Figure, tuple[Axes, ...]]:
    """Return a figure with several pairs of axes side by side."""
    from matplotlib.figure import Figure  # as above

    made = Figure(figsize=(width / _DPI, height / _DPI), layout="constrained")
    return made, tuple(made.subplots(1, n_panels, squeeze=False)[0])


def grid(width: float, height: float, size: int) -> tuple[Figure, Any]:
    """Return a figure with size x size pairs of axes, an array."""
    from matplotlib.figure import Figure  # as above

    made = Figure(figsize=(width / _DPI, height / _DPI), layout="constrained")
    return made, made.subplots(size, size, squeeze=False)


def legend_above(drawn: Figure, axes: Axes) -> None:
    """Write the legend of the axes above the figure, in as many columns as its width takes: it hides no curve."""
    handles, labels = axes.get_legend_handles_labels()
    longest = max(map(len, labels), default=1)
    columns = max(int(drawn.get_figwidth() * _DPI / (7 * longest + 46)), 1)
    drawn.legend(handles, labels, loc="outside upper left", ncols=min(columns, len(labels)), columnspacing=1.2)


# Of the texts in a drawing, so that no name of a feature reads as an attribute: not here, where these are replaced.
_NO_ATTRIBUTES = str.maketrans({'"': "&quot;", "'": "&#x27;", "#": "&#x23;"})


def to_svg(drawn: Figure, name: str, title: str, description: str) -> str:
    """Return the figure as an <svg> element that is named to people who do not see it, with ids of its own."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # as above

    out = io.StringIO()
    drawn.set_dpi(_IMAGE_DPI)
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    # savefig would draw, and lay out, a second time
    FigureCanvasSVG(drawn).print_svg(out, metadata=no_metadata)  # type: ignore[no-untyped-call]
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</defs>", "", text, count=1, flags=re.DOTALL)  # it would rule the whole page
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r">[^<]+<", lambda found: found.group().translate(_NO_ATTRIBUTES), text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", text)
    text = re.sub(r"font-family: [^;\"]+;?|font: (\S+) [^;\"]+", _font, text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    head, body = text.split(">", 1)
    view = re.search(r'viewBox="[^"]+"', head)
    assert view is not None, "matplotlib writes the size of its figure"
    label = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    opening = (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" {view.group()} '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return f"{opening}{label}{body}"


def _font(found: re.Match[str]) -> str:
    return f"font-size: {found.group(1)}" if found.group(1) else ""
