"""OME-Zarr: the names of the axes of a microscope's image, and its levels of resolution, as the group says them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Multiscale:
    """An image at several resolutions."""

    dims: tuple[str, ...]  # names of the axes of each level
    channel: str | None  # the axis of the channels, None where there is none
    levels: tuple[str, ...]  # arrays of the group, the finest first

    def rows(self) -> dict[str, Any]:
        """Return the options that name the finest level: channels are features, or else each value is a row."""
        if self.channel is None:
            return {"arrays": self.levels[:1]}
        return {"array": self.levels[0], "feature_axis": self.channel}


def multiscale_of(attributes: Mapping[str, Any]) -> Multiscale | None:
    """Return the image that a group's attributes describe; None if it is not an OME-Zarr image with axes."""
    found = attributes.get("ome", attributes)
    images = found.get("multiscales") if isinstance(found, Mapping) else None
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], Mapping):
        return None
    axes, datasets = images[0].get("axes"), images[0].get("datasets")
    if not axes or not datasets:
        return None
    described = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
    channels = [str(axis["name"]) for axis in described if axis.get("type") == "channel" or axis["name"] == "c"]
    levels = tuple(str(dataset["path"]) for dataset in datasets)
    return Multiscale(tuple(str(axis["name"]) for axis in described), next(iter(channels), None), levels)
