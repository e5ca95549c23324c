"""What a job is writing: kept apart until all of it is there, with a manifest, so that an interrupted job can go on.

A folder `.unfinished` in the output directory holds what is written under its own names, `plan.json` (what it is made
of; a folder without it is none) and `done/` with an empty file for each region of the results that is wholly written.
An earlier run stays as it is meanwhile. When all is there, `complete.json` names it, and from then on it only has to
take its place: whoever comes next does that, should this process be killed before it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from .places import copy_over, make_directory, remove, replace_path, writing, written_whole

FOLDER = ".unfinished"
_PLAN, _DONE, _COMPLETE, _PLACED = "plan.json", "done", "complete.json", "placed"

Region = tuple[slice, ...]
Plan = Mapping[str, str]  # what the results depend on, in words


@dataclass(frozen=True)
class Unfinished:
    """The folder of what is being written."""

    path: Path
    going_on: bool = False  # it was there before
    done: frozenset[str] = frozenset()  # names of the regions that were written before

    def is_done(self, region: Region) -> bool:
        """Return whether a region was written before."""
        return _name(region) in self.done


def mark_done(folder: Path, region: Region) -> None:
    """Note that a region of all results in the folder is written."""
    (folder / _DONE / _name(region)).write_bytes(b"")


def is_unfinished(directory: Path) -> bool:
    """Return whether an interrupted job can go on there."""
    return (directory / FOLDER / _PLAN).exists() and bool(_listed(directory / FOLDER / _DONE))


@dataclass(frozen=True)
class Leftover:
    """What a job that runs, or that was interrupted, has in a directory."""

    folder: Path
    plan: Plan
    n_done: int  # regions of the results that are written
    complete: bool  # all is there, and only has to take its place


def leftover(directory: Path) -> Leftover | None:
    """Return what is unfinished in a directory, if anything is; nothing is changed."""
    folder = directory / FOLDER
    try:
        plan: Plan = json.loads((folder / _PLAN).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return Leftover(folder, plan, len(_listed(folder / _DONE)), (folder / _COMPLETE).exists())


@contextmanager
def unfinished(
    directory: Path, plan: Plan, replaced: tuple[str, ...], *, resume: bool = False, resumable: bool = True
) -> Iterator[Unfinished]:
    """Give the folder to write to; at the end all that it holds takes its place in the directory.

    `replaced` names what an earlier job may have left there, which goes then. With `resume` what an interrupted job
    left is gone on with; raises ConfigurationError where that was another job. After an error the folder stays where it
    holds a finished region, if the job is resumable.
    """
    directory = directory.absolute()  # workers have their own working directory
    folder, made = directory / FOLDER, not directory.exists()
    with writing(directory):
        going_on = resume and is_unfinished(directory)
        if going_on:
            _check_same(folder, plan)
        else:
            _begin(folder, plan)
        try:
            yield Unfinished(folder, going_on, _listed(folder / _DONE))
        except BaseException:
            if not (resumable and is_unfinished(directory)):
                _drop(folder)
                if made and directory.exists() and not any(directory.iterdir()):
                    directory.rmdir()
            raise
        names = [one.name for one in folder.iterdir() if one.name not in {_PLAN, _DONE}]
        with written_whole(folder / _COMPLETE) as temporary:
            temporary.write_text(json.dumps({"placed": names, "removed": sorted(set(replaced) - set(names))}))
        settle(directory)


def settle(directory: Path) -> bool:
    """Let what is complete take its place in the directory, if it has not; return whether there was any."""
    folder = directory / FOLDER
    if not (folder / _PLAN).exists() or not (folder / _COMPLETE).exists():
        return False
    if not (folder / _PLACED).exists():
        names = json.loads((folder / _COMPLETE).read_text())
        for name in names["placed"]:
            if (folder / name).exists():  # else it has been renamed before
                place_one = replace_path if isinstance(folder, Path) else copy_over
                place_one(folder / name, directory / name)
        for name in names["removed"]:
            remove(directory / name)
        (folder / _PLACED).write_bytes(b"")
    _drop(folder)
    return True


def _begin(folder: Path, plan: Plan) -> None:
    remove(folder)
    make_directory(folder / _DONE)
    with written_whole(folder / _PLAN) as temporary:
        temporary.write_text(json.dumps(dict(plan), indent=2))


def _drop(folder: Path) -> None:
    remove(folder / _PLAN)  # first: without it the rest is nothing
    remove(folder)


def _check_same(folder: Path, plan: Plan) -> None:
    try:
        before: dict[str, str] = json.loads((folder / _PLAN).read_text())
    except ValueError as error:
        raise ConfigurationError(f"{folder} cannot be resumed ({error}): start anew with --overwrite") from None
    for name in sorted({*plan, *before}):
        if before.get(name) != plan.get(name):
            raise ConfigurationError(
                f"{folder} cannot be resumed: its {name} was {before.get(name)}, and is {plan.get(name)} now; "
                "start anew with --overwrite"
            )


def _listed(folder: Path) -> frozenset[str]:
    return frozenset(one.name for one in folder.iterdir()) if folder.exists() else frozenset()


def _name(region: Region) -> str:
    return "-".join(f"{one.start}" for one in region)
