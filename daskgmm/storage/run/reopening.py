"""A finished run of which something is damaged: unfinished again, so that only what is damaged is written again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

from ...events import Listener, Notice
from ...filesystem.location import guard_write, link_or_copy, read_file, write_first
from ..schema import RESULTS
from .directory import CONTENT, FIT_FILES, MODEL, RECORD, RunDirectory
from .finished_parts import mark_fitted, mark_regions
from .manifest import Checked, check_run
from .staging import is_unfinished, reopen, settle

_FIT_RESULTS = (MODEL, *FIT_FILES)  # a fit is continued with after its end if all of them are whole


def reopen_damaged(directory: Path, listen: Listener) -> None:
    """Look whether a run that is finished is whole; let a job continue with what is whole of it where it is not.

    Raises DataError if that is unknown, as its manifest is missing or damaged.
    """
    with guard_write(directory):
        settle(directory, CONTENT)
    if is_unfinished(directory) or not RunDirectory(directory).holds_run:
        return
    checked = check_run(directory, CONTENT)
    if not checked.damaged:
        return
    names = f"{min(checked.damaged)}{', ...' if len(checked.damaged) > 1 else ''}"
    listen(
        Notice(
            f"damaged or missing in the finished run ({len(checked.damaged):,}): {names}; what depends on it "
            "is written again"
        )
    )
    manifest = checked.manifest
    with guard_write(directory):
        reopen(directory, manifest.plan, manifest.results, partial(_keep_whole, directory, checked))


def _keep_whole(directory: Path, checked: Checked, folder: Path) -> None:
    """Put what is whole of a run, and can be continued with, into the folder; without a whole fit, nothing."""
    fit, record, headers = (_below(checked.manifest.files, names) for names in (_FIT_RESULTS, (RECORD,), RESULTS))
    goes_on = checked.is_whole(fit)
    kept = [names for names in (fit, record, headers) if goes_on and checked.is_whole(names)]
    for name in chain.from_iterable(kept):
        write_first(folder / name, read_file(directory / name))
    if goes_on and fit:
        mark_fitted(folder, FIT_FILES)
    keeps_results = goes_on and checked.is_whole(headers)
    regions = {
        name: files for name, files in checked.manifest.regions.items() if keeps_results and checked.is_whole(files)
    }
    for files in regions.values():
        for name in (name for name, checksum in files.items() if checksum is not None):
            link_or_copy(directory / name, folder / name)
    mark_regions(folder, regions)


def _below(files: Iterable[str], names: tuple[str, ...]) -> list[str]:
    """Return those of the files that have one of the names, or lie below one."""
    return [file for file in files if file.partition("/")[0] in names]
