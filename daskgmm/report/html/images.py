"""The pictures of a report: an image next to its segmentation, and labels in the colours of their components."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from .colours import component_rgb, text_on
from .report_data import ReportData

_MAX_WIDTH = 1200  # pixels of an image next to its segmentation
_MAX_LEGEND = 60  # components of a legend
_MIN_WIDTH = 320  # pixels that a small map is enlarged to


@dataclass(frozen=True)
class Picture:
    """A picture on the page."""

    source: str  # data: URL
    width: int
    height: int
    text: str  # for people who do not see it; the caption too
    legend: tuple[tuple[str, str, str], ...] = ()  # what each colour is: its name, the colour, and what is read on it
    more: str = ""  # what the legend leaves out


def pictures(data: ReportData) -> tuple[Picture, ...]:
    """Return the pictures of the report data, if any."""
    made = []
    if data.picture is not None:
        made.append(_segmentation(data, data.picture))
    if data.labels is not None:
        made.append(_map(data))
    return tuple(made)


def _segmentation(data: ReportData, png: bytes) -> Picture:
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    image.thumbnail((_MAX_WIDTH, _MAX_WIDTH))
    text = "Left: the image. Right: the same pixels, each in the mean colour of its component."
    picture = _picture(image, "JPEG", text, quality=85, optimize=True)
    return _with_legend(picture, data, _mean_colours(data))


def _map(data: ReportData) -> Picture:
    assert data.labels is not None
    colours = component_rgb(data.mixture.n_components)
    left_out = len(colours) - 1
    image = Image.fromarray(colours[np.where(np.asarray(data.labels) < 0, left_out, data.labels)])
    if max(image.size) < _MIN_WIDTH:
        times = -(-_MIN_WIDTH // max(image.size))
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    of = f", of {data.labels_of}" if data.labels_of else ""
    text = f"The labels{of}, in the colours of the components that all plots share."
    if (np.asarray(data.labels) < 0).any():
        text += " Grey cells are left out."
    small = image.quantize(256) if data.mixture.n_components < 256 else image
    return _with_legend(_picture(small, "PNG", text, optimize=True), data, data.colours)


def _mean_colours(data: ReportData) -> tuple[str, ...]:
    """Return the mean colour of each component as #rrggbb, as the segmentation has it; none if bands are not 1 or 3."""
    means = data.model.marginals.means
    bands = means.shape[1]
    if bands not in (1, 3):
        return ()
    bits = 8 * np.dtype(data.record.beginning.dtype).itemsize
    levels = np.clip(np.rint(means), 0, 2**bits - 1).astype(np.int64) >> (bits - 8)
    return tuple("#" + "".join(f"{level:02x}" for level in row) for row in np.broadcast_to(levels, (len(levels), 3)))


def _with_legend(picture: Picture, data: ReportData, colours: tuple[str, ...]) -> Picture:
    """Return the picture with the colours of its components, the heaviest first."""
    if not colours:
        return picture
    listed = data.filled[:_MAX_LEGEND]
    legend = tuple((str(one), colours[one], text_on(colours[one])) for one in listed)
    left = len(data.filled) - len(listed)
    return replace(picture, legend=legend, more=f"and {left} lighter components" if left else "")


def _picture(image: Image.Image, format: str, text: str, **options: object) -> Picture:  # noqa: A002 # as Pillow has it
    out = io.BytesIO()
    image.save(out, format=format, **options)
    source = f"data:image/{format.lower()};base64,{b64encode(out.getvalue()).decode()}"
    return Picture(source, image.width, image.height, text)
