"""`daskgmm merge`."""

from __future__ import annotations

import click

from ...jobs.merge import merge as run_merge
from ...jobs.status import load_finished
from ...report.terminal.merge_table import merge_table
from ...storage.run.directory import CLUSTERS_FOLDER
from ..command import OVERRIDES, RunFlags, print_directory, report_errors, take_run_flags
from ..run_config import prediction_config


@click.command()
@click.argument("run_dir", type=click.Path())
@OVERRIDES
@take_run_flags
@report_errors
def merge(run_dir: str, overrides: tuple[str, ...], flags: RunFlags) -> None:
    """Merge the components in RUN_DIR into clusters by entropy; write the cluster of each row.

    The rows are those of the fit, and the results go to RUN_DIR/clusters. output.clusters is the number of clusters,
    by default the elbow of the entropy.

    Example: daskgmm merge runs/quickstart output.clusters=5
    """
    model = load_finished(run_dir)
    default = () if any(one.startswith("output.clusters=") for one in overrides) else ("output.clusters=auto",)
    settings = prediction_config(run_dir, (*default, *overrides), CLUSTERS_FOLDER)
    with flags.listen(settings.fit.max_iter) as listen:
        clusters = run_merge(settings, model, listen, **flags.start)
    flags.console.print(merge_table(clusters.tree, clusters.n_clusters))
    print_directory(flags.console, settings)
