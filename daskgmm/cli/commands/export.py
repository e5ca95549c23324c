"""`daskgmm export`."""

from __future__ import annotations

import click

from ...jobs.status import load_finished
from ...storage.formats.export import FORMATS, export_model
from ..command import echo, report_errors


@click.command()
@click.argument("run_dir", type=click.Path())
@click.option("--format", "name", type=click.Choice(list(FORMATS)), required=True, help="The format.")
@click.option("--output", type=click.Path(), help="The file to write; RUN_DIR/model.* if left out.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@report_errors
def export(run_dir: str, name: str, output: str | None, overwrite: bool) -> None:
    """Write the model in RUN_DIR for other programs: plain JSON, a scikit-learn estimator, an ONNX graph.

    The estimator is a joblib pickle: do not open one that others could have changed.

    Example: daskgmm export runs/quickstart --format onnx
    """
    echo(str(export_model(load_finished(run_dir), run_dir, name, output, overwrite=overwrite)))
