"""Going on with an interrupted fit: what must be the same for it, and what is there already."""

from __future__ import annotations

from collections.abc import Set
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import yaml

from .chunked.digest import digest
from .chunked.rows import Rows
from .config import Config
from .core.model import Model
from .errors import DataError, without_credentials
from .events import Listener, Notice
from .storage.model import load_model
from .storage.places import public
from .storage.run import CONFIG, CONTENT, MODEL, RunDirectory
from .storage.sources import DataOptions
from .storage.unfinished import Plan, Unfinished, is_unfinished, settle

_FREE = {"directory", "checkpoint_every", "storage_options"}  # of output: they change no result


def fit_plan(rows: Rows, config: Config) -> Plan:
    """Return what a fit depends on, in words; some chunks of the rows are read for it."""
    sections = {"model": config.model, "fit": config.fit}
    options = {f"{name}.{key}": str(value) for name, one in sections.items() for key, value in vars(one).items()}
    return {**plan_of_rows(rows, config.data, None, set()), **options, "content": digest(rows)}


def plan_of_rows(rows: Rows, data: DataOptions, strip: int | None, left_out: Set[str]) -> Plan:
    """Return which rows they are and how they are cut, in words; `left_out` names options that are of no importance."""
    options = {key: value for key, value in vars(data).items() if key not in {"storage_options", *left_out}}
    cuts = sha256(repr((rows.array.chunks, strip)).encode()).hexdigest()[:16]
    return {
        **{f"data.{key}": without_credentials(str(value)) for key, value in options.items()},
        "data.path": public(data.path),
        "shape": " x ".join(map(str, rows.array.shape)),
        "dtype": str(rows.array.dtype),
        "chunks": f"{len(rows.block_sizes)} of at most {max(rows.block_sizes)} rows ({cuts})",
        "daskgmm_version": version("daskgmm"),
    }


def finished(directory: RunDirectory, config: Config) -> Model | None:
    """Return the model of a run that has all that the configuration asks for; None where there is none such."""
    settle(directory.path, CONTENT)
    if is_unfinished(directory.path) or not directory.holds_model:
        return None
    try:
        before = yaml.safe_load((directory.path / CONFIG).read_text())
        same = _decisive(before) == _decisive(yaml.safe_load(config.to_yaml()))
        return load_model(directory.path) if same else None
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError, yaml.YAMLError):
        return None


def _decisive(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what of a resolved configuration decides on the results."""
    data = {key: value for key, value in sections["data"].items() if key != "storage_options"}
    output = {key: value for key, value in sections["output"].items() if key not in _FREE}
    chunk_bytes = sections["compute"]["chunk_bytes"]
    return {"data": data, "model": sections["model"], "fit": sections["fit"], "cut": chunk_bytes, "output": output}


def fitted_before(work: Unfinished, listen: Listener) -> Model | None:
    """Return the model that an interrupted job left there, None where it had none yet or it is damaged."""
    if not work.going_on or not (work.path / MODEL).exists():
        return None
    try:
        model = load_model(work.path / MODEL)
    except DataError as error:
        listen(Notice(f"{error}: the fit goes on from a checkpoint"))
        return None
    listen(Notice("going on after the fit: its model is there"))
    return model
