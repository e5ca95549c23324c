"""output.performance_report: dask's own report of what the workers did, in the run directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import distributed

from ..clusters.connection import Connection
from ..errors import ConfigurationError
from ..filesystem.location import guard_write, resolve_location
from ..storage.run.directory import PERFORMANCE, OutputOptions


@contextmanager
def performance_report(connection: Connection, output: OutputOptions) -> Iterator[None]:
    """Write the report of what is computed within it, once all of it is in its place; none of a job that fails.

    Raises ConfigurationError where the scheduler, which draws it, lacks bokeh.
    """
    assert connection.client is not None, "the configuration was checked"
    if connection.client.run_on_scheduler(find_spec, "bokeh") is None:
        raise ConfigurationError(
            "output.performance_report is true, and the scheduler lacks bokeh, which draws it: "
            "pip install 'daskgmm[dashboard]' there"
        )
    with TemporaryDirectory() as folder:
        file = Path(folder) / PERFORMANCE
        report = distributed.performance_report(str(file), mode="inline")  # it is read offline too
        report.__enter__()
        yield
        report.__exit__(None, None, None)  # it holds nothing; after an error it may wait for a lost scheduler
        target = resolve_location(output.directory, output.storage_options) / PERFORMANCE
        with guard_write(target):
            target.write_bytes(file.read_bytes())
