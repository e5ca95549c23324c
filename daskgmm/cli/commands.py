"""The command line: five-line commands over job.py."""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Callable
from errno import ENAMETOOLONG
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ..config import CONFIGURATIONS, Config, config_schema, data_config, load_config
from ..core.em.fitted_model import Model
from ..errors import ConfigurationError, DaskGMMError, DataError, without_credentials
from ..events import ignore
from ..filesystem.location import public, resolve_location
from ..jobs import fit as job
from ..jobs import merge as merge_job
from ..jobs import select as sweep_job
from ..jobs import update as update_job
from ..jobs.compare import compared_run, write_runs_page
from ..jobs.dry_run import describe_fit, describe_sweep, describe_update
from ..jobs.report import draw_again
from ..jobs.resume import find_finished_fit
from ..jobs.status import load_finished, status_of
from ..jobs.submit import Submission, batch_job, find_jobs_that_write
from ..jobs.template import write_template
from ..observers.console import listening
from ..report.drift import update_lines
from ..report.terminal.comparison import comparison
from ..report.terminal.merge_table import merge_table
from ..report.terminal.model_tables import inspection, summary_line
from ..report.terminal.runs_table import runs_table
from ..report.terminal.selection_table import selection_line, selection_table
from ..storage.formats.clusters import find_clusters
from ..storage.formats.export import FORMATS, export_model
from ..storage.formats.history import read_history, updates
from ..storage.run.directory import CLUSTERS_FOLDER, CONFIG, HISTORY, RunDirectory
from ..text import printable
from .signals import signals_raised

_OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace a run that the output directory already holds.")
_RESUME = click.option("--resume", is_flag=True, help="Go on with what was interrupted; start where nothing was.")
_QUIET = click.option("--quiet", is_flag=True, help="Print errors only.")
_DEBUG = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


def _console(quiet: bool = False) -> Console:
    return Console(quiet=quiet, highlight=False, soft_wrap=True)


def _echo(text: str) -> None:
    """Print lines, with nothing in them that acts on a terminal."""
    click.echo("\n".join(map(printable, text.split("\n"))))


def _tell_directory(console: Console, settings: Config) -> None:
    console.print(printable(f"results in {public(settings.output.directory)}"), markup=False)


def _tell_of_convergence(model: Model) -> bool:
    """Return whether the fit has converged; if not, say why it stopped."""
    if not model.summary.converged:
        click.echo(f"daskgmm: {model.summary.stop_reason}", err=True)
    return model.summary.converged


