"""`daskgmm predict`."""

from __future__ import annotations

import click

from ...filesystem.location import resolve_location
from ...jobs.fit import predict as run_predict
from ...jobs.status import load_finished
from ...storage.formats.clusters import find_clusters
from ..command import OVERRIDES, RunFlags, print_directory, report_errors, take_run_flags
from ..run_config import prediction_config


@click.command()
@click.argument("run_dir", type=click.Path())
@OVERRIDES
@take_run_flags
@report_errors
def predict(run_dir: str, overrides: tuple[str, ...], flags: RunFlags) -> None:
    """Score data with the model in RUN_DIR. Results go to RUN_DIR/predictions unless output.directory is given.

    Example: daskgmm predict runs/quickstart data.path=other.png output.directory=runs/other
    """
    model = load_finished(run_dir)
    settings = prediction_config(run_dir, overrides, "predictions")
    clusters = find_clusters(resolve_location(run_dir), model) if settings.output.clusters is not None else None
    with flags.listen(settings.fit.max_iter) as listen:
        run_predict(settings, model, listen, **flags.start, clusters=clusters)
    print_directory(flags.console, settings)
