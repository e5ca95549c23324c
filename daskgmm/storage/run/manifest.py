"""The manifest of a finished run: what its job was made of, and the checksum of each file that it wrote.

It is sealed, and takes its place with the files: what is torn, emptied, swapped or removed later does not pass for
finished.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import BaseModel

from ...errors import DataError
from ...filesystem.checksums import Checksum, Checksums, fit_together, read_sealed, seal
from ...filesystem.location import write_first
from ...filesystem.retry import reason
from .finished_parts import regions_in

MANIFEST = ".manifest"
_KIND = "manifest"
_N_THREADS = 8  # that read files to compare their checksums
_REGION = re.compile(r"\d+(-\d+)*")

Plan = Mapping[str, str]  # what the results depend on, in words


class Manifest(BaseModel):
    """What a job was made of, and what it wrote."""

    plan: dict[str, str]
    results: dict[str, str]  # what the results of the rows depend on; empty where none are written
    files: dict[str, Checksum]  # without the chunks of results
    regions: dict[str, dict[str, Checksum | None]]  # the files of each region of the results

    @property
    def everything(self) -> Checksums:
        """The checksums of all files."""
        return {**self.files, **{name: one for files in self.regions.values() for name, one in files.items()}}


@dataclass(frozen=True)
class Checked:
    """A manifest, and those of its files that are not as they were written."""

    manifest: Manifest
    damaged: frozenset[str]

    def is_whole(self, names: Iterable[str]) -> bool:
        """Return whether none of these files is damaged."""
        return self.damaged.isdisjoint(names)


def write_manifest(folder: Path, plan: Plan, results: Plan, files: Mapping[str, Checksum]) -> None:
    """Write the manifest of what a job leaves in the folder, with the regions that are marked as done there."""
    manifest = Manifest(plan=dict(plan), results=dict(results), files=dict(files), regions=regions_in(folder))
    write_first(folder / MANIFEST, seal(_KIND, manifest.model_dump_json().encode()))


def check_run(directory: Path, known: tuple[str, ...]) -> Checked:
    """Return the manifest of a finished run with what is damaged of it; all files that it names are read.

    Raises DataError where there is none, it is damaged, or it names files that do not belong to what is `known`.
    """
    manifest = _read(directory / MANIFEST)
    everything = manifest.everything
    strange = [name for name in everything if not _belongs(name, known)]
    strange += [name for name in manifest.regions if not _REGION.fullmatch(name)]
    if strange:
        raise DataError(f"{directory / MANIFEST} names {strange[0]!r:.100}, which no job writes: {_REMEDY}")
    is_whole = lambda name: fit_together(directory.joinpath, {name: everything[name]})  # noqa: E731
    with ThreadPoolExecutor(_N_THREADS) as threads:
        whole = dict(zip(everything, threads.map(is_whole, everything), strict=True))
    return Checked(manifest, frozenset(name for name in whole if not whole[name]))


_REMEDY = "what the run holds cannot be checked: choose another output.directory, or give --overwrite to start over"


def _read(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(read_sealed(_KIND, path))
    except (DataError, ValueError) as error:
        why = "is missing" if not path.exists() else "is damaged"
        raise DataError(f"{path} {why} ({reason(error)}): {_REMEDY}") from None


def _belongs(name: str, known: tuple[str, ...]) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and parts[0] in known and ".." not in parts