def _errors_in_one_line(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --debug, and turn its exceptions into one line on stderr and an exit code."""

    @_DEBUG
    @wraps(command)
    def run(*args: Any, debug: bool, **options: Any) -> None:
        try:
            with signals_raised():
                command(*args, **options)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except KeyboardInterrupt as error:
            _fail(_with_notes(error, str(error) or "interrupted"), getattr(error, "exit_code", 130), debug)
        except DaskGMMError as error:
            _fail(_with_notes(error, str(error)), error.exit_code, debug)
        except Exception as error:
            if getattr(error, "errno", None) == ENAMETOOLONG:
                _fail(
                    f"{getattr(error, 'filename', None)} is longer than a path can be: choose a shorter one", 2, debug
                )
            message = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
            _fail(_with_notes(error, message), 1, debug)

    return run


_LONG_WORD = re.compile(r"(\S{200})\S{200,}(\S{50})")  # of a message, as a path may be


def _with_notes(error: BaseException, message: str) -> str:
    return "; ".join([message, *getattr(error, "__notes__", ())])


def _fail(message: str, exit_code: int, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    words = _LONG_WORD.sub(r"\1...\2", without_credentials(message)).split()
    click.echo(f"daskgmm: {printable(' '.join(words))}", err=True)
    sys.exit(exit_code)


@click.group("gmm", context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Gaussian mixture clustering for data that outgrows one machine (entry.py is where it begins)."""


@main.command()
@click.argument("config", type=click.Path())
@_OVERRIDES
@click.option("-k", "n_components", metavar="N", help="Fit N components; CONFIG may then be the data themselves.")
@click.option("-o", "directory", metavar="DIRECTORY", help="The run directory, as output.directory=DIRECTORY.")
@click.option(
    "--dry-run", is_flag=True, help="Show the resolved configuration, shape, chunks and memory; write nothing."
)
@click.option("--strict", is_flag=True, help="Exit with 4 when the fit stops before convergence.")
@_RESUME
@_OVERWRITE
@_QUIET
@_errors_in_one_line
def fit(
    config: str,
    overrides: tuple[str, ...],
    n_components: str | None,
    directory: str | None,
    dry_run: bool,
    strict: bool,
    resume: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Fit the mixture that CONFIG describes and label its rows.

    Example: daskgmm fit configs/quickstart.yaml model.n_components=12 output.directory=runs/twelve

    Without a configuration: daskgmm fit rows.parquet -k 8 -o runs/eight
    """
    settings = _fit_config(config, overrides, n_components, directory)
    if dry_run:
        _echo(settings.to_yaml())
        _echo(describe_fit(settings))
        return
    console = _console(quiet)
    with listening(console, settings.fit.max_iter, settings.fit.tol) as listen:
        model = job.fit(settings, ignore if quiet else listen, overwrite=overwrite, resume=resume)
    console.print(summary_line(model.summary))
    _tell_directory(console, settings)
    if not _tell_of_convergence(model) and strict:
        sys.exit(4)


def _fit_config(config: str, overrides: tuple[str, ...], n_components: str | None, directory: str | None) -> Config:
    """Return the configuration of a file, or of data for which the number of components is given."""
    given = () if directory is None else (f"output.directory={json.dumps(directory)}",)
    if n_components is None:
        return load_config(config, (*given, *overrides))
    if config.lower().endswith(CONFIGURATIONS):
        return load_config(config, (f"model.n_components={n_components}", *given, *overrides))
    return data_config(config, n_components, (*given, *overrides))


@main.command()
@click.argument("data", type=click.Path())
@click.option("-o", "output", type=click.Path(), help="The file to write; fit.yaml if left out.", default="fit.yaml")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@_errors_in_one_line
def init(data: str, output: str, overwrite: bool) -> None:
    """Write a configuration for DATA, with a comment on each key, to start from.

    Example: daskgmm init rows.parquet -o fit.yaml
    """
    write_template(data, Path(output), overwrite=overwrite)
    _echo(output)


@main.command()
@click.argument("config", type=click.Path())
@_OVERRIDES
@click.option("--dry-run", is_flag=True, help="Show the candidates, shape, chunks and memory; write nothing.")
@_RESUME
@_OVERWRITE
@_QUIET
@_errors_in_one_line
def select(config: str, overrides: tuple[str, ...], dry_run: bool, resume: bool, overwrite: bool, quiet: bool) -> None:
    """Compare the models that CONFIG names under `select`; keep the best, label the rows with it.

    Example: daskgmm select configs/select.yaml select.n_components=1..6 select.criterion=icl
    """
    settings = load_config(config, overrides)
    if dry_run:
        _echo(settings.to_yaml())
        _echo(describe_sweep(settings))
        return
    console = _console(quiet)
    with listening(console, settings.fit.max_iter) as listen:
        model, selection = sweep_job.select(settings, ignore if quiet else listen, overwrite=overwrite, resume=resume)
    console.print(selection_table(selection))
    console.print(selection_line(selection))
    _tell_directory(console, settings)
    _tell_of_convergence(model)


@main.command()
@click.argument("config", type=click.Path())
@_OVERRIDES
@click.option("--dry-run", is_flag=True, help="Print the job script; submit nothing.")
@_RESUME
@_OVERWRITE
@_errors_in_one_line
def submit(config: str, overrides: tuple[str, ...], dry_run: bool, resume: bool, overwrite: bool) -> None:
    """Submit the fit that CONFIG describes as one SLURM job with its own workers. It prints the job's number.

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


@main.command()
@click.argument("run_dir", type=click.Path())
@_OVERRIDES
@_RESUME
@_OVERWRITE
@_QUIET
@_errors_in_one_line
def predict(run_dir: str, overrides: tuple[str, ...], resume: bool, overwrite: bool, quiet: bool) -> None:
    """Score data with the model in RUN_DIR. Results go to RUN_DIR/predictions unless output.directory is given.

    Example: daskgmm predict runs/quickstart data.path=other.png output.directory=runs/other
    """
    model = load_finished(run_dir)
    settings = _prediction_config(run_dir, overrides, "predictions")
    clusters = find_clusters(resolve_location(run_dir), model) if settings.output.clusters is not None else None
    with listening(_console(quiet), settings.fit.max_iter) as listen:
        job.predict(settings, model, ignore if quiet else listen, overwrite=overwrite, resume=resume, clusters=clusters)
    _tell_directory(_console(quiet), settings)


@main.command()
@click.argument("run_dir", type=click.Path())
@_OVERRIDES
@_RESUME
@_OVERWRITE
@_QUIET
@_errors_in_one_line
def merge(run_dir: str, overrides: tuple[str, ...], resume: bool, overwrite: bool, quiet: bool) -> None:
    """Merge the components in RUN_DIR into clusters by entropy; write the cluster of each row.

    The rows are those of the fit, and the results go to RUN_DIR/clusters. output.clusters is the number of clusters; if
    it is left out, that at which the entropy bends.

    Example: daskgmm merge runs/quickstart output.clusters=5
    """
    model = load_finished(run_dir)
    default = () if any(one.startswith("output.clusters=") for one in overrides) else ("output.clusters=auto",)
    settings = _prediction_config(run_dir, (*default, *overrides), CLUSTERS_FOLDER)
    console = _console(quiet)
    with listening(console, settings.fit.max_iter) as listen:
        clusters = merge_job.merge(settings, model, ignore if quiet else listen, overwrite=overwrite, resume=resume)
    console.print(merge_table(clusters.tree, clusters.n_clusters))
    _tell_directory(console, settings)


def _prediction_config(run_dir: str, overrides: tuple[str, ...], folder: str) -> Config:
    for override in overrides:
        if override.split(".")[0] not in {"data", "cluster", "compute", "output"}:
            raise ConfigurationError(
                f"override {override!r}: a prediction takes data, cluster, compute and output only"
            )
        key, _, value = override.partition("=")
        if key.strip() in ("data.labels", "data.weights") and value.strip() != "null":
            raise ConfigurationError(
                f"override {override!r}: a prediction takes no labels and no weights: leave it out (data.columns "
                "chooses the features of a table)"
            )
    default = f"output.directory={json.dumps(str(resolve_location(run_dir) / folder))}"
    return load_config(str(resolve_location(run_dir) / CONFIG), (default, *overrides))


@main.command()
@click.argument("run_dir", type=click.Path())
@_OVERRIDES
@click.option("--dry-run", is_flag=True, help="Show which rows are new, chunks and memory; write nothing.")
@_RESUME
@_OVERWRITE
@_QUIET
@_errors_in_one_line
def update(run_dir: str, overrides: tuple[str, ...], dry_run: bool, resume: bool, overwrite: bool, quiet: bool) -> None:
    """Go on with new rows from the model in RUN_DIR; only these rows are read.

    The rows are those of data.path, without those that the run has seen in the same store. Results go to
    RUN_DIR-updated unless output.directory is given; RUN_DIR stays as it is.

    Example: daskgmm update runs/quickstart data.path=new.zarr update.forget=0.5
    """
    run = update_job.finished_run(run_dir, load_finished(run_dir))
    settings = _update_config(run_dir, overrides)
    if dry_run:
        _echo(settings.to_yaml())
        _echo(describe_update(settings, run))
        return
    console = _console(quiet)
    with listening(console, settings.fit.max_iter, settings.fit.tol) as listen:
        model = update_job.update(settings, run, ignore if quiet else listen, overwrite=overwrite, resume=resume)
    console.print(summary_line(model.summary))
    _tell_directory(console, settings)
    _tell_of_convergence(model)


_OF_UPDATE = ("data.", "cluster.", "compute.", "output.", "update.", "fit.tol=", "fit.max_iter=")  # of overrides


def _update_config(run_dir: str, overrides: tuple[str, ...]) -> Config:
    for override in overrides:
        if not override.startswith(_OF_UPDATE):
            raise ConfigurationError(
                f"override {override!r}: an update takes data, cluster, compute, output, update, fit.tol and "
                "fit.max_iter only; the model is that of the run"
            )
    path = resolve_location(run_dir)
    default = f"output.directory={json.dumps(str(path.with_name(path.name + '-updated')))}"
    return load_config(str(path / CONFIG), (default, *overrides))


@main.command()
@click.argument("run_dir", type=click.Path())
@_errors_in_one_line
def inspect(run_dir: str) -> None:
    """Print what was fitted in RUN_DIR (or a model.zarr): likelihood, criteria, components."""
    console, model = _console(), load_finished(run_dir)
    console.print(inspection(model, console.width))
    for line in update_lines(updates(read_history(resolve_location(run_dir) / HISTORY))):
        console.print(printable(line), markup=False)


@main.command()
@click.argument("run_dirs", type=click.Path(), metavar="RUN_DIR RUN_DIR [RUN_DIR]...", nargs=-1, required=True)
@click.option(
    "--html", "page", type=click.Path(), metavar="FILE", help="Write the table, curves and matches to a page."
)
@click.option("--overwrite", is_flag=True, help="Replace the page if it is there.")
@_errors_in_one_line
def compare(run_dirs: tuple[str, ...], page: str | None, overwrite: bool) -> None:
    """Match the components of two fits, and print what moved from the first to the second.

    Of more than two, print one table of their sizes, log-likelihoods and criteria.

    Example: daskgmm compare runs/four runs/eight runs/twelve --html compared.html
    """
    if len(run_dirs) < 2:
        raise ConfigurationError(f"there is nothing to compare {run_dirs[0]} with: give two or more run directories")
    runs = [compared_run(one) for one in run_dirs]
    console = _console()
    if len(runs) > 2:
        console.print(runs_table(runs, console.width))
    else:
        first, second = (run.model for run in runs)
        console.print(comparison(first, second, (run_dirs[0], run_dirs[1]), console.width))
    if page is not None:
        _echo(str(write_runs_page(runs, page, overwrite=overwrite)))


@main.command()
@click.argument("run_dir", type=click.Path())
@click.option("--format", "name", type=click.Choice(list(FORMATS)), required=True, help="What for.")
@click.option("--output", type=click.Path(), help="The file to write; RUN_DIR/model.* if left out.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@_errors_in_one_line
def export(run_dir: str, name: str, output: str | None, overwrite: bool) -> None:
    """Write the model in RUN_DIR for other programs: plain JSON, a scikit-learn estimator, an ONNX graph.

    The estimator is a pickle, as joblib writes it: open none that others could have changed.

    Example: daskgmm export runs/quickstart --format onnx
    """
    _echo(str(export_model(load_finished(run_dir), run_dir, name, output, overwrite=overwrite)))


@main.command()
@click.argument("run_dir", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="As a JSON object, for programs.")
@_errors_in_one_line
def status(run_dir: str, as_json: bool) -> None:
    """Tell what the run in RUN_DIR is doing, from its files alone. It may be a URL.

    Running, interrupted or finished; the phase, the iteration, how far from tol; and how to go on.
    """
    found = status_of(run_dir)
    if found.state == "nothing" and not as_json:
        raise DataError(f"no run is in {public(run_dir)}: daskgmm fit CONFIG writes one")
    _echo(json.dumps(found.as_dict(), indent=1) if as_json else str(found))
    if found.state == "nothing":
        sys.exit(DataError.exit_code)


@main.command()
@click.argument("run_dir", type=click.Path())
@_errors_in_one_line
def report(run_dir: str) -> None:
    """Draw report.html of the fit in RUN_DIR again, from what that directory holds; print its path."""
    _echo(str(draw_again(resolve_location(run_dir))))


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
    _echo(load_config(config, overrides).to_yaml().removesuffix("\n"))
