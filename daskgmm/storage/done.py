"""Which regions of the results are written: a file in `done/` for each, with the checksums of what it consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel

from ..errors import DataError
from .checksums import Checksum, Checksums, fit_together, read_sealed, seal
from .places import write_first

DONE = "done"
_KIND = "region"
_N_THREADS = 8  # that read finished regions to compare their checksums

Region = tuple[slice, ...]


class _Marker(BaseModel):
    """What is written of a region."""

    region: str
    files: dict[str, Checksum | None]


def mark_done(folder: Path, region: Region, files: Checksums) -> None:
    """Note that a region of all results in the folder is written, to these files."""
    marker = _Marker(region=name_of(region), files=files)
    write_first(folder / DONE / marker.region, seal(_KIND, marker.model_dump_json().encode()))


def whole_regions(folder: Path, locate: Callable[[str], Path] | None = None) -> frozenset[str]:
    """Return the names of the regions that are written and whole; every file of them is read for it.

    `locate` gives the place of a file by its name in the folder, where some are elsewhere.
    """
    names = sorted(listed(folder / DONE))
    with ThreadPoolExecutor(_N_THREADS) as threads:
        whole = list(threads.map(lambda name: _is_whole(folder, name, locate or folder.joinpath), names))
    return frozenset(name for name, is_whole in zip(names, whole, strict=True) if is_whole)


def _is_whole(folder: Path, name: str, locate: Callable[[str], Path]) -> bool:
    try:
        marker = _Marker.model_validate_json(read_sealed(_KIND, folder / DONE / name))
    except (DataError, ValueError):
        return False
    return marker.region == name and fit_together(locate, marker.files)


def name_of(region: Region) -> str:
    """Return the name of a region: where it begins."""
    return "-".join(f"{one.start}" for one in region)


def listed(folder: Path) -> frozenset[str]:
    """Return the names in a folder; none where there is no folder."""
    return frozenset(_names(folder))


def _names(folder: Path) -> Iterator[str]:
    return (one.name for one in folder.iterdir()) if folder.is_dir() else iter(())
