"""`daskgmm fit`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import click

from ...config import CONFIGURATIONS, Config, data_config, load_config
from ...jobs.dry_run import describe_fit
from ...jobs.fit import fit as run_fit
from ...report.terminal.model_tables import stop_lines, summary_line
from ..command import (
    OVERRIDES,
    RunFlags,
    echo,
    gather,
    print_directory,
    report_errors,
    report_stop,
    take_run_flags,
)


@dataclass(frozen=True)
class _Request:
    """A configuration file or data, with the options and overrides that complete it."""

    config: str
    overrides: tuple[str, ...]
    n_components: str | None
    directory: str | None

    def load(self) -> Config:
        """Return the configuration of the file, or of data if the number of components is given."""
        given = () if self.directory is None else (f"output.directory={json.dumps(self.directory)}",)
        if self.n_components is None:
            return load_config(self.config, (*given, *self.overrides))
        if self.config.lower().endswith(CONFIGURATIONS):
            return load_config(self.config, (f"model.n_components={self.n_components}", *given, *self.overrides))
        return data_config(self.config, self.n_components, (*given, *self.overrides))


@click.command()
@click.argument("config", type=click.Path())
@OVERRIDES
@click.option("-k", "n_components", metavar="N", help="Fit N components; CONFIG may then be a file of data.")
@click.option("-o", "directory", metavar="DIRECTORY", help="The run directory, as output.directory=DIRECTORY.")
@click.option(
    "--dry-run", is_flag=True, help="Show the resolved configuration, shape, chunks and memory; write nothing."
)
@click.option("--strict", is_flag=True, help="Exit with 4 if the fit stops before it converges.")
@take_run_flags
@gather(_Request, "request")
@report_errors
def fit(request: _Request, dry_run: bool, strict: bool, flags: RunFlags) -> None:
    """Fit the mixture that CONFIG describes and label its rows.

    Example: daskgmm fit configs/quickstart.yaml model.n_components=12 output.directory=runs/twelve

    Without a configuration: daskgmm fit rows.parquet -k 8 -o runs/eight
    """
    settings = request.load()
    if dry_run:
        echo(settings.to_yaml())
        echo(describe_fit(settings))
        return
    with flags.listen(settings.fit.max_iter, settings.fit.tol) as listen:
        model = run_fit(settings, listen, **flags.start)
    flags.console.print(summary_line(model.summary))
    print_directory(flags.console, settings)
    report_stop(stop_lines(model.summary))
    if strict and not model.summary.converged:
        sys.exit(4)
