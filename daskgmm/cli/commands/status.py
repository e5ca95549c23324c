"""`daskgmm status`."""

from __future__ import annotations

import json
import sys

import click

from ...errors import DataError
from ...filesystem.location import public
from ...jobs.status import status_of
from ..command import echo, report_errors


@click.command()
@click.argument("run_dir", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="As a JSON object, for programs.")
@report_errors
def status(run_dir: str, as_json: bool) -> None:
    """Show the state of the run in RUN_DIR, from its files alone. It may be a URL.

    Running, interrupted or finished; the phase, the iteration, the gain against tol; and how to continue.
    """
    found = status_of(run_dir)
    if found.state == "nothing" and not as_json:
        raise DataError(f"no run is in {public(run_dir)}: daskgmm fit CONFIG writes one")
    echo(json.dumps(found.as_dict(), indent=1) if as_json else str(found))
    if found.state == "nothing":
        sys.exit(DataError.exit_code)
