"""The defaults of this package in dask's configuration, as dask's own packages keep theirs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import dask.config

DEFAULTS: dict[str, Any] = {"daskgmm": {"cluster": {}, "compute": {}, "compute-threads": None}}  # those of daskgmm.yaml


def register_defaults() -> None:
    """Give dask's configuration the keys of daskgmm.yaml, and the user a copy to edit (all of it commented out)."""
    source = files(__package__) / "daskgmm.yaml"
    if isinstance(source, Path):  # not in the zip that workers were sent
        dask.config.ensure_file(source=str(source))
    dask.config.update_defaults(DEFAULTS)
