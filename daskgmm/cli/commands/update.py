"""`daskgmm update`."""

from __future__ import annotations

import click

from ...jobs.dry_run import describe_update
from ...jobs.status import load_finished
from ...jobs.update import load_run
from ...jobs.update import update as run_update
from ...report.terminal.model_tables import stop_lines, summary_line
from ..command import OVERRIDES, RunFlags, echo, print_directory, report_errors, report_stop, take_run_flags
from ..run_config import update_config


@click.command()
@click.argument("run_dir", type=click.Path())
@OVERRIDES
@click.option("--dry-run", is_flag=True, help="Show which rows are new, chunks and memory; write nothing.")
@take_run_flags
@report_errors
def update(run_dir: str, overrides: tuple[str, ...], dry_run: bool, flags: RunFlags) -> None:
    """Update the model in RUN_DIR with new rows; only these are read.

    New rows are those of data.path, except those of the same store that the run has seen. Results go to
    RUN_DIR-updated unless output.directory is given; RUN_DIR stays as it is.

    Example: daskgmm update runs/quickstart data.path=new.zarr update.forget=0.5
    """
    run = load_run(run_dir, load_finished(run_dir))
    settings = update_config(run_dir, overrides)
    if dry_run:
        echo(settings.to_yaml())
        echo(describe_update(settings, run))
        return
    with flags.listen(settings.fit.max_iter, settings.fit.tol) as listen:
        model = run_update(settings, run, listen, **flags.start)
    flags.console.print(summary_line(model.summary))
    print_directory(flags.console, settings)
    report_stop(stop_lines(model.summary))
