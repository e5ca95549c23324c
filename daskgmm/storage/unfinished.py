"""What a job is writing: kept apart until all of it is there, with a manifest, so that an interrupted job can go on.

A folder `.unfinished` in the output directory holds what is written under its own names, `plan.json` (what it is made
of; a folder without it is none), `checkpoint/` with where the loop of a fit stands, and `done/` with an empty file for
each region of the results that is wholly written; `results.json` is what the results of a fit are made of.
An earlier run stays as it is meanwhile. When all is there, `complete.json` names it, and from then on it only has to
take its place: whoever comes next does that, should this process be killed before it has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from ..errors import ConfigurationError, DataError
from .checkpoint import CHECKPOINTS
from .faults import reason
from .places import (
    copy_over,
    leads_elsewhere,
    make_directory,
    remove,
    remove_if_empty,
    replace_path,
    writing,
    written_whole,
)

FOLDER = ".unfinished"
PLAN = "plan.json"
_DONE, _RESULTS, _COMPLETE, _PLACED = "done", "results.json", "complete.json", "placed"

Region = tuple[slice, ...]
Plan = Mapping[str, str]  # what the results depend on, in words
_PLAN_TYPE = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class Unfinished:
    """The folder of what is being written."""

    path: Path
    going_on: bool = False  # it was there before
    done: frozenset[str] = frozenset()  # names of the regions that were written before

    def is_done(self, region: Region) -> bool:
        """Return whether a region was written before."""
        return _name(region) in self.done

    def for_results(self, plan: Plan, names: tuple[str, ...]) -> Unfinished:
        """Return the folder for the results (under these names) of a fit; those of another plan are dropped from it."""
        with writing(self.path):
            if _read_plan(self.path / _RESULTS) != plan:
                for name in (_RESULTS, _DONE, *names):
                    remove(self.path / name)
                make_directory(self.path / _DONE)
                _write_plan(self.path / _RESULTS, plan)
        done = _listed(self.path / _DONE)
        return replace(self, going_on=bool(done), done=done)


def mark_done(folder: Path, region: Region) -> None:
    """Note that a region of all results in the folder is written."""
    (folder / _DONE / _name(region)).write_bytes(b"")


def is_unfinished(directory: Path) -> bool:
    """Return whether an interrupted job can go on there."""
    folder = directory / FOLDER
    return (folder / PLAN).exists() and any(_listed(folder / name) for name in (_DONE, CHECKPOINTS))


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
        plan = _PLAN_TYPE.validate_json((folder / PLAN).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return Leftover(folder, plan, len(_listed(folder / _DONE)), (folder / _COMPLETE).exists())


def waits_for_its_place(directory: Path) -> bool:
    """Return whether a job there is complete, but not all of it has taken its place: results of two are mixed."""
    folder = directory / FOLDER
    return (folder / _COMPLETE).exists() and (folder / PLAN).exists() and not (folder / _PLACED).exists()


@contextmanager
def unfinished(
    directory: Path, plan: Plan, replaced: tuple[str, ...], *, resume: bool = False, overwrite: bool = False
) -> Iterator[Unfinished]:
    """Give the folder to write to; at the end all that it holds takes its place in the directory.

    `replaced` names what a job may leave there; what an earlier one did goes then. With `resume` what an interrupted
    job left is gone on with; where that was another job, raises ConfigurationError, or with `overwrite` starts anew.
    After an error the folder stays where it holds a checkpoint or a finished region.
    """
    directory = directory.absolute()  # workers have their own working directory
    folder, made = _own_folder(directory), not directory.exists()
    with writing(directory):
        going_on = resume and is_unfinished(directory) and _is_same(folder, plan, overwrite)
        if not going_on:
            _begin(folder, plan)
    try:
        yield Unfinished(folder, going_on, _listed(folder / _DONE))
        with writing(directory):
            _complete(folder, replaced)
    except BaseException as error:
        if is_unfinished(directory):
            error.add_note(f"what is finished is kept in {folder}: --resume goes on with it")
        else:
            _drop(folder)
            if made:
                remove_if_empty(directory)
        raise
    with writing(directory):
        settle(directory, replaced)


def _complete(folder: Path, replaced: tuple[str, ...]) -> None:
    """Note that all is there, which then only has to take its place."""
    names = [one.name for one in folder.iterdir() if one.name in replaced]
    with written_whole(folder / _COMPLETE) as temporary:
        temporary.write_text(json.dumps({"placed": names, "removed": sorted(set(replaced) - set(names))}))


def settle(directory: Path, known: tuple[str, ...]) -> bool:
    """Let what is complete take its place in the directory, if it has not; return whether there was any.

    Nothing but what is `known` is moved or removed: raises DataError where other names stand there.
    """
    folder = _own_folder(directory)
    if not (folder / PLAN).exists() or not (folder / _COMPLETE).exists():
        return False
    if not (folder / _PLACED).exists():
        names = _read_complete(folder, known)
        for name in names.placed:
            if (folder / name).exists():  # else it has been renamed before
                place_one = replace_path if isinstance(folder, Path) else copy_over
                place_one(folder / name, directory / name)
        for name in names.removed:
            remove(directory / name)
        (folder / _PLACED).write_bytes(b"")
    _drop(folder)
    return True


def _own_folder(directory: Path) -> Path:
    """Return the folder in the directory; raise DataError where it is a link to another one."""
    folder = directory / FOLDER
    if leads_elsewhere(folder, directory):
        raise DataError(f"{folder} is a link that leads out of the output directory: remove it")
    return folder


class _Complete(BaseModel):
    """What takes its place, and what an earlier job left that goes."""

    placed: list[str]
    removed: list[str]


def _read_complete(folder: Path, known: tuple[str, ...]) -> _Complete:
    """Return what is to be placed and removed; raise DataError where it names anything but the results of a job."""
    try:
        names = _Complete.model_validate_json((folder / _COMPLETE).read_bytes(), strict=True)
    except ValueError as error:
        raise DataError(f"{folder / _COMPLETE} is damaged ({_REMEDY}): {reason(error)}") from None
    if strange := sorted({*names.placed, *names.removed} - set(known)):
        raise DataError(f"{folder / _COMPLETE} names {strange[0]!r:.100}, which no job writes: {_REMEDY}")
    return names


_REMEDY = f"remove the folder {FOLDER} to keep the earlier results"


def _begin(folder: Path, plan: Plan) -> None:
    remove(folder)
    make_directory(folder / _DONE)
    _write_plan(folder / PLAN, plan)


def _drop(folder: Path) -> None:
    remove(folder / PLAN)  # first: without it the rest is nothing
    remove(folder)


def _is_same(folder: Path, plan: Plan, overwrite: bool) -> bool:
    """Return whether the job there is the one of the plan; raise where it is another, unless that may be given up."""
    before = _read_plan(folder / PLAN)
    if not before and not overwrite:
        raise ConfigurationError(f"{folder} cannot be resumed: its {PLAN} is damaged; start anew with --overwrite")
    changed = [
        f"its {name} was {before.get(name)!s:.200}, and is {plan.get(name)} now"
        for name in dict.fromkeys([*plan, *before])
        if before.get(name) != plan.get(name)
    ]
    if changed and not overwrite:
        raise ConfigurationError(f"{folder} cannot be resumed: {', '.join(changed)}; start anew with --overwrite")
    return not changed


def _write_plan(path: Path, plan: Plan) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(dict(plan), indent=2))


def _read_plan(path: Path) -> Plan:
    """Return a plan that was written, an empty one where there is none or it is damaged."""
    try:
        return _PLAN_TYPE.validate_json(path.read_bytes(), strict=True) if path.exists() else {}
    except ValueError:
        return {}


def _listed(folder: Path) -> frozenset[str]:
    return frozenset(one.name for one in folder.iterdir()) if folder.exists() else frozenset()


def _name(region: Region) -> str:
    return "-".join(f"{one.start}" for one in region)
