"""Results that are being written: kept apart from finished ones, with a manifest, so that an interrupted job can go on.

A folder `.unfinished` in the output directory holds the results under their own names, `plan.json` (what they are
results of) and `done/` with an empty file for each region that is wholly written. When all are, results take their
places in the directory and the folder goes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from .places import remove, replace_path, writing

FOLDER = ".unfinished"
RESULTS = ("labels.zarr", "probabilities.zarr", "log_density.zarr", "anomaly.zarr", "results.parquet")
_PLAN, _DONE = "plan.json", "done"

Region = tuple[slice, ...]
Plan = Mapping[str, str]  # what the results depend on, in words


@dataclass(frozen=True)
class Unfinished:
    """The folder of results that are being written."""

    path: Path
    going_on: bool  # it was there before
    done: frozenset[str]  # names of the regions that were written before

    def is_done(self, region: Region) -> bool:
        """Return whether a region was written before."""
        return _name(region) in self.done


def mark_done(folder: Path, region: Region) -> None:
    """Note that a region of all results in the folder is written."""
    (folder / _DONE / _name(region)).write_bytes(b"")


@contextmanager
def unfinished_results(directory: Path, plan: Plan, resume: bool) -> Iterator[Unfinished]:
    """Give the folder for results; at the end all that it holds takes the place of earlier results in the directory.

    With `resume` what an earlier job left is gone on with; raises ConfigurationError where that was another job. After
    an error the folder stays where it holds a finished region.
    """
    folder, made = directory.absolute() / FOLDER, not directory.exists()  # workers have their own working directory
    with writing(directory):
        going_on = resume and folder.exists()
        if going_on:
            _check_same(folder, plan)
        else:
            remove(folder)
            (folder / _DONE).mkdir(parents=True)
            (folder / _PLAN).write_text(json.dumps(dict(plan), indent=2))
        try:
            yield Unfinished(folder, going_on, _listed(folder / _DONE))
        except BaseException:
            if not _listed(folder / _DONE):
                remove(folder)
                if made and directory.exists() and not any(directory.iterdir()):
                    directory.rmdir()
            raise
        for name in RESULTS:
            remove(directory / name)
        for one in list(folder.iterdir()):
            if one.name not in {_PLAN, _DONE}:
                replace_path(one, directory / one.name)
        remove(folder)


def _check_same(folder: Path, plan: Plan) -> None:
    try:
        before: dict[str, str] = json.loads((folder / _PLAN).read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{folder} cannot be resumed ({error}): start anew with --overwrite") from None
    for name, value in plan.items():
        if before.get(name) != value:
            raise ConfigurationError(
                f"{folder} cannot be resumed: its {name} was {before.get(name)}, and is {value} now; "
                "start anew with --overwrite"
            )


def _listed(folder: Path) -> frozenset[str]:
    return frozenset(one.name for one in folder.iterdir()) if folder.exists() else frozenset()


def _name(region: Region) -> str:
    return "-".join(f"{one.start}" for one in region)
