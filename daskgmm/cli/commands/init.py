"""`daskgmm init`."""

from __future__ import annotations

from pathlib import Path

import click

from ...jobs.template import write_template
from ..command import echo, report_errors


@click.command()
@click.argument("data", type=click.Path())
@click.option("-o", "output", type=click.Path(), help="The file to write; fit.yaml if left out.", default="fit.yaml")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@report_errors
def init(data: str, output: str, overwrite: bool) -> None:
    """Write a configuration for DATA, with a comment on each key, to start from.

    Example: daskgmm init rows.parquet -o fit.yaml
    """
    write_template(data, Path(output), overwrite=overwrite)
    echo(output)
