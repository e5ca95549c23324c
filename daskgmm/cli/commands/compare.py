"""`daskgmm compare`."""

from __future__ import annotations

import click

from ...errors import ConfigurationError
from ...jobs.compare import load_run, write_runs_page
from ...report.terminal.comparison import comparison
from ...report.terminal.runs_table import runs_table
from ..command import echo, make_console, report_errors


@click.command()
@click.argument("run_dirs", type=click.Path(), metavar="RUN_DIR RUN_DIR [RUN_DIR]...", nargs=-1, required=True)
@click.option(
    "--html", "page", type=click.Path(), metavar="FILE", help="Write the table, curves and matches to a page."
)
@click.option("--overwrite", is_flag=True, help="Replace the page if it is there.")
@report_errors
def compare(run_dirs: tuple[str, ...], page: str | None, overwrite: bool) -> None:
    """Match the components of two fits, and print what moved from the first to the second.

    Of more than two, print one table of their sizes, log-likelihoods and criteria.

    Example: daskgmm compare runs/four runs/eight runs/twelve --html compared.html
    """
    if len(run_dirs) < 2:
        raise ConfigurationError(f"there is nothing to compare {run_dirs[0]} with: give two or more run directories")
    runs = [load_run(one) for one in run_dirs]
    console = make_console()
    if len(runs) > 2:
        console.print(runs_table(runs, console.width))
    else:
        first, second = (run.model for run in runs)
        console.print(comparison(first, second, (run_dirs[0], run_dirs[1]), console.width))
    if page is not None:
        echo(str(write_runs_page(runs, page, overwrite=overwrite)))
