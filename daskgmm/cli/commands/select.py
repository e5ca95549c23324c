"""`daskgmm select`."""

from __future__ import annotations

import click

from ...config import load_config
from ...jobs.dry_run import describe_sweep
from ...jobs.select import select as run_select
from ...report.terminal.model_tables import stop_lines
from ...report.terminal.selection_table import selection_line, selection_table
from ..command import OVERRIDES, RunFlags, echo, print_directory, report_errors, report_stop, take_run_flags


@click.command()
@click.argument("config", type=click.Path())
@OVERRIDES
@click.option("--dry-run", is_flag=True, help="Show the candidates, shape, chunks and memory; write nothing.")
@take_run_flags
@report_errors
def select(config: str, overrides: tuple[str, ...], dry_run: bool, flags: RunFlags) -> None:
    """Compare the models that CONFIG names under `select`; keep the best, label the rows with it.

    Example: daskgmm select configs/select.yaml select.n_components=1..6 select.criterion=icl
    """
    settings = load_config(config, overrides)
    if dry_run:
        echo(settings.to_yaml())
        echo(describe_sweep(settings))
        return
    with flags.listen(settings.fit.max_iter) as listen:
        model, selection = run_select(settings, listen, **flags.start)
    flags.console.print(selection_table(selection))
    flags.console.print(selection_line(selection))
    print_directory(flags.console, settings)
    report_stop(stop_lines(model.summary))
