"""The command line: five-line commands over job.py."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from rich.console import Console

from . import job
from .clusters.submission import Submission, batch_job
from .config import Config, config_schema, load_config
from .errors import ConfigurationError, DaskGMMError, without_credentials
from .events import ignore
from .planning import plan, plan_selection
from .report.inspection import inspection, summary_line
from .report.progress import listening
from .report.selection import selection_line, selection_table
from .storage.model import load_model
from .storage.places import place, public
from .storage.run import CONFIG, RunDirectory

_OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace a run that the output directory already holds.")
_QUIET = click.option("--quiet", is_flag=True, help="Print errors only.")
_DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


def _console(quiet: bool = False) -> Console:
    return Console(quiet=quiet, highlight=False, soft_wrap=True)


def _errors_in_one_line(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --debug, and turn its exceptions into one line on stderr and an exit code."""

    @_DEBUG
    @wraps(command)
    def run(*args: Any, debug: bool, **options: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
        try:
            command(*args, **options)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            _fail("interrupted", 130, debug)
        except DaskGMMError as error:
            _fail(str(error), error.exit_code, debug)
        except Exception as error:
            _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1, debug)

    return run


def _fail(message: str, exit_code: int, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    line = "".join(one if one.isprintable() else "?" for one in " ".join(without_credentials(message).split()))
    click.echo(f"daskgmm: {line}", err=True)
    sys.exit(exit_code)


@click.group("gmm", context_settings={"help_option_names": ["-h", "--help"]})  # its name as a command of dask
@click.version_option(package_name="daskgmm")
def main() -> None:
    """Gaussian mixture clustering for data that outgrows one machine."""


def run() -> None:
    """Run a command as a process; one that a signal interrupted ends at once, though threads still compute."""
    try:
        main(prog_name="daskgmm")
    except SystemExit as ending:
        if ending.code in {130, 143}:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(ending.code))
        raise


@main.command()
@click.argument("config", type=click.Path())
@_OVERRIDES
@click.option(
    "--dry-run", is_flag=True, help="Show the resolved configuration, shape, chunks and memory; write nothing."
)
@click.option("--strict", is_flag=True, help="Exit with 4 when the fit stops before convergence.")
@_OVERWRITE
@_QUIET
@_errors_in_one_line
def fit(config: str, overrides: tuple[str, ...], dry_run: bool, strict: bool, overwrite: bool, quiet: bool) -> None:
    """Fit the mixture that CONFIG describes and label its rows.

    Example: daskgmm fit configs/quickstart.yaml model.n_components=12 output.directory=runs/twelve
    """
    settings = load_config(config, overrides)
    if dry_run:
        click.echo(settings.to_yaml())
        click.echo(plan(settings))
        return
    console = _console(quiet)
    with listening(console, settings.fit.max_iter) as listen:
        model = job.fit(settings, ignore if quiet else listen, overwrite=overwrite)
    console.print(summary_line(model.summary))
    console.print(f"results in {public(settings.output.directory)}", markup=False)
    if not model.summary.converged:
        click.echo(f"daskgmm: {model.summary.stop_reason}", err=True)
        sys.exit(4 if strict else 0)


@main.command()
@click.argument("config", type=click.Path())
@_OVERRIDES
@click.option("--dry-run", is_flag=True, help="Show the candidates, shape, chunks and memory; write nothing.")
@_OVERWRITE
@_QUIET
@_errors_in_one_line
def select(config: str, overrides: tuple[str, ...], dry_run: bool, overwrite: bool, quiet: bool) -> None:
    """Compare the models that CONFIG names under `select`; keep the best, label the rows with it.

    Example: daskgmm select configs/select.yaml select.n_components=1..6 select.criterion=icl
    """
    settings = load_config(config, overrides)
    if dry_run:
        click.echo(settings.to_yaml())
        click.echo(plan_selection(settings))
        return
    console = _console(quiet)
    with listening(console, settings.fit.max_iter) as listen:
        model, selection = job.select(settings, ignore if quiet else listen, overwrite=overwrite)
    console.print(selection_table(selection))
    console.print(selection_line(selection))
    console.print(f"results in {settings.output.directory}")
    if not model.summary.converged:
        click.echo(f"daskgmm: {model.summary.stop_reason}", err=True)


@main.command()
@click.argument("config", type=click.Path())
@_OVERRIDES
@click.option("--dry-run", is_flag=True, help="Print the job script; submit nothing.")
@_OVERWRITE
@_errors_in_one_line
def submit(config: str, overrides: tuple[str, ...], dry_run: bool, overwrite: bool) -> None:
    """Submit the fit that CONFIG describes as one SLURM job with its own workers; print the job's number.

    Example: daskgmm submit fit.yaml cluster.kind=slurm cluster.jobs=4 cluster.cores=8 cluster.memory=32GiB
    """
    settings = load_config(config, overrides)
    batch = batch_job(settings.cluster, Submission(config, overrides, overwrite))
    if dry_run:
        click.echo(batch.script, nl=False)
        return
    RunDirectory(place(settings.output.directory, settings.output.storage_options)).check_writable(overwrite)
    click.echo(batch.submit())


@main.command()
@click.argument("run_dir", type=click.Path())
@_OVERRIDES
@click.option("--resume", is_flag=True, help="Go on with an interrupted prediction: score only what is missing.")
@_OVERWRITE
@_QUIET
@_errors_in_one_line
def predict(run_dir: str, overrides: tuple[str, ...], resume: bool, overwrite: bool, quiet: bool) -> None:
    """Score data with the model in RUN_DIR; results go to RUN_DIR/predictions unless output.directory is given.

    Example: daskgmm predict runs/quickstart data.path=other.png output.directory=runs/other
    """
    model = load_model(run_dir)
    settings = _prediction_config(run_dir, overrides)
    with listening(_console(quiet), settings.fit.max_iter) as listen:
        job.predict(settings, model, ignore if quiet else listen, overwrite=overwrite, resume=resume)
    _console(quiet).print(f"results in {public(settings.output.directory)}", markup=False)


def _prediction_config(run_dir: str, overrides: tuple[str, ...]) -> Config:
    for override in overrides:
        if override.split(".")[0] not in {"data", "cluster", "compute", "output"}:
            raise ConfigurationError(
                f"override {override!r}: a prediction takes data, cluster, compute and output only"
            )
    default = f"output.directory={json.dumps(str(place(run_dir) / 'predictions'))}"
    return load_config(str(place(run_dir) / CONFIG), (default, *overrides))


@main.command()
@click.argument("run_dir", type=click.Path())
@_errors_in_one_line
def inspect(run_dir: str) -> None:
    """Print what was fitted in RUN_DIR (or a model.zarr): likelihood, criteria, components."""
    _console().print(inspection(load_model(run_dir)))


@main.group()
def config() -> None:
    """Look at configurations."""


@config.command()
@_errors_in_one_line
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    click.echo(json.dumps(config_schema(), indent=2))


@config.command()
@click.argument("config", type=click.Path())
@_OVERRIDES
@_errors_in_one_line
def show(config: str, overrides: tuple[str, ...]) -> None:
    """Print CONFIG with all defaults filled in."""
    click.echo(load_config(config, overrides).to_yaml(), nl=False)
