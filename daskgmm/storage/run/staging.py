"""What a job is writing: kept apart until all of it is there, with a manifest, so that an interrupted job can go on.

A folder `.unfinished` in the output directory holds what is written under its own names, `plan.json` (what it is made
of; a folder without it is none), `checkpoint/` with where the loop of a fit stands, and `done/` with a file for each
region of the results that is wholly written; `results.json` is what the results are made of.
An earlier run stays as it is meanwhile. When all is there, `complete.json` names it, with checksums, and it only has to
take its place: the next process does that, should this process be killed before it has.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from pydantic import BaseModel, TypeAdapter

from ...errors import ConfigurationError, DataError, LostLockError
from ...events import Listener, Notice
from ...filesystem.checksums import Checksum, fit_together
from ...filesystem.guards import check_guard
from ...filesystem.location import (
    copy_over,
    files_in,
    guard_write,
    leads_elsewhere,
    make_directory,
    means_no_file,
    read_file,
    remove,
    remove_if_empty,
    replace_path,
    write_first,
    write_whole,
)
from ...filesystem.retry import reason
from ..schema import is_chunk_of_results
from .checkpoint import CHECKPOINTS
from .finished_parts import DONE, Region, list_names, name_of, whole_regions
from .manifest import MANIFEST, Plan, write_manifest

_LOGGER = logging.getLogger(__name__)

FOLDER = ".unfinished"
PLAN = "plan.json"
COMPLETE = "complete.json"
_RESULTS, _PLACED, _REOPENED = "results.json", "placed", "reopened"

_PLAN_TYPE = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class Unfinished:
    """The folder of what is being written."""

    path: Path
    going_on: bool = False  # it was there before
    done: frozenset[str] = frozenset()  # names of the regions that were written before

    def is_done(self, region: Region) -> bool:
        """Return whether a region was written before, and is whole."""
        return name_of(region) in self.done

    def for_results(self, plan: Plan, names: tuple[str, ...], listen: Listener) -> Unfinished:
        """Return the folder for the results (under these names); those of another plan are dropped from it.

        Regions that were written before and are damaged now are reported: they are to be written again.
        """
        with guard_write(self.path):
            if _read_plan(self.path / _RESULTS) != plan or not (self.path / DONE).is_dir():
                for name in (_RESULTS, DONE, *names):
                    remove(self.path / name)
                make_directory(self.path / DONE)
                _write_plan(self.path / _RESULTS, plan)
            written, done = list_names(self.path / DONE), whole_regions(self.path)
            for name in written - done:
                remove(self.path / DONE / name)
        if done:
            listen(Notice(f"{len(done):,} chunks of results were finished before"))
        if damaged := written - done:
            listen(Notice(f"{len(damaged):,} chunks of results are damaged, and are written again"))
        return replace(self, going_on=bool(done), done=done)


def is_unfinished(directory: Path) -> bool:
    """Return whether an interrupted job can go on there."""
    folder = directory / FOLDER
    if not (folder / PLAN).exists():
        return False
    return (folder / _REOPENED).exists() or any(list_names(folder / name) for name in (DONE, CHECKPOINTS))


def reopen(directory: Path, plan: Plan, results: Plan, put: Callable[[Path], None]) -> None:
    """Make a run unfinished again, which stays in its place meanwhile; `put` fills the folder with what is whole."""
    folder = _own_folder(directory)
    remove(folder)
    make_directory(folder)
    put(folder)
    _write_plan(folder / _RESULTS, results)
    write_first(folder / _REOPENED, b"")
    _write_plan(folder / PLAN, plan)  # last: without it the rest is nothing


@dataclass(frozen=True)
class StagedRun:
    """What a job that runs, or that was interrupted, has in a directory."""

    folder: Path
    plan: Plan
    n_done: int  # regions of the results that are written
    complete: bool  # all is there, and only has to take its place


def leftover(directory: Path) -> StagedRun | None:
    """Return the staged run of a directory, if there is one; nothing is changed."""
    folder = directory / FOLDER
    plan = _read_plan(folder / PLAN)
    if plan is None:
        return None
    return StagedRun(folder, plan, len(list_names(folder / DONE)), (folder / COMPLETE).exists())


def waits_for_its_place(directory: Path) -> bool:
    """Return whether a job there is complete, but not all of it has taken its place: results of two are mixed."""
    folder = directory / FOLDER
    return (folder / COMPLETE).exists() and (folder / PLAN).exists() and not (folder / _PLACED).exists()


@contextmanager
def stage_run(
    directory: Path, plan: Plan, replaced: tuple[str, ...], *, resume: bool = False, overwrite: bool = False
) -> Iterator[Unfinished]:
    """Give the folder to write to; at the end all that it holds takes its place in the directory.

    `replaced` names what a job may leave there; what an earlier one did goes then. With `resume` what an interrupted
    job left is continued with; where that was another job, raises ConfigurationError, or with `overwrite` starts over.
    After an error the folder stays where it holds a checkpoint or a finished region.
    """
    directory = directory.absolute()  # workers have their own working directory
    folder, made = _own_folder(directory), not directory.exists()
    with guard_write(directory):
        going_on = resume and is_unfinished(directory) and _is_same(folder, plan, overwrite)
        if going_on:
            _clear_way(folder)
        else:
            _begin(folder, plan)
    try:
        yield Unfinished(folder, going_on)
        with guard_write(directory):
            complete = _complete(folder, replaced)
    except BaseException as error:
        _leave(directory, error)
        if made:
            remove_if_empty(directory)
        raise
    with guard_write(directory):
        _place(directory, complete)


def _leave(directory: Path, error: BaseException) -> None:
    """Drop the folder of a job that ends with the error where nothing can go on, else note in the error what can."""
    folder = directory / FOLDER
    try:
        if not is_unfinished(directory):
            check_guard(directory)
            _drop(folder)
            return
    except LostLockError:  # the folder is another job's
        return
    except Exception:  # the store fails, which is what the error is of, most likely: it tells more
        _LOGGER.debug("%s was not inspected", folder, exc_info=True)
        error.add_note(f"what is finished, if anything, is kept in {folder}: --resume continues from it")
    else:
        error.add_note(f"what is finished is kept in {folder}: --resume continues from it")


def _complete(folder: Path, replaced: tuple[str, ...]) -> _Complete:
    """Note that all is there, which then only has to take its place; return what that is."""
    names = [one.name for one in folder.iterdir() if one.name in replaced and one.name != MANIFEST]
    files = {
        file: Checksum.of(read_file(folder / file))
        for name in names
        for file in files_in(folder, name)
        if not is_chunk_of_results(file)  # which `done` has
    }
    check_guard(folder)  # again: to read all files takes long
    write_manifest(folder, _read_plan(folder / PLAN) or {}, _read_plan(folder / _RESULTS) or {}, files)
    names.append(MANIFEST)
    files[MANIFEST] = Checksum.of(read_file(folder / MANIFEST))
    removed, n_regions = sorted(set(replaced) - set(names)), len(list_names(folder / DONE))
    complete = _Complete(placed=names, removed=removed, files=files, n_regions=n_regions)
    with write_whole(folder / COMPLETE) as temporary:
        document = complete.model_copy(update={"checksum": complete.own_checksum}).model_dump_json(indent=1)
        temporary.write_text(document, encoding="utf-8")
    return complete


def settle(directory: Path, known: tuple[str, ...]) -> bool:
    """Let what is complete take its place in the directory, if it has not; return whether there was any.

    What is complete but not whole is unfinished again. Raises DataError where that cannot be, since some of it has
    taken its place, and where other names than what is `known` are to be moved or removed.
    """
    folder = _own_folder(directory)
    if not (folder / PLAN).exists() or not (folder / COMPLETE).exists():
        return False
    if not (folder / _PLACED).exists():
        complete = _read_complete(folder, known)
        here = [name for name in complete.placed if (folder / name).exists()]  # others have been renamed before
        if not _is_whole(directory, complete, here):
            if here != complete.placed or not isinstance(folder, Path):
                raise DataError(f"what waits in {folder} to take its place is damaged: {_REMEDY}")
            remove(folder / COMPLETE)
            return False
        _place(directory, complete)
    else:
        _drop(folder)
    return True


def _is_whole(directory: Path, complete: _Complete, here: list[str]) -> bool:
    """Return whether what a job left is as it was written; `here` names what has not taken its place yet."""
    folder = directory / FOLDER
    locate = lambda file: (folder if file.partition("/")[0] in here else directory) / file  # noqa: E731
    return fit_together(locate, complete.files) and len(whole_regions(folder, locate)) == complete.n_regions


def _place(directory: Path, complete: _Complete) -> None:
    folder = directory / FOLDER
    for name in complete.placed:
        if (folder / name).exists():  # else it has been renamed before
            check_guard(folder)
            place_one = replace_path if isinstance(folder, Path) else copy_over
            place_one(folder / name, directory / name)
    check_guard(folder)
    for name in complete.removed:
        remove(directory / name)
    (folder / _PLACED).write_bytes(b"")
    _drop(folder)


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
    files: dict[str, Checksum] = {}  # of what takes its place, without the chunks of results
    n_regions: int = 0  # of the results, whose checksums `done` has
    checksum: str = ""  # of all that

    @property
    def own_checksum(self) -> str:
        """The checksum that it should have."""
        return Checksum.of(self.model_copy(update={"checksum": ""}).model_dump_json().encode()).digest


def _read_complete(folder: Path, known: tuple[str, ...]) -> _Complete:
    """Return the files to be placed and removed; raise DataError if any is not a result of a job."""
    try:
        names = _Complete.model_validate_json(read_file(folder / COMPLETE), strict=True)
    except ValueError as error:
        raise DataError(f"{folder / COMPLETE} is damaged ({_REMEDY}): {reason(error)}") from None
    if strange := sorted({*names.placed, *names.removed} - set(known)):
        raise DataError(f"{folder / COMPLETE} names {strange[0]!r:.100}, which no job writes: {_REMEDY}")
    if names.checksum != names.own_checksum:
        raise DataError(f"{folder / COMPLETE} is damaged ({_REMEDY}): its content and its checksum differ")
    return names


_REMEDY = f"remove the folder {FOLDER} to keep the earlier results"


def _begin(folder: Path, plan: Plan) -> None:
    remove(folder)
    make_directory(folder)
    _write_plan(folder / PLAN, plan)


def _clear_way(folder: Path) -> None:
    """Remove links, pipes and devices from the folder of a job that goes on: it made none, and writes there."""
    if isinstance(folder, Path):
        for path in folder.rglob("*"):  # which follows no links
            if not (S_ISREG(mode := path.lstat().st_mode) or S_ISDIR(mode)):
                path.unlink()


def _drop(folder: Path) -> None:
    remove(folder / PLAN)  # first: without it the rest is nothing
    remove(folder)


def _is_same(folder: Path, plan: Plan, overwrite: bool) -> bool:
    """Return whether the job there is the one of the plan; raise where it is another, unless that may be given up."""
    before = _read_plan(folder / PLAN) or {}
    if not before and not overwrite:
        raise ConfigurationError(f"{folder} cannot be resumed: its {PLAN} is damaged; start over with --overwrite")
    changed = [
        f"its {name} was {before.get(name)!s:.200}, and is {plan.get(name)} now"
        for name in dict.fromkeys([*plan, *before])
        if before.get(name) != plan.get(name)
    ]
    if changed and not overwrite:
        raise ConfigurationError(f"{folder} cannot be resumed: {', '.join(changed)}; start over with --overwrite")
    return not changed


def _write_plan(path: Path, plan: Plan) -> None:
    with write_whole(path) as temporary:
        temporary.write_text(json.dumps(dict(plan), indent=2), encoding="utf-8")


def _read_plan(path: Path) -> Plan | None:
    """Return a plan that was written, None where there is none or it is damaged."""
    try:
        return _PLAN_TYPE.validate_json(read_file(path), strict=True)
    except ValueError:
        return None
    except OSError as error:
        if means_no_file(error):
            return None
        raise
