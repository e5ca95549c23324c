"""`daskgmm config`."""

from __future__ import annotations

import json

import click

from ...config import config_schema, load_config
from ..command import OVERRIDES, echo, report_errors


@click.group()
def config() -> None:
    """Look at configurations."""


@config.command()
@report_errors
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    click.echo(json.dumps(config_schema(), indent=2))


@config.command()
@click.argument("config", type=click.Path())
@OVERRIDES
@report_errors
def show(config: str, overrides: tuple[str, ...]) -> None:
    """Print CONFIG with all defaults filled in."""
    echo(load_config(config, overrides).to_yaml().removesuffix("\n"))
