"""What of a job is done, with the checksums of the files that it consists of: `fitted`, and a file in `done/` for each
region of the results that is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel

from ...errors import DataError
from ...filesystem.checksums import Checksum, Checksums, fit_together, read_sealed, seal
from ...filesystem.location import make_directory, read_file, write_first
from ...filesystem.retry import reason

DONE = "done"
_FITTED = "fitted"
_KIND = "marker"
_N_THREADS = 8  # that read finished regions to compare their checksums
_N_MARKERS = 32  # that are read at once: they are small

Region = tuple[slice, ...]


class _Marker(BaseModel):
    """What is done, and the files of it."""

    name: str
    files: dict[str, Checksum | None]


def mark_done(folder: Path, region: Region, files: Checksums) -> None:
    """Note that a region of all results in the folder is written, to these files."""
    _mark(folder / DONE / name_of(region), files)


def mark_fitted(folder: Path, names: tuple[str, ...]) -> None:
    """Note that a fit has ended, and wrote those of these files that are in the folder."""
    files: Checksums = {name: Checksum.of(read_file(folder / name)) for name in names if (folder / name).exists()}
    _mark(folder / _FITTED, files)


def is_fitted(folder: Path) -> bool:
    """Return whether a fit has ended whose files are whole."""
    return _is_whole(folder / _FITTED, folder.joinpath)


def _mark(path: Path, files: Checksums) -> None:
    marker = _Marker(name=path.name, files=files)
    write_first(path, seal(_KIND, marker.model_dump_json().encode()))


def whole_regions(folder: Path, locate: Callable[[str], Path] | None = None) -> frozenset[str]:
    """Return the names of the regions that are written and whole; every file of them is read for it.

    `locate` gives the place of a file by its name in the folder, where some are elsewhere.
    """
    names = sorted(list_names(folder / DONE))
    with ThreadPoolExecutor(_N_THREADS) as threads:
        whole = list(threads.map(lambda name: _is_whole(folder / DONE / name, locate or folder.joinpath), names))
    return frozenset(name for name, is_whole in zip(names, whole, strict=True) if is_whole)


def regions_in(folder: Path) -> dict[str, Checksums]:
    """Return the files of each region that is marked as written; raise DataError where a marker is damaged."""
    names = sorted(list_names(folder / DONE))
    with ThreadPoolExecutor(_N_MARKERS) as threads:
        markers = threads.map(lambda name: _read(folder / DONE / name), names)
        return {marker.name: marker.files for marker in markers}


def mark_regions(folder: Path, regions: Mapping[str, Checksums]) -> None:
    """Note that regions, by their names, are written to these files; the folder for it is made in any case."""
    make_directory(folder / DONE)
    with ThreadPoolExecutor(_N_MARKERS) as threads:
        list(threads.map(lambda name: _mark(folder / DONE / name, regions[name]), regions))


def _is_whole(path: Path, locate: Callable[[str], Path]) -> bool:
    """Return whether the marker at `path` is, and all files that it names."""
    try:
        marker = _read(path)
    except DataError:
        return False
    return fit_together(locate, marker.files)


def _read(path: Path) -> _Marker:
    """Return the marker at `path`; raise DataError unless it is one that was written there."""
    content = read_sealed(_KIND, path)
    try:
        marker = _Marker.model_validate_json(content)
    except ValueError as error:
        raise DataError(f"{path} is damaged: {reason(error)}") from None
    if marker.name != path.name:
        raise DataError(f"{path} is damaged: it is that of {marker.name!r:.100}")
    return marker


def name_of(region: Region) -> str:
    """Return the name of a region: where it begins."""
    return "-".join(f"{one.start}" for one in region)


def list_names(folder: Path) -> frozenset[str]:
    """Return the names in a folder; none where there is no folder."""
    return frozenset(_names(folder))


def _names(folder: Path) -> Iterator[str]:
    return (one.name for one in folder.iterdir()) if folder.is_dir() else iter(())
