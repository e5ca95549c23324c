"""`daskgmm inspect`."""

from __future__ import annotations

import click

from ...filesystem.location import resolve_location
from ...jobs.status import load_finished
from ...report.drift import update_lines
from ...report.terminal.model_tables import inspection
from ...storage.formats.history import read_history, updates
from ...storage.run.directory import HISTORY
from ...text import printable
from ..command import make_console, report_errors


@click.command()
@click.argument("run_dir", type=click.Path())
@report_errors
def inspect(run_dir: str) -> None:
    """Print what was fitted in RUN_DIR (or a model.zarr): likelihood, criteria, components."""
    console, model = make_console(), load_finished(run_dir)
    console.print(inspection(model, console.width))
    for line in update_lines(updates(read_history(resolve_location(run_dir) / HISTORY))):
        console.print(printable(line), markup=False)
