"""Comparison of finished runs: what is read of their directories, and the page written about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigurationError
from ..filesystem.location import guard_read, guard_write, make_directory, public, resolve_location, write_whole
from ..report.compared_runs import Run
from ..report.html.runs_page import runs_page
from ..storage.formats.provenance import load_record
from ..storage.run.directory import RECORD
from .status import load_finished


def load_run(run_dir: str) -> Run:
    """Return the fit in a run directory or a model.zarr; raise DataError if there is none or it is damaged."""
    model, record = load_finished(run_dir), resolve_location(run_dir) / RECORD
    with guard_read(record):
        return Run(public(run_dir), model, load_record(record) if record.exists() else None)


def write_runs_page(runs: Sequence[Run], output: str, *, overwrite: bool = False) -> Path:
    """Write the page of the runs to a file, which is returned.

    Raises ConfigurationError if the file is there already, without `overwrite`.
    """
    path = resolve_location(output)
    if path.exists() and not overwrite:
        raise ConfigurationError(f"{path} is there already: give another --html, or --overwrite")
    content = runs_page(runs)
    with guard_write(path):
        make_directory(path.parent)
        with write_whole(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return path
