"""The pictures of a report: an image beside its segmentation, and labels in the colours of their components."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from .colours import component_rgb, text_on
from .report_data import Story

_WIDEST = 1200  # pixels of an image beside its segmentation
_MOST_NAMED = 60  # components of a legend
_LEAST = 320  # pixels that a small map is enlarged to


@dataclass(frozen=True)
class Picture:
    """A picture on the page."""

    source: str  # data: URL
    width: int
    height: int
    text: str  # for people who do not see it; the caption too
    legend: tuple[tuple[str, str, str], ...] = ()  # what each colour is: its name, the colour, and what is read on it
    more: str = ""  # what the legend leaves out


def pictures(story: Story) -> tuple[Picture, ...]:
    """Return the pictures that the story has, if any."""
    made = []
    if story.picture is not None:
        made.append(_segmentation(story, story.picture))
    if story.labels is not None:
        made.append(_map(story))
    return tuple(made)


def _segmentation(story: Story, png: bytes) -> Picture:
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    image.thumbnail((_WIDEST, _WIDEST))
    text = "Left: the image. Right: the same pixels, each in the mean colour of its component."
    picture = _picture(image, "JPEG", text, quality=85, optimize=True)
    return _with_legend(picture, story, _mean_colours(story))


def _map(story: Story) -> Picture:
    assert story.labels is not None
    colours = component_rgb(story.mixture.n_components)
    left_out = len(colours) - 1
    image = Image.fromarray(colours[np.where(np.asarray(story.labels) < 0, left_out, story.labels)])
    if max(image.size) < _LEAST:
        times = -(-_LEAST // max(image.size))
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    of = f", of {story.labels_of}" if story.labels_of else ""
    text = f"The labels{of}, in the colours of the components that all plots share."
    if (np.asarray(story.labels) < 0).any():
        text += " Grey cells are left out."
    small = image.quantize(256) if story.mixture.n_components < 256 else image
    return _with_legend(_picture(small, "PNG", text, optimize=True), story, story.colours)


def _mean_colours(story: Story) -> tuple[str, ...]:
    """Return the mean colour of each component as #rrggbb, as the segmentation has it; none if bands are not 1 or 3."""
    means = story.model.marginals.means
    bands = means.shape[1]
    if bands not in (1, 3):
        return ()
    bits = 8 * np.dtype(story.record.beginning.dtype).itemsize
    levels = np.clip(np.rint(means), 0, 2**bits - 1).astype(np.int64) >> (bits - 8)
    return tuple("#" + "".join(f"{level:02x}" for level in row) for row in np.broadcast_to(levels, (len(levels), 3)))


def _with_legend(picture: Picture, story: Story, colours: tuple[str, ...]) -> Picture:
    """Return the picture with the colours of its components, the heaviest first."""
    if not colours:
        return picture
    listed = story.filled[:_MOST_NAMED]
    legend = tuple((str(one), colours[one], text_on(colours[one])) for one in listed)
    left = len(story.filled) - len(listed)
    return replace(picture, legend=legend, more=f"and {left} lighter components" if left else "")


def _picture(image: Image.Image, format: str, text: str, **options: object) -> Picture:  # noqa: A002 # as Pillow has it
    out = io.BytesIO()
    image.save(out, format=format, **options)
    source = f"data:image/{format.lower()};base64,{b64encode(out.getvalue()).decode()}"
    return Picture(source, image.width, image.height, text)
