"""`daskgmm report`."""

from __future__ import annotations

import click

from ...filesystem.location import resolve_location
from ...jobs.report import draw_again
from ..command import echo, report_errors


@click.command()
@click.argument("run_dir", type=click.Path())
@report_errors
def report(run_dir: str) -> None:
    """Draw report.html of the fit in RUN_DIR again, from what that directory holds; print its path."""
    echo(str(draw_again(resolve_location(run_dir))))
