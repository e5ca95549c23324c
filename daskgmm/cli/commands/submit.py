"""`daskgmm submit`."""

from __future__ import annotations

import click

from ...config import load_config
from ...filesystem.location import public, resolve_location
from ...jobs.resume import find_finished_fit
from ...jobs.submit import Submission, batch_job, find_jobs_that_write
from ...storage.run.directory import RunDirectory
from ..command import OVERRIDES, OVERWRITE, RESUME, report_errors


@click.command()
@click.argument("config", type=click.Path())
@OVERRIDES
@click.option("--dry-run", is_flag=True, help="Print the job script; submit nothing.")
@RESUME
@OVERWRITE
@report_errors
def submit(config: str, overrides: tuple[str, ...], dry_run: bool, resume: bool, overwrite: bool) -> None:
    """Submit the fit that CONFIG describes as one SLURM job with its own workers; print its number.

    Example: daskgmm submit fit.yaml cluster.kind=slurm cluster.jobs=4 cluster.cores=8 cluster.memory=32GiB
    """
    settings = load_config(config, overrides)
    if dry_run:
        click.echo(batch_job(settings.cluster, Submission(config, overrides, overwrite, resume)).script, nl=False)
        return
    directory = RunDirectory(resolve_location(settings.output.directory, settings.output.storage_options))
    place = public(str(directory.path.absolute()))
    before = find_jobs_that_write(place)
    if before:
        click.echo(f"daskgmm: job {', '.join(before)} writes to {place} too: this one begins after it", err=True)
    resume = resume or bool(before and not overwrite)  # what it will find there is what they left
    batch = batch_job(settings.cluster, Submission(config, overrides, overwrite, resume))
    if not (resume and find_finished_fit(directory, settings)):
        directory.check_writable(overwrite, resume)
    click.echo(batch.submit(place, before))
