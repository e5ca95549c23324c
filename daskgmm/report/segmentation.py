"""The segmented picture of an image: each pixel in the mean colour of its component."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GAP_PIXELS = 12  # pixels between the two pictures
_MAX_WIDTH = 1600  # pixels of the two side by side


def segmentation(original: NDArray[Any], labels: NDArray[np.integer], means: NDArray[np.float64]) -> Image.Image:
    """Return the original (height, width, bands) and, to its right, its labels (height, width) as mean colours.

    Pixels that are left out, whose labels are negative, are black.
    """
    colours = np.concatenate([means, np.zeros((1, means.shape[1]))])  # the last is that of what is left out: black
    means_as_pixels = np.clip(np.rint(colours), 0, np.iinfo(original.dtype).max).astype(original.dtype)
    height, width, bands = original.shape
    pair = np.full((height, 2 * width + _GAP_PIXELS, bands), np.iinfo(original.dtype).max, original.dtype)
    pair[:, :width] = original
    pair[:, width + _GAP_PIXELS :] = means_as_pixels[np.where(labels < 0, len(means), labels)]
    eight_bits = pair if original.dtype == np.uint8 else (pair >> 8).astype(np.uint8)
    image = Image.fromarray(eight_bits[..., 0] if bands == 1 else eight_bits)
    if image.width > _MAX_WIDTH:
        image = image.resize((_MAX_WIDTH, round(image.height * _MAX_WIDTH / image.width)), Image.Resampling.LANCZOS)
    return image


def write_segmentation(
    path: Path, original: NDArray[Any], labels: NDArray[np.integer], means: NDArray[np.float64]
) -> None:
    """Write the picture of `segmentation` as PNG."""
    with path.open("wb") as file:
        segmentation(original, labels, means).save(file, format="PNG")
