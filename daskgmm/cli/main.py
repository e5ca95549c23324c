"""Where the command line begins: the names of the commands, so that --help need not import what they do."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Coroutine
from importlib import import_module
from io import TextIOWrapper
from types import ModuleType

import click

from .signals import EXIT_CODES

COMMANDS = {
    "compare": "Match the components of two fits, and print what moved from the first to the second.",
    "config": "Look at configurations.",
    "export": "Write the model in RUN_DIR for other programs: plain JSON, a scikit-learn estimator, an ONNX graph.",
    "fit": "Fit the mixture that CONFIG describes and label its rows.",
    "init": "Write a configuration for DATA, with a comment on each key, to start from.",
    "inspect": "Print what was fitted in RUN_DIR (or a model.zarr): likelihood, criteria, components.",
    "merge": "Merge the components in RUN_DIR into clusters by entropy; write the cluster of each row.",
    "predict": "Score data with the model in RUN_DIR.",
    "report": "Draw report.html of the fit in RUN_DIR again, from what that directory holds; print its path.",
    "select": "Compare the models that CONFIG names under `select`; keep the best, label the rows with it.",
    "status": "Show the state of the run in RUN_DIR, from its files alone.",
    "submit": "Submit the fit that CONFIG describes as one SLURM job with its own workers; print its number.",
    "update": "Update the model in RUN_DIR with new rows; only these are read.",
}
"""The first sentence of each command's help."""


class Deferred(click.Group):
    """The group of the commands, each of which is imported when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(_import_uncollected(f"daskgmm.cli.commands.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _import_uncollected(name: str) -> ModuleType:
    """Return a module, imported without garbage collections: they would find nothing, and take a fifth of the start.

    Later collections leave out what was imported.
    """
    if name in sys.modules or not gc.isenabled():
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


@click.group("gmm", cls=Deferred, context_settings={"help_option_names": ["-h", "--help"]})  # its name for dask
@click.version_option(package_name="daskgmm")
def main() -> None:
    """Gaussian mixture clustering for data that outgrows one machine."""


def run() -> None:
    """Run a command as a process; one that a signal interrupted ends at once, though threads still compute."""
    sys.unraisablehook = _report_unraisable
    if isinstance(sys.stdout, TextIOWrapper):  # a character that the terminal has not is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        main(prog_name="daskgmm")
    except SystemExit as ending:
        if isinstance(ending.code, int) and ending.code in EXIT_CODES.values():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ending.code)
        raise


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """Print what Python ignores, save in coroutines.

    Where one request of several to a store fails, the others are left and end with the process: its error is reported.
    """
    if not isinstance(unraisable.object, Coroutine):
        sys.__unraisablehook__(unraisable)
